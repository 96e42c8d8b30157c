//! The audit log: one signed JSON object a line, append-only, each line chained to the one before.
//!
//! Nothing is handed out or acknowledged before its line is written. When lines cannot be written the log says so, and
//! tries again with the next one: it heals by itself.

mod chain;
mod checkpoint;
mod entry;
mod file;
mod keys;
mod prefix;
mod tail;
mod verify;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ed25519_dalek::SigningKey;

pub use chain::{Fault, Tip, hex, sha256_hex};
pub use checkpoint::Checkpoint;
pub use entry::{Entry, Event, Outcome};
pub use keys::{public_key_from_pem, public_key_path, signing_key_from_pem, signing_key_path};
pub use prefix::{Prefix, prefix_through};
pub use verify::{Report, check, verify};

use crate::clock::Clock;
use crate::failure::Failure;
use crate::files;
use crate::sync::{GroupCommit, lock};
use file::LogFile;
use tail::{Tail, TailError};
use writer::Writer;

/// What was found at the log's place, and checked; nothing on the disk was changed.
pub struct Found {
    path: PathBuf,
    key: Option<SigningKey>,
    has_public_key: bool,
    tail: Option<Tail>,
    unfinished_bytes: u64,
}

impl Found {
    /// Looks at the log at `path` and the keys beside it.
    ///
    /// # Errors
    /// If the log's end is not as it was written, its key is missing, not private or another one.
    pub fn look(path: &Path) -> Result<Self, Failure> {
        let key_path = keys::signing_key_path(path);
        let key = keys::read_signing_key(&key_path)?;
        let public_path = keys::public_key_path(path);
        let public = keys::read_public_key(&public_path)?;
        if let (Some(key), Some(public)) = (&key, &public)
            && key.verifying_key() != *public
        {
            let why = format!("is not the public half of {}; remove it, and it is made anew", key_path.display());
            return Err(Failure::new(public_path.display(), why));
        }
        let mut found =
            Self { path: path.to_owned(), key, has_public_key: public.is_some(), tail: None, unfinished_bytes: 0 };
        let size = match path.symlink_metadata() {
            Ok(meta) if !meta.is_file() => return Err(Failure::new(path.display(), "is not a regular file")),
            Ok(meta) => meta.len(),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(found),
            Err(why) => return Err(Failure::new(path.display(), why)),
        };
        if size == 0 {
            return Ok(found);
        }
        let Some(key) = &found.key else {
            let why = "the key that signed this log is missing; put it back, or move the log away to begin a new one";
            return Err(Failure::new(key_path.display(), why));
        };
        let tail = std::fs::File::open(path)
            .map_err(TailError::Io)
            .and_then(|file| tail::find(&file, size, &key.verifying_key()))
            .map_err(|why| explain(path, &why))?;
        found.unfinished_bytes = size - tail.length;
        found.tail = Some(tail);
        Ok(found)
    }

    /// The newest line; none if there is no log yet.
    pub fn tip(&self) -> Option<&Tip> {
        self.tail.as_ref().map(|tail| &tail.tip).filter(|tip| tip.seq > 0)
    }

    /// Bytes that an interrupted write left at the end; [`open`](Self::open) cuts them off.
    pub fn unfinished_bytes(&self) -> u64 {
        self.unfinished_bytes
    }

    /// Makes what is missing, cuts off what an interrupted write left, and opens the log.
    pub fn open(self, clock: Clock) -> Result<AuditLog, Failure> {
        let fail = |why: std::io::Error| Failure::new(self.path.display(), why);
        files::create_dir(files::parent(&self.path)).map_err(fail)?;
        let key = match self.key {
            Some(key) => key,
            None => {
                let key = keys::create_signing_key(&keys::signing_key_path(&self.path))?;
                log::info!("Generated new audit signing key");
                key
            }
        };
        if !self.has_public_key {
            keys::create_public_key(&keys::public_key_path(&self.path), &key.verifying_key())?;
        }
        if !self.path.exists() {
            files::create(&self.path, 0o600, b"").map_err(fail)?;
        }
        let tail = self.tail.unwrap_or(Tail { tip: Tip::START, length: 0 });
        let file = LogFile::open(&self.path, tail.length).map_err(fail)?;
        file.cut_rest().and_then(|()| file.handle().sync()).map_err(fail)?;
        log::info!("Audit log initialized: {}", self.path.display());
        Ok(AuditLog {
            writer: Mutex::new(Writer::new(file, key, tail)),
            writes: GroupCommit::default(),
            syncs: GroupCommit::default(),
            synced: AtomicU64::new(tail.tip.seq),
            failing: AtomicBool::new(false),
            sync_due: AtomicBool::new(false),
            clock,
            stats: Stats::default(),
        })
    }
}

fn explain(path: &Path, why: &TailError) -> Failure {
    match why {
        TailError::Io(why) => Failure::new(path.display(), why),
        TailError::Damaged { after, fault } => {
            let place = match after {
                0 => "near its end".to_owned(),
                seq => format!("behind line number {seq}"),
            };
            let what_to_do = format!(
                "nothing was changed; look with `jarvis-secretsd audit verify {}`, and move the log away only if you \
                 accept that loss",
                path.display()
            );
            Failure::new(path.display(), format_args!("damaged {place}: {fault}; {what_to_do}"))
        }
    }
}

/// The log, open.
pub struct AuditLog {
    writer: Mutex<Writer>,
    writes: GroupCommit<Vec<Entry>, Result<u64, String>>,
    syncs: GroupCommit<(), Result<(), String>>,
    /// The newest line that is surely on the disk.
    synced: AtomicU64,
    failing: AtomicBool,
    /// So much is unsynced that whoever writes next is to sync it.
    sync_due: AtomicBool,
    clock: Clock,
    stats: Stats,
}

/// Why an entry is not in the log, or not surely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditFailure {
    /// It is not in the log, and will not be.
    NotWritten(String),
    /// It is in the log, but the disk would not confirm that it will stay there.
    NotSynced(String),
}

/// What the log did since the start.
#[derive(Default)]
pub struct Stats {
    /// Lines written.
    pub lines: AtomicU64,
    /// Writes, each with one signature.
    pub flushes: AtomicU64,
    /// Syncs.
    pub syncs: AtomicU64,
    /// Writes and syncs that failed.
    pub failures: AtomicU64,
}

impl AuditLog {
    /// Writes `entry`. It is not synced: a killed process does not lose it, a power cut may. One in thousands waits for a
    /// sync of those before it, so that there are never too many.
    ///
    /// # Errors
    /// Only [`AuditFailure::NotWritten`].
    pub fn write(&self, entry: Entry) -> Result<(), AuditFailure> {
        let seq = self.submit(vec![entry])?;
        if self.sync_due.load(Ordering::Relaxed) && self.sync_due.swap(false, Ordering::SeqCst) {
            // If it fails, that has its own consequences; the entry is written.
            let _ = self.sync_through(seq);
        }
        Ok(())
    }

    /// Writes `entries` in their order, next to each other, and syncs them.
    pub fn write_synced(&self, entries: Vec<Entry>) -> Result<(), AuditFailure> {
        let seq = self.submit(entries)?;
        self.sync_through(seq).map_err(AuditFailure::NotSynced)
    }

    fn submit(&self, entries: Vec<Entry>) -> Result<u64, AuditFailure> {
        let flushed = self.writes.submit(entries, |batches| {
            let count = batches.len();
            let flushed = self.flush(batches);
            vec![flushed; count]
        });
        flushed.map_err(AuditFailure::NotWritten)
    }

    /// Writes all `batches` in one go, with one signature. Returns the number of the last line.
    fn flush(&self, batches: Vec<Vec<Entry>>) -> Result<u64, String> {
        let entries = batches.into_iter().flatten();
        let mut writer = lock(&self.writer);
        let written = writer.write(entries, self.clock.now());
        match written {
            Ok(0) => {}
            Ok(lines) => {
                self.stats.lines.fetch_add(lines, Ordering::Relaxed);
                self.stats.flushes.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.failing.store(writer.failing().is_some(), Ordering::SeqCst);
        if writer.is_sync_due() {
            self.sync_due.store(true, Ordering::SeqCst);
        }
        written.map(|_| writer.tip().seq)
    }

    fn sync_through(&self, seq: u64) -> Result<(), String> {
        if self.synced.load(Ordering::SeqCst) >= seq {
            return Ok(());
        }
        self.syncs.submit((), |waiting| vec![self.sync(); waiting.len()])
    }

    fn sync(&self) -> Result<(), String> {
        let (handle, mark) = lock(&self.writer).to_sync();
        self.stats.syncs.fetch_add(1, Ordering::Relaxed);
        let synced = handle.sync();
        let mut writer = lock(&self.writer);
        let outcome = match synced {
            Ok(()) => {
                writer.synced(mark);
                Ok(())
            }
            Err(why) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                writer.sync_failed(&why)
            }
        };
        self.failing.store(writer.failing().is_some(), Ordering::SeqCst);
        self.synced.store(writer.synced_seq(), Ordering::SeqCst);
        outcome
    }

    /// The number of the newest line that is surely on the disk.
    pub fn synced_seq(&self) -> u64 {
        self.synced.load(Ordering::SeqCst)
    }

    /// The newest line.
    pub fn tip(&self) -> Tip {
        *lock(&self.writer).tip()
    }

    /// A checkpoint of the newest line, which is synced first.
    pub fn checkpoint(&self) -> Result<Checkpoint, AuditFailure> {
        let tip = self.tip();
        self.sync_through(tip.seq).map_err(AuditFailure::NotSynced)?;
        Ok(lock(&self.writer).checkpoint(&tip))
    }

    /// Goes on in a new file if the old one was renamed away (logrotate) or deleted: its first line follows the last one.
    pub fn reopen(&self) -> Result<(), AuditFailure> {
        let mut writer = lock(&self.writer);
        let outcome = writer.reopen(self.clock.now());
        self.failing.store(writer.failing().is_some(), Ordering::SeqCst);
        self.synced.store(writer.synced_seq(), Ordering::SeqCst);
        outcome.map_err(AuditFailure::NotWritten)
    }

    /// None when lines can be written; else why not. If they could not, it tries again.
    pub fn trouble(&self) -> Option<String> {
        if !self.failing.load(Ordering::SeqCst) {
            return None;
        }
        self.submit(Vec::new()).err().map(|failure| failure.to_string())
    }

    /// What the log did since the start.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Lets a test make the disk under the log fail.
    #[cfg(test)]
    pub(crate) fn faults(&self) -> std::sync::Arc<file::faults::Faults> {
        lock(&self.writer).faults()
    }
}

impl std::fmt::Display for AuditFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotWritten(why) => write!(f, "the audit log cannot be written: {why}"),
            Self::NotSynced(why) => write!(f, "the audit log cannot be synced: {why}"),
        }
    }
}

#[cfg(test)]
mod tests;
