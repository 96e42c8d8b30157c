//! One secret: its versions and settings, and what a change makes of them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::vault::kid::Kid;
use crate::vault::log::change::Change;
use crate::vault::log::record::Sealed;
use crate::vault::settings::Settings;
use crate::vault::version::Version;

/// One version that is still there. `R` is what stands for a record.
#[derive(Clone)]
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct StoredVersion<R = Arc<Sealed>> {
    pub version: Version,
    /// Until when it stays readable; none: it is the current version.
    pub readable_until: Option<Timestamp>,
    /// The record that holds its value.
    pub record: R,
    /// The record that says until when it is readable; none: the one of the version behind it does.
    ending: Option<R>,
}

/// What is known of one secret. A deleted one stays without versions, for its spent ids, until the next compaction.
///
/// `R` is what stands for a record: for the state the record itself, for a plan its number. What a change makes of a secret
/// does not depend on it, so that a plan foresees what the state will be.
pub struct Secret<R = Arc<Sealed>> {
    /// In the order in which they became current; the last one is.
    pub versions: VecDeque<StoredVersion<R>>,
    /// Boxed, like what follows: most secrets have neither.
    configured: Option<Box<Configured<R>>>,
    /// The version that is being made and may become the current one.
    pending: Option<Box<StoredVersion<R>>>,
    /// Of each second, in order, the last id whose version was destroyed since the last compaction; none of that second up to
    /// it must come again. The ids of a second are given out without a gap, so those before it are destroyed too, or among
    /// the versions, or used up for every secret.
    spent: Vec<Kid>,
    newest: Option<Kid>,
}

/// Settings, and the record that holds them.
struct Configured<R> {
    settings: Settings,
    record: R,
}

/// What a change has done to a secret besides changing it.
pub struct Effect<R> {
    /// Its versions that are no longer there as they were: nothing needs their records any more.
    pub gone: Vec<StoredVersion<R>>,
    /// Its own record is needed.
    pub is_kept: bool,
    /// The record whose place that one takes, if there was one.
    pub replaced: Option<R>,
    /// The version that has another end now.
    pub ended: Option<Ended<R>>,
}

/// That a version is readable until some moment.
pub struct Ended<R> {
    /// The record that holds its value.
    pub record: R,
    /// Until when it was readable before; none: it had no end.
    pub before: Option<Timestamp>,
    pub until: Timestamp,
}

impl<R> Effect<R> {
    fn none() -> Self {
        Self { gone: Vec::new(), is_kept: false, replaced: None, ended: None }
    }

    fn destruction(gone: Vec<StoredVersion<R>>) -> Self {
        Self { gone, ..Self::none() }
    }
}

impl<R> Default for Secret<R> {
    fn default() -> Self {
        Self { versions: VecDeque::new(), configured: None, pending: None, spent: Vec::new(), newest: None }
    }
}

impl<R: Clone> StoredVersion<R> {
    fn new(version: Version, record: R) -> Self {
        Self { version, readable_until: None, record, ending: None }
    }

    /// It is readable until `until`.
    fn end(&mut self, until: Timestamp) -> Ended<R> {
        Ended { record: self.record.clone(), before: self.readable_until.replace(until), until }
    }

    /// The records that are needed as long as it is there.
    pub fn records(&self) -> impl Iterator<Item = &R> {
        std::iter::once(&self.record).chain(&self.ending)
    }

    /// Whether its grace is over.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        self.readable_until.is_some_and(|until| until <= now)
    }
}

impl<R: Clone> Secret<R> {
    /// Makes `change`, which `record` holds.
    ///
    /// A change of what is not there does nothing: while a compaction runs, its snapshot may already know of it. Settings
    /// are the exception, for the version that they were made with may be gone and the next one still to come.
    pub fn apply(&mut self, change: Change, record: R) -> Effect<R> {
        match change {
            Change::Put { version, previous_until, before, .. } => self.put(version, record, previous_until, before),
            Change::Configure { settings, rotation, generator, expires_at, .. } => {
                if let Some(current) = self.versions.back_mut() {
                    current.version = Version { rotation, generator, expires_at, ..current.version };
                }
                let before = self.configured.replace(Box::new(Configured { settings, record }));
                Effect { is_kept: true, replaced: before.map(|before| before.record), ..Effect::none() }
            }
            Change::Prepare { version, .. } => {
                self.newest = self.newest.max(Some(version.kid));
                let before = self.pending.replace(Box::new(StoredVersion::new(version, record)));
                Effect { is_kept: true, ..Effect::destruction(before.into_iter().map(|before| *before).collect()) }
            }
            Change::Delete { .. } => {
                let pending = self.pending.take().map(|pending| *pending);
                let gone: Vec<_> = pending.into_iter().chain(std::mem::take(&mut self.versions)).collect();
                gone.iter().for_each(|kept| self.spend(kept.version.kid));
                let configured = self.configured.take().map(|configured| configured.record);
                Effect { replaced: configured, ..Effect::destruction(gone) }
            }
            Change::Destroy { kid, .. } => Effect::destruction(self.destroy(kid)),
            Change::DestroyBetween { kid, before, before_until, .. } => {
                let destruction = Effect::destruction(self.destroy(kid));
                let Some(older) = self.versions.iter_mut().find(|kept| kept.version.kid == before.kid) else {
                    return destruction;
                };
                older.version = before;
                let ended = older.end(before_until);
                Effect { is_kept: true, replaced: older.ending.replace(record), ended: Some(ended), ..destruction }
            }
            Change::Spent { kids, .. } => {
                kids.into_iter().for_each(|kid| self.spend(kid));
                Effect::none()
            }
            // These are about no secret.
            Change::UsedKids { .. } | Change::Branch { .. } | Change::Snapshot { .. } => Effect::none(),
        }
    }

    fn put(&mut self, version: Version, record: R, until: Timestamp, before: Option<Version>) -> Effect<R> {
        // What is prepared becomes this version now, unless somebody was faster: then it has come too late.
        let prepared = self.pending.take();
        let late = prepared.iter().map(|prepared| prepared.version.kid).find(|kid| *kid != version.kid);
        self.newest = self.newest.max(Some(version.kid));
        late.into_iter().for_each(|kid| self.spend(kid));
        let ended = self.versions.back_mut().map(|previous| {
            if let Some(before) = before.filter(|before| before.kid == previous.version.kid) {
                previous.version = before;
            }
            previous.end(until)
        });
        if self.versions.is_empty() {
            // Most secrets have one version, and by itself the first would take the room of four.
            self.versions.reserve_exact(1);
        }
        self.versions.push_back(StoredVersion::new(version, record));
        Effect { is_kept: true, ended, ..Effect::destruction(prepared.into_iter().map(|prepared| *prepared).collect()) }
    }

    fn destroy(&mut self, kid: Kid) -> Vec<StoredVersion<R>> {
        let pending = self.pending.take_if(|pending| pending.version.kid == kid).map(|pending| *pending);
        // From the front: what goes is usually the oldest.
        let place = self.versions.iter().position(|kept| kept.version.kid == kid);
        let gone: Vec<_> = pending.into_iter().chain(place.and_then(|place| self.versions.remove(place))).collect();
        if !gone.is_empty() {
            self.spend(kid);
        }
        if self.versions.is_empty() {
            self.versions = VecDeque::new();
        }
        gone
    }
}

impl<R> Secret<R> {
    pub fn current(&self) -> &StoredVersion<R> {
        self.versions.back().expect("a secret is shown only if it has versions")
    }

    /// The version that is being made and may become the current one.
    pub fn pending(&self) -> Option<&StoredVersion<R>> {
        self.pending.as_deref()
    }

    /// Its settings; none: all have their defaults.
    pub fn settings(&self) -> Option<&Settings> {
        self.configured.as_ref().map(|configured| &configured.settings)
    }

    /// Whether there is nothing to know of it.
    pub fn is_nothing(&self) -> bool {
        self.versions.is_empty() && self.pending.is_none() && self.configured.is_none() && self.spent.is_empty()
    }

    /// The ids that it has spent since the last compaction: of each second the last, which stands for those before it.
    pub fn spent(&self) -> &[Kid] {
        &self.spent
    }

    /// Forgets those: they are used up for every secret from here on.
    pub fn forget_spent(&mut self) -> Vec<Kid> {
        std::mem::take(&mut self.spent)
    }

    /// All ids that it ever had, as far as that is known here.
    pub fn kids(&self) -> impl Iterator<Item = Kid> {
        let kept = self.pending.as_deref().into_iter().chain(&self.versions);
        kept.map(|kept| kept.version.kid).chain(self.spent.iter().copied())
    }

    /// An id that it never had: `first`, which is the first of its second that is not used up for every secret, or one behind it.
    pub fn unused_kid(&self, first: Kid) -> Kid {
        match self.newest {
            Some(newest) if newest.same_second(first) => newest.next().max(first),
            Some(newest) if newest > first => {
                let last = self.kids().filter(|kid| kid.same_second(first)).max();
                last.map_or(first, |last| last.next().max(first))
            }
            _ => first,
        }
    }

    fn spend(&mut self, kid: Kid) {
        self.newest = self.newest.max(Some(kid));
        match self.last_spent(kid) {
            Ok(place) => self.spent[place] = self.spent[place].max(kid),
            Err(place) => self.spent.insert(place, kid),
        }
    }

    pub fn has_spent(&self, kid: Kid) -> bool {
        self.last_spent(kid).is_ok_and(|place| kid <= self.spent[place])
    }

    /// Where the one of the same second as `kid` is, or else would be.
    fn last_spent(&self, kid: Kid) -> Result<usize, usize> {
        self.spent.binary_search_by_key(&kid.second(), |spent| spent.second())
    }
}

impl Secret {
    /// The records that hold all this, but for the spent ids.
    pub fn records(&self) -> impl Iterator<Item = &Arc<Sealed>> {
        let versions = self.versions.iter().chain(self.pending.as_deref()).flat_map(StoredVersion::records);
        versions.chain(self.configured.as_ref().map(|configured| &configured.record))
    }

    /// Puts each of the records `anew`, which are in the order of their numbers and say what those say that have these numbers
    /// now, in the place of that one. Returns the ones from before.
    pub fn exchange(&mut self, anew: &[Arc<Sealed>]) -> Vec<Arc<Sealed>> {
        let Self { versions, pending, configured, .. } = self;
        let kept = versions.iter_mut().chain(pending.as_deref_mut());
        let records = kept.flat_map(|kept| std::iter::once(&mut kept.record).chain(&mut kept.ending));
        let records = records.chain(configured.as_mut().map(|configured| &mut configured.record));
        let exchanged = records.filter_map(|record| {
            let other = anew.binary_search_by_key(&record.seq, |other| other.seq).ok()?;
            Some(std::mem::replace(record, anew[other].clone()))
        });
        exchanged.collect()
    }

    /// A copy to plan on, with the numbers of the records. It has neither the versions that are no longer current nor the ids
    /// that were spent.
    pub fn without_older(&self) -> Secret<u64> {
        let configured = self.configured.as_ref().map(|configured| {
            let Configured { settings, record } = &**configured;
            Box::new(Configured { settings: settings.clone(), record: record.seq })
        });
        Secret {
            versions: self.versions.back().map(StoredVersion::numbered).into_iter().collect(),
            configured,
            pending: self.pending.as_ref().map(|pending| Box::new(pending.numbered())),
            ..Secret::default()
        }
    }
}

impl Secret<u64> {
    /// Adds older versions, at most so many, which `original` has, to a copy of it whose oldest one is `oldest`. Returns whether
    /// it then has all.
    pub fn add_older(&mut self, original: &Secret, oldest: &mut Option<Kid>, most: usize) -> bool {
        let all = &original.versions;
        let end =
            oldest.map_or(all.len(), |oldest| all.iter().rposition(|kept| kept.version.kid == oldest).unwrap_or(0));
        let begin = end.saturating_sub(most);
        all.range(begin..end).rev().for_each(|kept| self.versions.push_front(kept.numbered()));
        *oldest = all.get(begin).map(|kept| kept.version.kid);
        begin == 0
    }

    /// Whether its settings were changed since `version` was made what it is.
    pub fn is_configured_since(&self, version: &StoredVersion<u64>) -> bool {
        self.configured.as_ref().is_some_and(|configured| configured.record > version.record)
    }
}

impl StoredVersion {
    fn numbered(&self) -> StoredVersion<u64> {
        let Self { version, readable_until, record, ending } = self;
        let ending = ending.as_ref().map(|record| record.seq);
        StoredVersion { version: version.clone(), readable_until: *readable_until, record: record.seq, ending }
    }
}
