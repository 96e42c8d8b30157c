//! Values that more than one table of the configuration has: a program, the path of a socket.

use std::path::PathBuf;

use crate::base::failure::Failure;
use crate::base::strict_toml::Value;
use crate::http::MAX_PATH;

/// The path of a socket.
pub(super) fn socket_path(value: &Value<'_>) -> Result<PathBuf, Failure> {
    fitting(value, value.path()?)
}

/// The path, which is one of a socket, if it is not too long for that.
pub(super) fn fitting(value: &Value<'_>, path: PathBuf) -> Result<PathBuf, Failure> {
    match path.as_os_str().len() {
        length if length > MAX_PATH => {
            Err(value.refuse(format_args!("has {length} bytes; a socket's path has at most {MAX_PATH}")))
        }
        _ => Ok(path),
    }
}

/// An absolute path, and the arguments.
pub(super) fn program(value: &Value<'_>) -> Result<Vec<String>, Failure> {
    let words = value.list(|word| match word.string()? {
        text if text.contains('\0') => Err(word.refuse("must not hold a NUL character")),
        text => Ok(text.to_owned()),
    })?;
    match words.first() {
        Some(path) if path.starts_with('/') => Ok(words),
        _ => Err(value.refuse("must be a program's absolute path, and its arguments: [\"/path/to/it\", \"…\"]")),
    }
}
