//! The audit log: one signed JSON object a line, append-only, each line chained to the one before.
//!
//! Nothing is handed out or acknowledged before its line is written. When lines cannot be written the log says so, and
//! tries again with the next one: it heals by itself.

mod chain;
mod checkpoint;
mod entry;
#[cfg(test)]
mod faults;
mod file;
mod found;
mod keys;
mod prefix;
mod read_back;
mod renamed;
mod report;
mod segment;
mod signatures;
mod stats;
mod tail;
mod together;
mod vault_at;
mod verify;
mod writer;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) use chain::Tip;
pub use chain::sha256_hex;
pub(crate) use checkpoint::Checkpoint;
pub use entry::{Entry, Event, Outcome};
pub(crate) use entry::{Line, VAULT_API};
pub use found::Found;
pub(crate) use keys::{public_key_from_pem, public_key_path, read_signing_key, signing_key_from_pem, signing_key_path};
pub(crate) use prefix::prefix_through;
pub(crate) use read_back::ReadBack;
pub(crate) use report::Report;
pub(crate) use segment::Segmenting;
pub use segment::{Segment, list as segments};
pub(crate) use stats::AuditStats;
pub(crate) use together::verify_together;
pub use vault_at::VaultAt;
pub(crate) use vault_at::VaultHead;
pub use verify::verify;
pub(crate) use verify::{check, verify_watched};

use crate::base::clock::{Clock, Timestamp};
use crate::base::sync::{GroupCommit, lock};
use writer::Writer;

/// From so many lines on, what is written in one go is written apart from what others write, who are served in between.
const LONG: usize = 64;

/// An audit log that is open for appending.
pub struct AuditLog {
    writer: Mutex<Writer>,
    writes: GroupCommit<Vec<Entry>, Result<Written, String>>,
    /// An item is whether the file is to be rotated as well.
    syncs: GroupCommit<bool, Result<(), String>>,
    /// The number of the newest line that is surely on the disk.
    synced: AtomicU64,
    failing: AtomicBool,
    /// The disk has just become full.
    ran_out_of_room: AtomicBool,
    /// What is to come before all other lines could not be written yet.
    behind: AtomicBool,
    /// So much is unsynced that whoever writes next is to sync it.
    sync_due: AtomicBool,
    /// The file has become full, and nobody has begun to rotate it.
    full: AtomicBool,
    clock: Clock,
    stats: AuditStats,
}

/// The lines that were written in one go.
#[derive(Clone, Copy)]
struct Written {
    seq: u64,
    /// The time on all its lines.
    at: Timestamp,
}

/// Why an entry is not in the log, or not surely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditFailure {
    /// It is not in the log, and will not be.
    NotWritten(String),
    /// It is in the log, but the disk would not confirm that it will stay there.
    NotSynced(String),
}

impl AuditLog {
    fn new(writer: Writer, clock: Clock) -> Self {
        let synced = AtomicU64::new(writer.synced_seq());
        Self {
            writer: Mutex::new(writer),
            writes: GroupCommit::default(),
            syncs: GroupCommit::default(),
            synced,
            failing: AtomicBool::new(false),
            ran_out_of_room: AtomicBool::new(false),
            behind: AtomicBool::new(false),
            sync_due: AtomicBool::new(false),
            full: AtomicBool::new(false),
            clock,
            stats: AuditStats::default(),
        }
    }

    /// The same log, which closes its file and continues in a new one as `segmenting` says.
    pub fn segmented(self, segmenting: Segmenting) -> Self {
        lock(&self.writer).segment(segmenting);
        self
    }

    /// Writes `first`, which is about the time before, and syncs it. If that fails, it comes before whatever is written next,
    /// and nothing else is written without it.
    ///
    /// # Errors
    /// If it is not in the log yet, or not surely.
    pub fn begin(&self, first: Vec<Entry>) -> Result<(), AuditFailure> {
        self.behind.store(true, Ordering::SeqCst);
        lock(&self.writer).put_first(first);
        self.write_synced(Vec::new())
    }

    /// Has these entries come before whatever is written next: what they tell of is in force, and could not be audited.
    pub fn owe(&self, entries: Vec<Entry>) {
        lock(&self.writer).put_first(entries);
        self.behind.store(true, Ordering::SeqCst);
    }

    /// Whether what [`begin`](Self::begin) was given is not written yet.
    pub fn is_behind(&self) -> bool {
        self.behind.load(Ordering::SeqCst)
    }

    /// How many entries are to come before whatever is written next.
    pub fn owed(&self) -> u64 {
        if self.is_behind() { lock(&self.writer).owed() } else { 0 }
    }

    /// Whether lines cannot be written for lack of room, as of the last attempt.
    pub fn is_out_of_room(&self) -> bool {
        lock(&self.writer).is_out_of_room()
    }

    /// Whether that has just begun. It says so once.
    pub fn has_run_out_of_room(&self) -> bool {
        self.ran_out_of_room.load(Ordering::Relaxed) && self.ran_out_of_room.swap(false, Ordering::SeqCst)
    }

    /// Writes `entry`, and returns the time on its line. It is not synced: a killed process does not lose it, a power cut may.
    /// One in thousands waits for a sync of those before it, so that there are never too many.
    ///
    /// # Errors
    /// Only [`AuditFailure::NotWritten`].
    pub fn write(&self, entry: Entry) -> Result<Timestamp, AuditFailure> {
        let Written { seq, at } = self.submit(vec![entry])?;
        if self.sync_due.load(Ordering::Relaxed) && self.sync_due.swap(false, Ordering::SeqCst) {
            // If it fails, that has its own consequences; the entry is written.
            let _ = self.sync_through(seq);
        }
        Ok(at)
    }

    /// Writes `entries` in their order, next to each other, and syncs them.
    pub fn write_synced(&self, entries: Vec<Entry>) -> Result<(), AuditFailure> {
        let Written { seq, .. } = self.submit(entries)?;
        self.sync_through(seq).map_err(AuditFailure::NotSynced)
    }

    fn submit(&self, entries: Vec<Entry>) -> Result<Written, AuditFailure> {
        let is_long = entries.len() >= LONG;
        let flush = |batches: Vec<_>| {
            let count = batches.len();
            let flushed = self.flush(batches);
            vec![flushed; count]
        };
        let flushed =
            if is_long { self.writes.submit_apart(entries, flush) } else { self.writes.submit(entries, flush) };
        if self.full.load(Ordering::Relaxed) && self.full.swap(false, Ordering::SeqCst) {
            // If the sync fails, that has its own consequences; the lines are written.
            let _ = self.sync_in_turn(true);
        }
        flushed.map_err(AuditFailure::NotWritten)
    }

    /// Writes all `batches` in one go, with one signature.
    fn flush(&self, batches: Vec<Vec<Entry>>) -> Result<Written, String> {
        let entries = batches.into_iter().flatten();
        let mut writer = lock(&self.writer);
        let now = self.clock.now();
        let had_room = !writer.is_out_of_room();
        let written = writer.write(entries, now);
        if had_room && writer.is_out_of_room() {
            self.ran_out_of_room.store(true, Ordering::SeqCst);
        }
        self.behind.store(writer.is_behind(), Ordering::SeqCst);
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
        if writer.is_full() {
            self.full.store(true, Ordering::SeqCst);
        }
        written.map(|_| Written { seq: writer.tip().seq, at: now })
    }

    fn sync_through(&self, seq: u64) -> Result<(), String> {
        if self.synced.load(Ordering::SeqCst) >= seq {
            return Ok(());
        }
        self.sync_in_turn(false)
    }

    /// Makes durable what was written until now, and then closes the file as a segment if somebody whose turn it is `rotate`s.
    ///
    /// Most of a segment is thus synced before anybody has to wait, and no sync is under way when its file changes.
    fn sync_in_turn(&self, rotate: bool) -> Result<(), String> {
        self.syncs.submit(rotate, |waiting| {
            let synced = self.sync();
            if waiting.contains(&true) {
                self.rotate();
            }
            vec![synced; waiting.len()]
        })
    }

    fn rotate(&self) {
        let rotated = {
            let mut writer = lock(&self.writer);
            let rotated = writer.rotate(self.clock.now());
            self.failing.store(writer.failing().is_some(), Ordering::SeqCst);
            self.synced.store(writer.synced_seq(), Ordering::SeqCst);
            rotated
        };
        let Some(surplus) = rotated else {
            self.stats.rotation_failures.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.stats.rotations.fetch_add(1, Ordering::Relaxed);
        for Segment { path, .. } in surplus {
            match std::fs::remove_file(&path) {
                Ok(()) => log::info!("Audit log: deleted the closed segment {}", path.display()),
                Err(why) => log::error!("Audit log: {} could not be deleted: {why}", path.display()),
            }
        }
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

    /// Makes durable what was written until now.
    ///
    /// # Errors
    /// Only [`AuditFailure::NotSynced`].
    pub fn sync_all(&self) -> Result<(), AuditFailure> {
        self.sync_through(self.tip().seq).map_err(AuditFailure::NotSynced)
    }

    /// The number of the newest line that is surely on the disk.
    pub fn synced_seq(&self) -> u64 {
        self.synced.load(Ordering::SeqCst)
    }

    pub fn tip(&self) -> Tip {
        *lock(&self.writer).tip()
    }

    /// The key that its signatures are verified with.
    pub fn public_key(&self) -> [u8; 32] {
        lock(&self.writer).public_key()
    }

    /// A checkpoint of the newest line, which is synced first.
    pub fn checkpoint(&self) -> Result<Checkpoint, AuditFailure> {
        let tip = self.tip();
        self.sync_through(tip.seq).map_err(AuditFailure::NotSynced)?;
        Ok(lock(&self.writer).checkpoint(&tip))
    }

    /// Continues in a new file if the old one was renamed away (logrotate) or deleted: its first line follows the last one.
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

    pub fn stats(&self) -> &AuditStats {
        &self.stats
    }

    /// Lets a test make the disk under the log fail.
    #[cfg(test)]
    pub(crate) fn faults(&self) -> std::sync::Arc<faults::Faults> {
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
