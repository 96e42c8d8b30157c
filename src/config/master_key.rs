//! `[master_key]`: by what the master key is unwrapped, where it does not lie in a plain file.

use std::path::PathBuf;
use std::time::Duration;

use super::values::{fitting, program};
use crate::base::failure::Failure;
use crate::base::strict_toml::{Table, Value};
use crate::vault::{Filter, WrappingConfig};

/// What a filter that is a socket begins with.
const SOCKET: &str = "unix:";

pub(super) fn read(mut table: Table<'_>) -> Result<WrappingConfig, Failure> {
    let (mut wrap, mut timeout, mut retry, mut max_failures) = (None, Duration::from_secs(30), Duration::ZERO, None);
    let unwrap = table.required("unwrap", filter);
    table.set("wrap", &mut wrap, |value| filter(value).map(Some))?;
    table.set("timeout_secs", &mut timeout, |value| value.integer(1..=3600).map(Duration::from_secs))?;
    let retries = table.set("retry_secs", &mut retry, |value| value.integer(0..=86_400).map(Duration::from_secs))?;
    table.set("max_failures", &mut max_failures, |value| value.integer(1..=100).map(Some))?;
    // A misspelt key is named rather than the one that then is missing.
    table.finish()?;
    match retries {
        Some(value) if !retry.is_zero() && max_failures.is_some() => Err(value.refuse(
            "does not go with `max_failures`: a device that counts wrong PINs must not be asked again by itself",
        )),
        _ => Ok(WrappingConfig { unwrap: unwrap?, wrap, timeout, retry, max_failures }),
    }
}

/// A program with its arguments, or the socket of one.
fn filter(value: &Value<'_>) -> Result<Filter, Failure> {
    let Ok(text) = value.string() else { return program(value).map(Filter::Program) };
    match text.strip_prefix(SOCKET) {
        Some(path) if path.starts_with('/') && !path.contains('\0') => {
            fitting(value, PathBuf::from(path)).map(Filter::Socket)
        }
        _ => Err(value.refuse(
            "must be a socket, \"unix:/path/to/it\", or a program's absolute path, and its arguments: [\"/path/to/it\", \"…\"]",
        )),
    }
}
