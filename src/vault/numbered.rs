//! Versions by their numbers, as Vault's API names them: the number of a version is that of the change that made it current.
//!
//! It stays the same as long as the version is there, whatever is written anew, and is the same at all daemons that share the
//! vault. Versions of one secret have rising numbers, with gaps: the changes of all secrets are counted together.

use super::settings::Settings;
use super::state::Missing;
use super::{Vault, VersionRef};
use crate::base::clock::Timestamp;
use crate::base::sync::lock;

/// Which version of a secret is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Current,
    Number(u64),
}

/// A version that was found by its number, with what is known of it and of its secret at the same moment.
pub struct Numbered {
    pub version: VersionRef,
    pub number: u64,
    pub created_at: Timestamp,
    pub is_current: bool,
    pub settings: Settings,
}

impl Vault {
    /// Finds this version of `name`. A change of a value and of settings is seen whole, or not at all.
    pub fn find_numbered(&self, name: &str, wanted: Wanted) -> Result<Numbered, Missing> {
        let now = self.clock.now();
        let state = lock(&self.state);
        let secret = state.secret(name).ok_or(Missing::NotFound)?;
        let kept = match wanted {
            Wanted::Current => Some(secret.current()),
            Wanted::Number(number) => secret.versions.iter().find(|kept| kept.record.seq == number),
        };
        let kept = kept.ok_or(Missing::NotFound)?;
        if kept.is_gone(now) {
            return Err(Missing::Gone);
        }
        let (id, created_at) = (kept.version.kid, kept.version.created_at);
        let expires_at = kept.readable_until.unwrap_or(kept.version.expires_at);
        let (record, number, is_current) = (kept.record.clone(), kept.record.seq, kept.readable_until.is_none());
        let settings = secret.settings().cloned().unwrap_or_default();
        drop(state);
        let version = VersionRef::new(name, id, expires_at, record);
        Ok(Numbered { version, number, created_at, is_current, settings })
    }
}
