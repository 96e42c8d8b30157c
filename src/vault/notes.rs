//! Notes of the daemons that share a vault, beside its log: sealed, each bound to its place.

use super::log::header::VaultKey;
use super::seal::NotAuthentic;
use super::{Found, Vault};
use crate::base::failure::Failure;
use crate::base::secret::Wiped;

impl Vault {
    /// A note as whoever does not have the vault's key may keep it. It opens at the same `place` only.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub fn sealed_note(&self, place: &str, note: &[u8]) -> Result<Vec<u8>, Failure> {
        let key = self.key();
        key.notes.seal(associated(&key, place).as_bytes(), note)
    }

    /// What was sealed as a note for this place; none if that is not what this is.
    pub fn opened_note(&self, place: &str, sealed: &[u8]) -> Option<Wiped> {
        opened(&self.key(), place, sealed)
    }
}

impl Found {
    /// See [`Vault::opened_note`].
    pub fn opened_note(&self, place: &str, sealed: &[u8]) -> Option<Wiped> {
        opened(&self.loaded.key, place, sealed)
    }
}

fn opened(key: &VaultKey, place: &str, sealed: &[u8]) -> Option<Wiped> {
    key.notes.open(associated(key, place).as_bytes(), sealed).map_err(|NotAuthentic| ()).ok()
}

fn associated(key: &VaultKey, place: &str) -> String {
    format!("note {} {place}", key.vault_id)
}
