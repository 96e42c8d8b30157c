//! The vault: secrets and their versions, sealed, behind one mutex, and the log file under them.
//!
//! The mutex is held for microseconds: a reader takes a reference to a sealed version and opens it outside; a change
//! is planned under the lock, made durable outside of it, and becomes visible when it is durable and audited.

mod aes;
mod branch;
mod claims;
mod commit;
mod contents;
mod copy;
mod copy_file;
mod expiring;
mod expiry;
mod found;
mod kid;
mod log;
mod master_key;
mod notes;
mod numbered;
mod order;
mod others;
mod plan;
mod reload;
mod seal;
mod settings;
mod shared;
mod shared_log;
mod state;
mod stats;
mod survey;
mod trouble;
mod used_kids;
mod version;
mod walk;
mod watchers;
mod write;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};

pub(crate) use claims::SharedClaim;
pub(crate) use commit::Foreseen;
pub(crate) use contents::Contents;
pub(crate) use copy::{SharedVault, Tail, behind as lines_behind, position_behind};
pub use found::Found;
pub(crate) use kid::Kid;
pub(crate) use log::compaction::Snapshot;
pub(crate) use log::data_key::DataKey;
pub(crate) use log::file::lines::LoadError;
pub(crate) use log::record::{Opened, seq as record_seq};
pub(crate) use log::replay::{History, Unaudited};
pub use master_key::{Filter, KeyFile, Patience, Wrapping, WrappingConfig};
pub(crate) use master_key::{KeyInForce, KeyStamp, LONGEST_WRAPPED, is_under, passphrase, shares, vault_id};
pub(crate) use numbered::{Numbered, Wanted};
pub(crate) use order::{AT_A_TIME, Answer, Condition, Done, Duty, New, Operation, Order, Previous, Refused};
pub(crate) use others::LastAdditions;
pub use seal::KeyBytes;
pub(crate) use seal::random;
pub(crate) use settings::{MAX_LABELS, Patch, Settings};
pub(crate) use shared::{Freshness, Marks, SharedStats};
pub(crate) use shared_log::{Added, Addition, Fence, Position, Seen, SharedLog, Unavailable};
pub(crate) use state::Missing;
pub use stats::Stats;
pub(crate) use survey::{Census, Description, Listed, Place, Readable, Replaced};
pub(crate) use used_kids::UsedKids;
pub(crate) use version::Version;
pub use version::{Lifetimes, Rotation};
pub(crate) use watchers::{NoPlace, Watchers};

use crate::audit::AuditLog;
use crate::base::clock::{Clock, Timestamp};
use crate::base::failure::Failure;
use crate::base::sync::{Confirmations, GroupCommit, lock};
use crate::metrics::Page;
use log::Log;
use log::header::{Header, VaultKey};
use log::record::Sealed;
use state::State;
use trouble::Trouble;

/// The largest value, in bytes.
pub const MAX_VALUE: usize = 64 * 1024;

/// All secrets: sealed in one file, and in memory.
pub struct Vault {
    id: String,
    /// What is sealed from here on is sealed with it. It is changed while the log is held.
    key: Mutex<Arc<VaultKey>>,
    state: Mutex<State>,
    /// The log. A commit holds it, the beginning of a branch too, and what writes the file anew, when that begins and hands over.
    log: Mutex<Log>,
    commits: GroupCommit<Order, Answer>,
    /// What orders the changes where several daemons share the vault; none: this one has it for itself.
    shared: Option<Arc<dyn SharedLog>>,
    confirmations: Confirmations<Unavailable>,
    shared_stats: SharedStats,
    /// As far as changes are visible.
    visible: Mutex<Position>,
    audit: Arc<AuditLog>,
    clock: Clock,
    lifetimes: Lifetimes,
    stats: Stats,
    /// The file's first line. Whoever writes the file anew holds it.
    rewriting: Mutex<Header>,
    compaction_wanted: AtomicBool,
    /// How large the file was when the last compaction in the background failed; 0 if it did not. The next one waits until
    /// the file has grown by a quarter: on a full disk, writing it anew with every change would leave no room for those.
    compaction_failed_at: AtomicU64,
    /// The same of the last one that left much in the file whose grace is over, because somebody else destroys that or it could
    /// not be destroyed: for its sake, the next one waits in the same way.
    expired_kept_at: AtomicU64,
    /// The file was deleted or changed under the daemon, and is to be written anew.
    file_lost: AtomicBool,
    /// The disk has just become full.
    disk_full: AtomicBool,
    trouble: Mutex<Trouble>,
    watchers: Watchers,
    /// The secrets whose expired versions somebody else destroys.
    held: OnceLock<BTreeSet<String>>,
}

/// A version that was found, not yet opened.
pub struct VersionRef {
    pub kid: String,
    /// Its id, without the secret's name.
    id: Kid,
    name_length: usize,
    /// Until when it is good: the day it is due, or, for a version that is no longer current, the end of its grace.
    pub expires_at: Timestamp,
    record: Arc<Sealed>,
}

impl VersionRef {
    fn new(name: &str, id: Kid, expires_at: Timestamp, record: Arc<Sealed>) -> Self {
        Self { kid: id.of(name), id, name_length: name.len(), expires_at, record }
    }

    /// Which secret and which version of it that is.
    pub fn subject(&self) -> (&str, Kid) {
        (&self.kid[..self.name_length], self.id)
    }
}

impl Vault {
    /// Finds the version of `name` called `kid`, or the current one.
    pub fn find(&self, name: &str, kid: Option<&str>) -> Result<VersionRef, Missing> {
        let now = self.clock.now();
        let state = lock(&self.state);
        let kept = state.find(name, kid, now)?;
        let (id, expires_at) = (kept.version.kid, kept.readable_until.unwrap_or(kept.version.expires_at));
        let record = kept.record.clone();
        drop(state);
        Ok(VersionRef::new(name, id, expires_at, record))
    }

    /// Finds the version of `name` that was prepared, which no client gets.
    pub fn find_pending(&self, name: &str) -> Option<VersionRef> {
        let state = lock(&self.state);
        let kept = state.secret(name)?.pending()?;
        let Version { kid: id, expires_at, .. } = kept.version;
        Some(VersionRef::new(name, id, expires_at, kept.record.clone()))
    }

    /// Finds the versions of `name` that are no longer current, the oldest first, also those whose grace is over and which no
    /// client gets.
    pub fn find_replaced(&self, name: &str) -> Vec<VersionRef> {
        let state = lock(&self.state);
        let kept = state.secret(name).into_iter().flat_map(|secret| &secret.versions);
        let replaced = kept.filter_map(|kept| {
            let expires_at = kept.readable_until?;
            let id = kept.version.kid;
            Some(VersionRef::new(name, id, expires_at, kept.record.clone()))
        });
        replaced.collect()
    }

    /// Opens a version that was found. What it returns is wiped when it is dropped.
    ///
    /// # Errors
    /// If what is in memory is no longer what was sealed; the vault is then in [`trouble`](Self::trouble).
    pub fn open(&self, version: &VersionRef) -> Result<Opened, Failure> {
        self.record_value(&version.record).inspect_err(|why| lock(&self.trouble).memory = Some(why.to_string()))
    }

    fn record_value(&self, record: &Sealed) -> Result<Opened, Failure> {
        let why = "the sealed value in memory was changed; restart the daemon and check the machine's memory";
        record.open().map_err(|_| Failure::new(format_args!("vault record {}", record.seq), why))
    }

    /// The key that records are sealed with now.
    fn key(&self) -> Arc<VaultKey> {
        lock(&self.key).clone()
    }

    /// How many secrets have a current version.
    pub fn secret_count(&self) -> u64 {
        lock(&self.state).secret_count
    }

    /// The number of the last change that is visible.
    pub fn seq(&self) -> u64 {
        lock(&self.state).seq
    }

    /// Who sleeps until a secret changes. They are woken by every change of it that is visible, whatever it is.
    pub fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// A secret's name as it stands in a log that several daemons share, under a `label` that says what for: the same at each of
    /// them, and of no use to who does not have the vault's key.
    pub fn hidden(&self, label: &str, name: &str) -> String {
        self.key().hidden(label, name)
    }

    pub fn write_metrics(&self, page: &mut Page) {
        self.key().key.stats.write(page);
        self.stats.write(page);
    }

    /// How long versions live whose secret has no settings of its own.
    pub fn lifetimes(&self) -> Lifetimes {
        self.lifetimes
    }

    /// The time by the clock that this vault goes by.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

#[cfg(test)]
mod tests;
