//! What the vault knows: secrets, their versions (sealed), and the ids that were used up.

mod pages;
mod secret;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::expiring::Expiring;
use super::kid::Kid;
use super::log::change::Change;
use super::log::record::Sealed;
use super::used_kids::UsedKids;
use crate::base::clock::Timestamp;
pub use pages::{PAGE, Page};
use secret::{Effect, Ended};
pub use secret::{Secret, StoredVersion};

/// By how much the clocks of several daemons may differ: then the later time is everyone's.
const MOST_AHEAD: Duration = Duration::from_secs(300);

/// Why there is nothing to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No such secret, or no such version of it.
    NotFound,
    /// There was such a version, and its grace is over.
    Gone,
}

/// All secrets, after change number `seq`.
#[derive(Default)]
pub struct State {
    /// The number of the last change.
    pub seq: u64,
    /// When the last version was made, by the clock of whoever made it.
    last_made: Timestamp,
    secrets: BTreeMap<String, Secret>,
    /// The ids that no secret may get any more, besides those that each one spent.
    pub used: UsedKids,
    /// Secrets that have a current version.
    pub secret_count: u64,
    /// Versions of all secrets that are or were current.
    pub version_count: u64,
    /// Versions that are being made.
    pub pending_count: u64,
    /// Records that hold a version, the end of one, or settings.
    pub live_records: u64,
    /// What their lines take in the file.
    pub live_bytes: u64,
    /// What those of them take that hold a version with an end.
    pub expiring: Expiring,
}

impl State {
    /// Makes `change`, which `record` holds, number `record.seq`. Returns what is to be dropped outside of the lock.
    pub fn apply(&mut self, change: Change, record: Arc<Sealed>) -> Vec<StoredVersion> {
        self.seq = self.seq.max(record.seq);
        if let Change::Put { version, .. } | Change::Prepare { version, .. } = &change {
            self.last_made = version.created_at;
        }
        if let Change::UsedKids { used } | Change::Branch { used } = &change {
            self.used.add_those(used);
        }
        let (name, _) = change.subject();
        let secret = match self.secrets.get_mut(name) {
            Some(secret) => secret,
            None if change.may_be_a_first() => self.secrets.entry(name.to_owned()).or_default(),
            None => return Vec::new(),
        };
        let (bytes, before) = (record.line_length(), sizes(secret));
        let effect = secret.apply(change, record);
        let after = sizes(secret);
        let counts = [&mut self.secret_count, &mut self.version_count, &mut self.pending_count];
        for ((count, before), after) in counts.into_iter().zip(before).zip(after) {
            *count = *count + after - before;
        }
        if effect.is_kept {
            self.live_records += 1;
            self.live_bytes += bytes;
        }
        self.note(&effect);
        effect.gone
    }

    /// Takes what is no longer needed, and the ends of versions, into the figures.
    fn note(&mut self, effect: &Effect<Arc<Sealed>>) {
        for record in effect.gone.iter().flat_map(StoredVersion::records).chain(&effect.replaced) {
            self.live_records -= 1;
            self.live_bytes -= record.line_length();
        }
        for kept in &effect.gone {
            kept.readable_until.inspect(|end| self.expiring.remove(*end, kept.record.line_length()));
        }
        if let Some(Ended { record, before, until }) = &effect.ended {
            let bytes = record.line_length();
            before.inspect(|before| self.expiring.remove(*before, bytes));
            self.expiring.add(*until, bytes);
        }
    }

    /// Puts records of `name` in the place of those with the same numbers; see [`Secret::exchange`].
    pub fn exchange(&mut self, name: &str, anew: &[Arc<Sealed>]) -> Vec<Arc<Sealed>> {
        self.secrets.get_mut(name).map_or_else(Vec::new, |secret| secret.exchange(anew))
    }

    /// What is known of `name`, if it has a current version.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name).filter(|secret| !secret.versions.is_empty())
    }

    /// The version of `name` called `kid`, or the current one.
    pub fn find(&self, name: &str, kid: Option<&str>, now: Timestamp) -> Result<&StoredVersion, Missing> {
        let secret = self.secrets.get(name).ok_or(Missing::NotFound)?;
        let current = secret.versions.back().ok_or(Missing::NotFound)?;
        let Some(kid) = kid else { return Ok(current) };
        let kid = Kid::parse(name, kid).ok_or(Missing::NotFound)?;
        match secret.versions.iter().rev().find(|kept| kept.version.kid == kid) {
            Some(kept) if kept.is_gone(now) => Err(Missing::Gone),
            Some(kept) => Ok(kept),
            None if secret.pending().is_some_and(|pending| pending.version.kid == kid) => Err(Missing::NotFound),
            None if secret.has_spent(kid) || self.used.contains(kid) => Err(Missing::Gone),
            None => Err(Missing::NotFound),
        }
    }

    /// An id for a version of `name` made now: one that it never had, also if the clock was set back.
    pub fn unused_kid(&self, name: &str, now: Timestamp) -> Kid {
        let first = self.used.free_from(Kid::first(now));
        self.secrets.get(name).map_or(first, |secret| secret.unused_kid(first))
    }

    /// The time at which a change is made now, by a clock that says `now`: not before the last version was made, so that versions
    /// come in the order of their ids although the clocks of several daemons differ. One that was made a long time ahead was
    /// made by a clock that was wrong, and does not count.
    pub fn not_before_last(&self, now: Timestamp) -> Timestamp {
        let latest = now.plus(MOST_AHEAD);
        if (now..=latest).contains(&self.last_made) { self.last_made } else { now }
    }

    /// All ids that any secret ever had, as far as that is known, and all that none may get any more.
    pub fn used_kids(&self) -> UsedKids {
        let mut used = self.used.clone();
        self.secrets.values().flat_map(Secret::kids).for_each(|kid| used.add(kid));
        used
    }

    /// The ids that each secret has spent, of each second the last, also of deleted secrets.
    #[cfg(test)]
    pub fn spent(&self) -> impl Iterator<Item = (&str, &[Kid])> {
        self.secrets.iter().map(|(name, secret)| (name.as_str(), secret.spent()))
    }
}

/// How many secrets with a current version it is, how many versions it has, and how many that are being made.
fn sizes(secret: &Secret) -> [u64; 3] {
    let versions = secret.versions.len() as u64;
    [versions.min(1), versions, u64::from(secret.pending().is_some())]
}

#[cfg(test)]
mod tests;
