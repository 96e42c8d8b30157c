//! What the vault knows: secrets, their versions (sealed), and the ids that were used up.

mod pages;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::expiring::Expiring;
use super::kid::Kid;
use super::log::change::Change;
use super::log::record::Sealed;
use super::settings::Settings;
use super::used_kids::UsedKids;
use super::version::Version;
use crate::base::clock::Timestamp;
pub use pages::{PAGE, Page};

/// One version that is still there.
#[derive(Clone)]
pub struct StoredVersion {
    pub version: Version,
    /// Until when it stays readable; none: it is the current version.
    pub readable_until: Option<Timestamp>,
    /// The record that holds its value.
    pub record: Arc<Sealed>,
    /// The record that says until when it is readable; none: the one of the version behind it does.
    ending: Option<Arc<Sealed>>,
}

impl StoredVersion {
    fn new(version: Version, record: Arc<Sealed>) -> Self {
        Self { version, readable_until: None, record, ending: None }
    }

    /// It is readable until `until`.
    fn end(&mut self, until: Timestamp, expiring: &mut Expiring) {
        let bytes = self.record.line_length();
        if let Some(before) = self.readable_until.replace(until) {
            expiring.remove(before, bytes);
        }
        expiring.add(until, bytes);
    }

    /// The records that are needed as long as it is there.
    fn records(&self) -> impl Iterator<Item = &Arc<Sealed>> {
        std::iter::once(&self.record).chain(&self.ending)
    }

    /// Whether its grace is over.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        self.readable_until.is_some_and(|until| until <= now)
    }
}

/// Why there is nothing to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No such secret, or no such version of it.
    NotFound,
    /// There was such a version, and its grace is over.
    Gone,
}

/// What is known of one secret. A deleted one stays without versions, for its spent ids, until the next compaction.
#[derive(Default)]
pub struct Secret {
    /// In the order in which they became current; the last one is.
    pub versions: VecDeque<StoredVersion>,
    /// Boxed, like what follows: most secrets have neither.
    configured: Option<Box<Configured>>,
    /// The version that is being made and may become the current one.
    pending: Option<Box<StoredVersion>>,
    /// Of each second, in order, the last id whose version was destroyed since the last compaction; none of that second up to
    /// it must come again. The ids of a second are given out without a gap, so those before it are destroyed too, or among
    /// the versions, or used up for every secret.
    spent: Vec<Kid>,
    newest: Option<Kid>,
}

/// Settings, and the record that holds them.
struct Configured {
    settings: Settings,
    record: Arc<Sealed>,
}

/// All secrets, after change number `seq`.
#[derive(Default)]
pub struct State {
    /// The number of the last change.
    pub seq: u64,
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
    ///
    /// A change of what is not there does nothing: while a compaction runs, its snapshot may already know of it. Settings
    /// are the exception, for the version that they were made with may be gone and the next one still to come.
    pub fn apply(&mut self, change: Change, record: Arc<Sealed>) -> Vec<StoredVersion> {
        self.seq = self.seq.max(record.seq);
        match change {
            Change::Put { name, version, previous_until, before } => {
                // It becomes this version now, unless somebody was faster: then it has come too late.
                let garbage = self.drop_pending(&name, |_| true);
                self.gain(&record);
                self.version_count += 1;
                let secret = self.secrets.entry(name).or_default();
                match secret.versions.back_mut() {
                    Some(previous) => {
                        if let Some(before) = before.filter(|before| before.kid == previous.version.kid) {
                            previous.version = before;
                        }
                        previous.end(previous_until, &mut self.expiring);
                    }
                    None => self.secret_count += 1,
                }
                secret.newest = secret.newest.max(Some(version.kid));
                if let Some(late) = garbage.iter().find(|late| late.version.kid != version.kid) {
                    secret.spend(late.version.kid);
                }
                if secret.versions.is_empty() {
                    // Most secrets have one version, and by itself the first would take the room of four.
                    secret.versions.reserve_exact(1);
                }
                secret.versions.push_back(StoredVersion::new(version, record));
                garbage
            }
            Change::Configure { name, settings, rotation, generator, expires_at } => {
                self.gain(&record);
                let secret = self.secrets.entry(name).or_default();
                if let Some(current) = secret.versions.back_mut() {
                    let version = Version { rotation, generator, expires_at, ..current.version };
                    current.version = version;
                }
                let before = secret.configured.replace(Box::new(Configured { settings, record }));
                self.lose(before.iter().map(|before| &before.record));
                Vec::new()
            }
            Change::Prepare { name, version } => {
                let garbage = self.drop_pending(&name, |_| true);
                self.gain(&record);
                self.pending_count += 1;
                let secret = self.secrets.entry(name).or_default();
                secret.newest = secret.newest.max(Some(version.kid));
                secret.pending = Some(Box::new(StoredVersion::new(version, record)));
                garbage
            }
            Change::Delete { name } => {
                if let Some(secret) = self.secrets.get_mut(&name) {
                    let configured = secret.configured.take();
                    self.lose(configured.iter().map(|configured| &configured.record));
                }
                self.remove(&name, |_| true)
            }
            Change::Destroy { name, kid } => self.remove(&name, |kept| kept.version.kid == kid),
            Change::DestroyBetween { name, kid, before, before_until } => {
                let removed = self.remove(&name, |kept| kept.version.kid == kid);
                self.restate(&name, before, before_until, record);
                removed
            }
            Change::Spent { name, kids } => {
                let secret = self.secrets.entry(name).or_default();
                for kid in kids {
                    secret.spend(kid);
                }
                Vec::new()
            }
            Change::UsedKids { used } | Change::Branch { used } => {
                self.used.add_those(&used);
                Vec::new()
            }
            Change::Snapshot { .. } => Vec::new(),
        }
    }

    fn gain(&mut self, record: &Sealed) {
        self.live_records += 1;
        self.live_bytes += record.line_length();
    }

    fn lose<'r>(&mut self, records: impl IntoIterator<Item = &'r Arc<Sealed>>) {
        for record in records {
            self.live_records -= 1;
            self.live_bytes -= record.line_length();
        }
    }

    /// This is what the older version `version` is, and until when it is readable, as `record` says.
    fn restate(&mut self, name: &str, version: Version, until: Timestamp, record: Arc<Sealed>) {
        let versions = self.secrets.get_mut(name).into_iter().flat_map(|secret| &mut secret.versions);
        if let Some(kept) = versions.into_iter().find(|kept| kept.version.kid == version.kid) {
            kept.version = version;
            kept.end(until, &mut self.expiring);
            let before = kept.ending.replace(record.clone());
            self.gain(&record);
            self.lose(&before);
        }
    }

    fn drop_pending(&mut self, name: &str, goes: impl Fn(&StoredVersion) -> bool) -> Vec<StoredVersion> {
        let secret = self.secrets.get_mut(name);
        let dropped = secret.and_then(|secret| secret.pending.take_if(|pending| goes(pending)));
        self.pending_count -= u64::from(dropped.is_some());
        self.lose(dropped.iter().map(|dropped| &dropped.record));
        dropped.map(|dropped| *dropped).into_iter().collect()
    }

    fn remove(&mut self, name: &str, goes: impl Fn(&StoredVersion) -> bool) -> Vec<StoredVersion> {
        let mut removed = self.drop_pending(name, &goes);
        let Some(secret) = self.secrets.get_mut(name) else { return removed };
        removed.iter().for_each(|pending| secret.spend(pending.version.kid));
        let existed = !secret.versions.is_empty();
        let pending = removed.len();
        // From the front: what goes is usually the oldest, or all.
        let mut at = 0;
        while at < secret.versions.len() {
            if goes(&secret.versions[at]) {
                removed.extend(secret.versions.remove(at));
            } else {
                at += 1;
            }
        }
        removed[pending..].iter().for_each(|kept| secret.spend(kept.version.kid));
        if existed && secret.versions.is_empty() {
            secret.versions = VecDeque::new();
            self.secret_count -= 1;
        }
        self.version_count -= (removed.len() - pending) as u64;
        for kept in &removed[pending..] {
            kept.readable_until.inspect(|end| self.expiring.remove(*end, kept.record.line_length()));
        }
        self.lose(removed[pending..].iter().flat_map(StoredVersion::records));
        removed
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
        let Some(secret) = self.secrets.get(name) else { return first };
        match secret.newest {
            Some(newest) if newest.same_second(first) => newest.next().max(first),
            Some(newest) if newest > first => {
                let made = secret.pending.as_deref().into_iter().chain(&secret.versions);
                let ever = made.map(|kept| kept.version.kid).chain(secret.spent.iter().copied());
                ever.filter(|kid| kid.same_second(first)).max().map_or(first, |last| last.next().max(first))
            }
            _ => first,
        }
    }

    /// All ids that any secret ever had, as far as that is known, and all that none may get any more.
    pub fn used_kids(&self) -> UsedKids {
        let mut used = self.used.clone();
        for secret in self.secrets.values() {
            let kept = secret.pending.as_deref().into_iter().chain(&secret.versions);
            kept.map(|kept| kept.version.kid).chain(secret.spent.iter().copied()).for_each(|kid| used.add(kid));
        }
        used
    }

    /// The ids that each secret has spent, of each second the last, also of deleted secrets.
    #[cfg(test)]
    pub fn spent(&self) -> impl Iterator<Item = (&str, &[Kid])> {
        self.secrets.iter().map(|(name, secret)| (name.as_str(), &secret.spent[..]))
    }
}

impl Secret {
    pub fn current(&self) -> &StoredVersion {
        self.versions.back().expect("a secret is shown only if it has versions")
    }

    /// The version that is being made and may become the current one.
    pub fn pending(&self) -> Option<&StoredVersion> {
        self.pending.as_deref()
    }

    /// Its settings; none: all have their defaults.
    pub fn settings(&self) -> Option<&Settings> {
        self.configured.as_ref().map(|configured| &configured.settings)
    }

    /// The number of the change that made its settings what they are; none: all have their defaults.
    pub fn configured_at(&self) -> Option<u64> {
        self.configured.as_ref().map(|configured| configured.record.seq)
    }

    /// The records that hold all this, but for the spent ids.
    pub fn records(&self) -> impl Iterator<Item = &Arc<Sealed>> {
        let versions = self.versions.iter().chain(self.pending.as_deref()).flat_map(StoredVersion::records);
        versions.chain(self.configured.as_ref().map(|configured| &configured.record))
    }

    /// Whether there is nothing to know of it.
    fn is_nothing(&self) -> bool {
        self.versions.is_empty() && self.pending.is_none() && self.configured.is_none() && self.spent.is_empty()
    }

    fn spend(&mut self, kid: Kid) {
        self.newest = self.newest.max(Some(kid));
        match self.last_spent(kid) {
            Ok(place) => self.spent[place] = self.spent[place].max(kid),
            Err(place) => self.spent.insert(place, kid),
        }
    }

    fn has_spent(&self, kid: Kid) -> bool {
        self.last_spent(kid).is_ok_and(|place| kid <= self.spent[place])
    }

    /// Where the one of the same second as `kid` is, or else would be.
    fn last_spent(&self, kid: Kid) -> Result<usize, usize> {
        self.spent.binary_search_by_key(&kid.second(), |spent| spent.second())
    }
}

#[cfg(test)]
mod tests;
