//! Where the master key (the KEK) comes from, one file a way.
//!
//! Vault and key cannot be exchanged in one step. While the one is put under another key, that key lies beside the present
//! one, and whichever opens the vault is in force.

mod file;
pub(crate) mod passphrase;

use std::fs::File;
use std::path::Path;

pub use file::KeyFile;

use super::log::header::Header;
use super::log::replay;
use super::seal::{KeyBytes, SealingKey};
use crate::base::failure::Failure;

/// A source of the master key: a file today; a command, a TPM or an HSM can stand here without the vault noticing.
pub trait MasterKeySource {
    /// Whether there is a key. A source that cannot tell says yes and lets [`load`](Self::load) explain.
    fn exists(&self) -> bool;

    fn load(&self) -> Result<KeyBytes, Failure>;

    /// The key that is to take its place, if one lies ready.
    fn next(&self) -> Result<Option<KeyBytes>, Failure>;

    /// Makes a new key where there is none, durably.
    fn generate(&self) -> Result<KeyBytes, Failure>;
}

/// The one of a source's keys that a vault is under.
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
    pub fn find(source: &dyn MasterKeySource, path: &Path) -> Result<Self, Failure> {
        Self::of(source, |key| is_under(path, key))
    }

    /// The same for a vault whose header line is `line`.
    ///
    /// # Errors
    /// If a key cannot be read.
    pub fn of_header(source: &dyn MasterKeySource, line: &[u8]) -> Result<Self, Failure> {
        let header = Header::parse(line.trim_ascii_end()).ok();
        let opens =
            |key: &KeyBytes| header.as_ref().is_some_and(|header| header.unwrap_key(&SealingKey::new(key)).is_ok());
        Self::of(source, opens)
    }

    fn of(source: &dyn MasterKeySource, is_under: impl Fn(&KeyBytes) -> bool) -> Result<Self, Failure> {
        let key = source.load()?;
        if !is_under(&key)
            && let Some(next) = source.next()?
            && is_under(&next)
        {
            return Ok(Self { key: next, is_next: true });
        }
        Ok(Self { key, is_next: false })
    }
}

/// Whether there is a vault at `path` and it is under the master key `key`.
pub fn is_under(path: &Path, key: &KeyBytes) -> bool {
    File::open(path)
        .ok()
        .and_then(|file| replay::header(file).ok())
        .is_some_and(|header| header.unwrap_key(&SealingKey::new(key)).is_ok())
}
