//! Where the master key (the KEK) comes from.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::seal::{self, KeyBytes};
use crate::failure::Failure;
use crate::files;

/// A source of the master key: a file today; a command, a TPM or an HSM can stand here without the vault noticing.
pub trait MasterKeySource {
    /// Whether there is a key. A source that cannot tell says yes and lets [`load`](Self::load) explain.
    fn exists(&self) -> bool;

    /// The key.
    fn load(&self) -> Result<KeyBytes, Failure>;

    /// Makes a new key where there is none, durably.
    fn generate(&self) -> Result<KeyBytes, Failure>;
}

/// A file with the 32 bytes of the key and nothing else, readable by its owner only.
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// The key file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl MasterKeySource for KeyFile {
    fn exists(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    fn load(&self) -> Result<KeyBytes, Failure> {
        let bytes = files::read_private(&self.path, 32)?;
        let key: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| {
            let why = format!("a master key is exactly 32 bytes, this file has {}", bytes.len());
            Failure::new(self.path.display(), why)
        })?;
        Ok(Zeroizing::new(*key))
    }

    fn generate(&self) -> Result<KeyBytes, Failure> {
        let key = seal::random()?;
        files::create_dir(files::parent(&self.path))
            .and_then(|()| files::create(&self.path, 0o600, &key[..]))
            .map_err(|why| Failure::new(self.path.display(), why))?;
        Ok(key)
    }
}
