//! The vault: secrets and their versions, sealed, behind one mutex, and the log file under them.
//!
//! The mutex is held for microseconds: a reader takes a reference to a sealed version and opens it outside; a change
//! is planned under the lock, made durable outside of it, and becomes visible when it is durable and audited.

mod commit;
mod compaction;
mod kid;
mod load;
mod master_key;
mod record;
mod seal;
mod state;
mod store;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub use commit::{Answer, Condition, Done, Order, Refused, Wish};
pub use load::{LoadError, Unaudited};
pub use master_key::{KeyFile, MasterKeySource};
pub use record::{Rotation, Version};
pub use seal::{KeyBytes, SealStats};
pub use state::Missing;
pub use store::{FileStore, Store};

use crate::audit::AuditLog;
use crate::clock::{Clock, Timestamp};
use crate::failure::Failure;
use crate::files;
use crate::sync::{GroupCommit, lock};
use load::{End, Loaded};
use record::{Header, Opened, Sealed, VaultKey};
use seal::SealingKey;
use state::State;

/// The largest value, in bytes.
pub const MAX_VALUE: usize = 64 * 1024;

/// How long versions live.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Days until a version is due for rotation.
    pub rotation_days: u32,
    /// Days that a version stays readable after a newer one took its place.
    pub grace_days: u32,
}

/// A vault that was read and found good; nothing on the disk was changed yet.
pub struct Found {
    loaded: Loaded,
    store: Box<dyn Store>,
}

impl Found {
    /// Reads the vault at `path` with the master key. `known` is the number of the last change that the audit log knows.
    ///
    /// # Errors
    /// If the file cannot be read, the key is another one, or anything in it is not as it was written.
    pub fn look(path: &Path, master: &KeyBytes, known: u64) -> Result<Self, Failure> {
        let fail = |why: &dyn std::fmt::Display| Failure::new(path.display(), why);
        let store = FileStore::open(path).map_err(|why| fail(&why))?;
        let loaded = load::load(&store, &SealingKey::new(master), known).map_err(|why| fail(&why))?;
        Ok(Self { loaded, store: Box::new(store) })
    }

    /// Makes a new, empty vault at `path`, durably, with its directory if that is missing.
    pub fn create(path: &Path, master: &KeyBytes) -> Result<Self, Failure> {
        let master_key = SealingKey::new(master);
        let (header, _) = Header::generate(&master_key)?;
        let mut line = header.line();
        line.push(b'\n');
        files::create_dir(files::parent(path))
            .and_then(|()| files::create(path, 0o600, &line))
            .map_err(|why| Failure::new(path.display(), why))?;
        Self::look(path, master, 0)
    }

    /// The number of the last change.
    pub fn seq(&self) -> u64 {
        self.loaded.end.seq
    }

    /// The newest audit line that was surely on the disk when the last change was made.
    pub fn audited(&self) -> u64 {
        self.loaded.audited
    }

    /// Changes that the audit log does not know.
    pub fn unaudited(&self) -> &[Unaudited] {
        &self.loaded.unaudited
    }

    /// Bytes at the end that an interrupted write left; [`open`](Self::open) cuts them off.
    pub fn unfinished_bytes(&self) -> u64 {
        self.loaded.unfinished_bytes
    }

    /// The vault's id, 32 hex digits.
    pub fn vault_id(&self) -> &str {
        &self.loaded.key.vault_id
    }

    /// The vault, ready to be changed; changes are audited in `audit`.
    pub fn open(
        mut self,
        path: &Path,
        audit: Arc<AuditLog>,
        clock: Clock,
        lifetimes: Lifetimes,
    ) -> Result<Vault, Failure> {
        let fail = |why: std::io::Error| Failure::new(path.display(), why);
        store::remove_leftover(&files::sibling(path, ".compacting")).map_err(fail)?;
        if self.loaded.unfinished_bytes > 0 {
            self.store.cut(self.loaded.end.length).map_err(fail)?;
        }
        // A daemon that was killed may have written records that it did not yet sync. They are part of the vault now.
        self.store.append(b"").map_err(fail)?;
        let Loaded { header, key, state, end, .. } = self.loaded;
        let stats = Stats::default();
        stats.publish(&end, &state);
        Ok(Vault {
            header,
            key,
            state: Mutex::new(state),
            log: Mutex::new(Log { store: self.store, end }),
            commits: GroupCommit::default(),
            audit,
            clock,
            lifetimes,
            stats,
            compacting: Mutex::new(()),
            compaction_wanted: AtomicBool::new(false),
            compaction_failed_at: AtomicU64::new(0),
            file_lost: AtomicBool::new(false),
            trouble: Mutex::default(),
        })
    }
}

/// The vault.
pub struct Vault {
    header: Header,
    key: VaultKey,
    state: Mutex<State>,
    /// The file. Whoever leads a commit holds it, and a compaction when it begins and when it hands over.
    log: Mutex<Log>,
    commits: GroupCommit<Order, Answer>,
    audit: Arc<AuditLog>,
    clock: Clock,
    lifetimes: Lifetimes,
    stats: Stats,
    compacting: Mutex<()>,
    compaction_wanted: AtomicBool,
    /// How large the file was when the last compaction in the background failed; 0 if it did not. The next one waits until
    /// the file has grown by a quarter: on a full disk, writing it anew with every change would leave no room for those.
    compaction_failed_at: AtomicU64,
    /// The file was deleted under the daemon, and is to be written anew.
    file_lost: AtomicBool,
    trouble: Mutex<Trouble>,
}

struct Log {
    store: Box<dyn Store>,
    end: End,
}

#[derive(Default)]
struct Trouble {
    /// The last append failed. Cleared by the next one that does not.
    storage: Option<String>,
    /// A value in memory did not open. Stays: memory does not heal.
    memory: Option<String>,
}

/// Figures of the vault's file, as of the last commit or compaction.
#[derive(Default)]
pub struct Stats {
    /// Bytes of the file.
    pub bytes: AtomicU64,
    /// Records that hold a version which is still there.
    pub live_records: AtomicU64,
    /// Records that hold nothing any more.
    pub dead_records: AtomicU64,
    /// What their lines take.
    pub dead_bytes: AtomicU64,
    /// Compactions since the start.
    pub compactions: AtomicU64,
}

impl Stats {
    fn publish(&self, end: &End, state: &State) {
        self.bytes.store(end.length, Ordering::Relaxed);
        self.live_records.store(state.version_count, Ordering::Relaxed);
        self.dead_records.store(end.dead_records(state), Ordering::Relaxed);
        self.dead_bytes.store(end.dead_bytes(state), Ordering::Relaxed);
    }
}

impl End {
    fn dead_records(&self, state: &State) -> u64 {
        self.records.saturating_sub(self.overhead_records + state.version_count)
    }

    fn dead_bytes(&self, state: &State) -> u64 {
        self.length.saturating_sub(self.overhead_bytes + state.live_bytes)
    }
}

/// A version that was found, not yet opened.
pub struct Sight {
    /// Its kid.
    pub kid: String,
    /// Until when it is good: the day it is due, or, for a version that is no longer current, the end of its grace.
    pub expires_at: Timestamp,
    record: Arc<Sealed>,
}

/// A secret in a list.
pub struct Listed {
    /// The secret.
    pub name: String,
    /// Its current version.
    pub version: Version,
}

impl Listed {
    /// Its current version's kid.
    pub fn kid(&self) -> String {
        self.version.kid.of(&self.name)
    }
}

/// How many secrets there are, and in what state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Secrets.
    pub secrets: u64,
    /// Versions of all secrets.
    pub versions: u64,
    /// Secrets past their day whose value the schedule replaces.
    pub due_auto: u64,
    /// Secrets past their day whose value a person has to replace.
    pub due_manual: u64,
    /// Versions whose grace is over and that are not yet destroyed.
    pub expired_versions: u64,
    /// The earliest day on which a secret that is not due yet becomes due.
    pub next_expiry: Option<Timestamp>,
}

impl Vault {
    /// Finds the version of `name` called `kid`, or the current one.
    pub fn find(&self, name: &str, kid: Option<&str>) -> Result<Sight, Missing> {
        let now = self.clock.now();
        let state = lock(&self.state);
        let kept = state.find(name, kid, now)?;
        let (kid, expires_at) = (kept.version.kid, kept.readable_until.unwrap_or(kept.version.expires_at));
        let record = kept.record.clone();
        drop(state);
        Ok(Sight { kid: kid.of(name), expires_at, record })
    }

    /// Opens a version that was found. What it returns is wiped when it is dropped.
    ///
    /// # Errors
    /// If what is in memory is no longer what was sealed; the vault is then in [`trouble`](Self::trouble).
    pub fn open(&self, sight: &Sight) -> Result<Opened, Failure> {
        self.record_value(&sight.record).inspect_err(|why| lock(&self.trouble).memory = Some(why.to_string()))
    }

    fn record_value(&self, record: &Sealed) -> Result<Opened, Failure> {
        let why = "the sealed value in memory was changed; restart the daemon and check the machine's memory";
        record.open(&self.key).map_err(|_| Failure::new(format_args!("vault record {}", record.seq), why))
    }

    /// The secrets whose name and current version `wanted` says yes to, sorted by name.
    pub fn list(&self, wanted: impl Fn(&str, &Version) -> bool) -> Vec<Listed> {
        let mut listed = Vec::new();
        self.walk(
            |name, kept, items| {
                if let Some(current) = kept.back().filter(|kept| wanted(name, &kept.version)) {
                    items.push(Listed { name: name.to_owned(), version: current.version.clone() });
                }
            },
            |items| listed.extend(items),
        );
        listed
    }

    /// How many secrets have a current version.
    pub fn secret_count(&self) -> u64 {
        lock(&self.state).secret_count
    }

    /// Counts secrets and versions by their state.
    pub fn census(&self) -> Census {
        let now = self.clock.now();
        let mut census = Census::default();
        self.walk(
            |_, versions, items| {
                let expired = versions.iter().filter(|kept| kept.is_gone(now)).count() as u64;
                if let Some(current) = versions.back() {
                    items.push((versions.len() as u64, expired, current.version.expires_at, current.version.rotation));
                }
            },
            |items| {
                for (versions, expired, expires_at, rotation) in items {
                    census.secrets += 1;
                    census.versions += versions;
                    census.expired_versions += expired;
                    match rotation {
                        _ if expires_at > now => {
                            census.next_expiry =
                                Some(census.next_expiry.map_or(expires_at, |next| next.min(expires_at)));
                        }
                        Rotation::Auto => census.due_auto += 1,
                        Rotation::Manual => census.due_manual += 1,
                    }
                }
            },
        );
        census
    }

    /// The versions that [`Wish::Destroy`] may destroy, each with its secret, the oldest of a secret first.
    pub fn expired_versions(&self) -> Vec<(String, Version)> {
        let now = self.clock.now();
        let mut expired = Vec::new();
        self.walk(
            |name, versions, items| {
                let gone = state::destroyable(versions, now);
                items.extend(gone.map(|kept| (name.to_owned(), kept.version.clone())));
            },
            |items| expired.extend(items),
        );
        expired
    }

    /// Walks through all secrets in the order of their names, a page under each short lock: `look` picks what is
    /// needed of each, `take` gets a page's picks outside of the lock.
    fn walk<T>(
        &self,
        mut look: impl FnMut(&str, &std::collections::VecDeque<state::Kept>, &mut Vec<T>),
        mut take: impl FnMut(Vec<T>),
    ) {
        let mut from = Some(String::new());
        while let Some(start) = from {
            let page = lock(&self.state).page(&start, &mut look);
            take(page.items);
            from = page.next;
        }
    }

    /// None when secrets can be served and changed; else why not. If the file could not be written, it is tried again.
    pub fn trouble(&self) -> Option<String> {
        if lock(&self.trouble).storage.is_some() {
            self.note_storage(self.probe());
        }
        let trouble = lock(&self.trouble);
        trouble.memory.clone().or_else(|| trouble.storage.clone())
    }

    /// Finds out whether a change could be written, and leaves nothing behind.
    ///
    /// It takes a block of the disk, for the file's last one may have room where the disk has none. Should a crash leave
    /// its zeros, they are what an interrupted write leaves.
    fn probe(&self) -> std::io::Result<()> {
        let mut log = lock(&self.log);
        let end = log.end.length;
        log.store.append(&[0; 4096])?;
        log.store.cut(end)
    }

    /// The number of the last change that is visible.
    pub fn seq(&self) -> u64 {
        lock(&self.state).seq
    }

    /// Figures of the vault's file.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What was sealed and opened with the data key.
    pub fn seal_stats(&self) -> &SealStats {
        &self.key.key.stats
    }

    /// The time by the clock that this vault goes by.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

#[cfg(test)]
mod tests;
