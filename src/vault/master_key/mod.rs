//! Where the master key (the KEK) comes from: a file, in which it may be wrapped, or a text that was printed, or several.
//!
//! Vault and key cannot be exchanged in one step. While the one is put under another key, that key lies beside the present
//! one, and whichever opens the vault is in force.

mod attempts;
mod file;
mod filter;
pub(crate) mod passphrase;
mod patience;
pub(crate) mod shares;
mod socket;
mod wrapping;

use std::fs::File;
use std::path::Path;

pub use file::{KeyFile, KeyStamp};
pub use filter::Filter;
pub use patience::Patience;
pub use wrapping::{LONGEST as LONGEST_WRAPPED, Wrapping, WrappingConfig};

use super::log::header::Header;
use super::log::replay;
use super::seal::{KeyBytes, SealingKey};
use crate::base::failure::Failure;

/// The one of the keys in a file and beside it that a vault is under.
pub struct KeyInForce {
    pub key: KeyBytes,
    /// It is the next one: a rekey was interrupted before the key took its place.
    pub is_next: bool,
}

impl KeyInForce {
    /// Finds the key of `source` that the vault at `path` is under. If none of them is, it is the present one, by which
    /// reading the vault will fail with the reason.
    ///
    /// # Errors
    /// If a key cannot be read.
    pub fn find(source: &KeyFile, path: &Path) -> Result<Self, Failure> {
        match Self::opening(source, |key| is_under(path, key))? {
            Some(found) => Ok(found),
            None => Ok(Self { key: source.load()?, is_next: false }),
        }
    }

    /// The same for a vault that several daemons share, whose header line is `line`.
    ///
    /// # Errors
    /// If a key cannot be read, or none of them opens the vault.
    pub fn of_header(source: &KeyFile, line: &[u8]) -> Result<Self, Failure> {
        let fail = |why: &dyn std::fmt::Display| Failure::new("the vault in etcd", why);
        let header = Header::parse(line.trim_ascii_end()).map_err(|why| fail(&why))?;
        let opens = |key: &KeyBytes| header.unwrap_key(&SealingKey::new(key)).is_ok();
        Self::opening(source, opens)?.ok_or_else(|| {
            fail(
                &"it is under another master key than this daemon has; copy that of another daemon in its place, or, if the \
                  vault was put under a new one (`rekey`), beside it, with the same name and `.next`",
            )
        })
    }

    fn opening(source: &KeyFile, opens: impl Fn(&KeyBytes) -> bool) -> Result<Option<Self>, Failure> {
        let key = source.load()?;
        if opens(&key) {
            return Ok(Some(Self { key, is_next: false }));
        }
        let next = source.next()?.filter(|next| opens(next));
        Ok(next.map(|key| Self { key, is_next: true }))
    }
}

/// The id of the vault at `path`, whatever key it is under: 32 hex digits.
///
/// # Errors
/// If there is none, or it cannot be read.
pub fn vault_id(path: &Path) -> Result<String, Failure> {
    let fail = |why: &dyn std::fmt::Display| Failure::new(path.display(), why);
    let file = File::open(path).map_err(|why| fail(&why))?;
    let header = replay::header(file).map_err(|why| fail(&why))?;
    Ok(header.vault_id().to_owned())
}

/// Whether there is a vault at `path` and it is under the master key `key`.
pub fn is_under(path: &Path, key: &KeyBytes) -> bool {
    File::open(path)
        .ok()
        .and_then(|file| replay::header(file).ok())
        .is_some_and(|header| header.unwrap_key(&SealingKey::new(key)).is_ok())
}
