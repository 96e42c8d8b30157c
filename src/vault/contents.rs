//! What a vault holds, read from a copy of its file: to be looked at, not to be served.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

use super::log::End;
use super::log::file::lines::LoadError;
use super::log::header::VaultKey;
use super::log::replay::{self, Known, Loaded};
use super::seal::{KeyBytes, NotAuthentic, SealingKey};
use super::settings::Settings;
use super::state::Secret;
use super::used_kids::UsedKids;
use super::version::Rotation;
use crate::audit::VaultAt;
use crate::base::failure::Failure;
use crate::base::secret::Wiped;
use crate::generator::Generator;

#[derive(PartialEq, Eq)]
pub struct Configured {
    rotation: Rotation,
    generator: Generator,
    settings: Settings,
}

/// A vault of which every version was opened.
pub struct Contents(Loaded);

impl Contents {
    /// Reads a vault of `size` bytes with the master key.
    ///
    /// # Errors
    /// If the key is another one, or anything in it is not as it was written. What an interrupted write left at its end
    /// is no error.
    pub fn read(mut vault: impl Read, size: u64, master: &KeyBytes) -> Result<Self, LoadError> {
        let all = Known { at: VaultAt { seq: u64::MAX, head: None }, node: None };
        replay::load(&mut vault, size, &SealingKey::new(master), all).map(Self)
    }

    /// The vault's id, 32 hex digits.
    pub fn vault_id(&self) -> &str {
        &self.0.key.vault_id
    }

    /// The number of the last change.
    pub fn seq(&self) -> u64 {
        self.0.end.seq
    }

    /// Where the vault stands behind that.
    pub fn at(&self) -> VaultAt {
        self.key().at(self.seq(), &self.end().link)
    }

    pub(super) fn key(&self) -> &Arc<VaultKey> {
        &self.0.key
    }

    pub(super) fn end(&self) -> &End {
        &self.0.end
    }

    /// The ids that its secrets had.
    pub fn used_kids(&self) -> UsedKids {
        self.0.state.used_kids()
    }

    /// The newest audit line that was surely on the disk when the last change was made.
    pub fn audited(&self) -> u64 {
        self.0.audited
    }

    /// Bytes that an interrupted write left at the end.
    pub fn unfinished_bytes(&self) -> u64 {
        self.0.unfinished_bytes
    }

    /// How many secrets have a current version.
    pub fn secret_count(&self) -> u64 {
        self.0.state.secret_count
    }

    pub fn version_count(&self) -> u64 {
        self.0.state.version_count
    }

    pub fn kids(&self) -> BTreeSet<String> {
        let mut kids = BTreeSet::new();
        self.each(|name, secret| kids.extend(secret.versions.iter().map(|kept| kept.version.kid.of(name))));
        kids
    }

    /// Of each secret what a `PATCH` of it changes.
    pub fn settings(&self) -> BTreeMap<String, Configured> {
        let mut settings = BTreeMap::new();
        self.each(|name, secret| {
            let current = &secret.current().version;
            let (rotation, generator) = (current.rotation, current.next_generator());
            let configured =
                Configured { rotation, generator, settings: secret.settings().cloned().unwrap_or_default() };
            settings.insert(name.to_owned(), configured);
        });
        settings
    }

    fn each(&self, mut look: impl FnMut(&str, &Secret)) {
        let mut from = Some(String::new());
        while let Some(start) = from {
            from = self.0.state.page(&start, usize::MAX, |name, secret, _: &mut Vec<()>| look(name, secret)).next;
        }
    }

    /// Seals what is kept beside the vault with its data key, bound to `associated`, which no record's is equal to.
    pub fn seal(&self, associated: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Failure> {
        self.0.key.key.seal(associated, plaintext)
    }

    /// Opens what [`seal`](Self::seal) made.
    pub fn open(&self, associated: &[u8], sealed: &[u8]) -> Result<Wiped, NotAuthentic> {
        self.0.key.key.open(associated, sealed)
    }
}
