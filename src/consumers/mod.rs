//! Who still uses an older version: which clients have fetched the current version of a secret, and which have not.
//!
//! What is known is what the audit log says of the versions that can be read. It is noted as it is served, and after a
//! start read from the log once more ([`ReadHistory`]), so that a restart changes nothing. Daemons that share a vault have an
//! audit log each, and tell one another of the first read of each version by each client ([`SharedReads`]).

mod announce;
mod read_history;
mod reads;
mod receipt;
mod shared;

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

pub(crate) use read_history::ReadHistory;
pub(crate) use reads::Last;
pub use receipt::Receipt;
pub(crate) use shared::{SharedRead, SharedReads};

use crate::base::clock::Timestamp;
use crate::base::sync::lock;
use crate::metrics::Page;
use crate::vault::{Census, Kid, Readable, Replaced, Seen, Unavailable, Vault};
use reads::{Reads, Summary};

/// Which clients have read which versions, of all secrets.
pub struct Consumers {
    vault: Arc<Vault>,
    /// Locked before the vault's state where both are; the vault never locks it.
    reads: Mutex<Reads>,
    /// Set when the audit log was read: the time since when all is known that it says; none if that is all that matters.
    recollected: OnceLock<Option<Timestamp>>,
    /// Where the daemons that share the vault note reads; none: this one has it for itself.
    shared: Option<Arc<dyn SharedReads>>,
}

/// What is known of the clients of one secret.
pub struct Standing {
    /// Its versions that can be read, the current one first.
    pub readable: Vec<Readable>,
    /// Its clients, sorted by name, and what each has read last.
    pub consumers: Vec<(String, Last)>,
    /// The time since when all reads of them are known; none while the audit log is still being read.
    pub complete_since: Option<Timestamp>,
    /// What this goes by, where several daemons share the vault.
    pub seen: Option<Seen>,
}

/// How many are behind: clients, counted once for each secret, that have read an older version and not the current one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stale {
    /// Clients that cannot read their version any more in a day or less.
    pub last_day: u64,
    /// Clients that can read theirs for longer.
    pub longer: u64,
}

impl Stale {
    pub fn write(&self, page: &mut Page) {
        page.gauge(
            "stale_consumers",
            "Clients, once for each secret, that have read an older version and not the current one, by how long it can be \
             read.",
        )
        .sample(&[("grace", "last_day")], self.last_day)
        .sample(&[("grace", "longer")], self.longer);
    }
}

impl Consumers {
    /// Those of the secrets in `vault`, none of which is known yet.
    pub fn new(vault: Arc<Vault>) -> Self {
        Self { vault, reads: Mutex::default(), recollected: OnceLock::new(), shared: None }
    }

    /// The same, where several daemons share the vault, and note in `shared` what their clients read.
    pub fn sharing(mut self, shared: Arc<dyn SharedReads>) -> Self {
        self.shared = Some(shared);
        self
    }

    /// Notes that `client` has read the version `kid` of `name`, by an audit line of the time `at`.
    ///
    /// It costs three look-ups, and allocates nothing, when that client has read that version before. The vault is asked only
    /// about the first read of a version.
    pub fn note(&self, name: &str, client: &str, kid: Kid, at: Timestamp) {
        let mut reads = lock(&self.reads);
        if reads.update(name, client, kid, at) {
            return;
        }
        if self.vault.is_readable(name, kid) {
            let readable = LazyCell::new(|| self.vault.readable(name));
            reads.insert(name, client, kid, at, |kid| readable.contains(&kid));
        }
    }

    /// Forgets `name`, if that was deleted.
    pub fn forget_deleted(&self, name: &str) {
        let forgotten = {
            let mut reads = lock(&self.reads);
            let is_deleted = self.vault.find(name, None).is_err();
            is_deleted.then(|| reads.forget(name))
        };
        drop(forgotten);
    }

    /// What is known of `name`, to whichever of the daemons that share the vault; none if there is no such secret.
    ///
    /// # Errors
    /// If it cannot be found out what the others know.
    pub fn of(&self, name: &str) -> Result<Option<Standing>, Unavailable> {
        let mut seen = None;
        if let Some(shared) = &self.shared {
            let (reads, as_seen) = shared.of(name)?;
            self.take_in(&reads);
            seen = Some(as_seen);
        }
        Ok(self.known(name, seen))
    }

    fn known(&self, name: &str, seen: Option<Seen>) -> Option<Standing> {
        let readable = self.vault.describe(name)?.versions;
        let oldest = readable.last()?.version.created_at;
        // In this order: what was not in the log yet is noted when it has been read.
        let since = match self.shared_since() {
            Some(since) => Some(since.max(oldest)),
            None => self.recollected.get().map(|since| since.map_or(oldest, |since| since.max(oldest))),
        };
        let current = readable[0].version.kid;
        let kids: BTreeSet<Kid> = readable.iter().map(|readable| readable.version.kid).collect();
        let consumers = self.named(self.last(name, current, |kid| kids.contains(&kid)));
        Some(Standing { readable, consumers, complete_since: since, seen })
    }

    /// Counts the secrets and versions of the vault, and the clients that are behind; those not while the audit log is still being
    /// read. It looks at all secrets, and holds up nobody meanwhile.
    pub fn census(&self) -> (Census, Option<Stale>) {
        let (now, mut stale) = (self.vault.now(), Stale::default());
        let census = self.vault.census(&mut |replaced| self.count_stale(&replaced, now, &mut stale));
        (census, self.recollected.get().map(|_| stale))
    }

    /// Adds to `stale` those who are behind in the secret `replaced`, at the time `now`.
    fn count_stale(&self, replaced: &Replaced, now: Timestamp, stale: &mut Stale) {
        let Some((current, _)) = replaced.versions.first() else { return };
        let ends: BTreeMap<Kid, Option<Timestamp>> = replaced.versions.iter().copied().collect();
        let tomorrow = now.plus_days(1);
        let last = self.last(&replaced.name, *current, |kid| ends.contains_key(&kid));
        for (_, last) in last.into_iter().filter(|(_, last)| !last.up_to_date) {
            let until = ends.get(&last.kid).copied().flatten();
            let count =
                if until.is_some_and(|until| until <= tomorrow) { &mut stale.last_day } else { &mut stale.longer };
            *count += 1;
        }
    }

    /// What each client, by its number, has read last among the `readable` versions of a secret, one of which is the current
    /// one. Whoever reads meanwhile may count or not.
    fn last(&self, name: &str, current: Kid, readable: impl Fn(Kid) -> bool) -> Vec<(u32, Last)> {
        let mut summary = Summary::default();
        reads::turn_pages(&self.reads, name, |reads| {
            for (kid, read) in reads.into_iter().filter(|(kid, _)| readable(*kid)) {
                summary.add(kid, read, kid == current);
            }
        });
        summary.into_last()
    }

    /// The same with the clients' names, in their order.
    fn named(&self, last: Vec<(u32, Last)>) -> Vec<(String, Last)> {
        let mut named = Vec::with_capacity(last.len());
        for page in last.chunks(reads::PAGE) {
            let names = lock(&self.reads).names(page.iter().map(|(client, _)| client));
            named.extend(names.iter().zip(page).map(|(name, (_, last))| (name.to_string(), *last)));
        }
        named.sort_by(|(one, _), (other, _)| one.cmp(other));
        named
    }
}

impl Standing {
    pub fn current(&self) -> Kid {
        self.readable[0].version.kid
    }

    /// Whether no read of a version that can be read is missing.
    pub fn is_complete(&self) -> bool {
        let oldest = self.readable.last().map(|oldest| oldest.version.created_at);
        self.complete_since.is_some() && self.complete_since == oldest
    }

    /// The clients that have not read the current version.
    pub fn behind(&self) -> impl Iterator<Item = &(String, Last)> {
        self.consumers.iter().filter(|(_, last)| !last.up_to_date)
    }
}

#[cfg(test)]
mod tests;
