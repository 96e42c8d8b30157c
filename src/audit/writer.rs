//! Appending to the log: lines chained and signed, whole batches, and what is done when the disk refuses.

use std::io;

use ed25519_dalek::SigningKey;

use super::chain::Tip;
use super::checkpoint::Checkpoint;
use super::entry::{Entry, Event};
use super::file::{Handle, LogFile};
use super::tail::{MOST_UNSYNCED, Tail};
use crate::clock::Timestamp;

/// The end of the log, in the hands of one thread at a time.
pub struct Writer {
    file: LogFile,
    key: SigningKey,
    tip: Tip,
    /// As far as the file is surely on the disk.
    synced: Mark,
    /// Somebody was asked to sync.
    sync_asked: bool,
    /// Behind the end there may be bytes of a failed write, or before it bytes that a failed sync lost.
    suspect: bool,
    failing: Option<Failing>,
    buffer: Vec<u8>,
}

/// A place in the log: a line, and where it ends.
#[derive(Clone, Copy)]
pub struct Mark {
    tip: Tip,
    length: u64,
}

struct Failing {
    why: String,
    since: Timestamp,
    batches: u64,
}

impl Writer {
    pub fn new(file: LogFile, key: SigningKey, Tail { tip, length }: Tail) -> Self {
        let synced = Mark { tip, length };
        Self { file, key, tip, synced, sync_asked: false, suspect: false, failing: None, buffer: Vec::new() }
    }

    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    pub fn synced_seq(&self) -> u64 {
        self.synced.tip.seq
    }

    /// Why lines cannot be written, as of the last attempt.
    pub fn failing(&self) -> Option<&str> {
        self.failing.as_ref().map(|failing| failing.why.as_str())
    }

    pub fn checkpoint(&self, tip: &Tip) -> Checkpoint {
        Checkpoint::sign(tip, &self.key)
    }

    /// Writes `entries` as one batch, signed once. Returns how many lines that made.
    ///
    /// # Errors
    /// None of the lines is then in the log, nor will be.
    pub fn write(&mut self, entries: impl Iterator<Item = Entry>, now: Timestamp) -> Result<u64, String> {
        let written = self.try_write(entries, now);
        self.note(written.as_ref().err(), now);
        written.map_err(|why| why.to_string())
    }

    fn try_write(&mut self, entries: impl Iterator<Item = Entry>, now: Timestamp) -> io::Result<u64> {
        if self.suspect {
            self.repair()?;
        }
        if !self.file.is_linked()? {
            log::error!(
                "The audit log was deleted while the daemon was using it; a new file goes on from its last line"
            );
            self.begin_anew("the file before this one was deleted", now)?;
        }
        let mut tip = self.tip;
        self.buffer.clear();
        let mut entries = self.resumed().into_iter().chain(entries).peekable();
        while let Some(entry) = entries.next() {
            let key = entries.peek().is_none().then_some(&self.key);
            tip.append(entry, now, key, &mut self.buffer);
        }
        if self.unsynced() + self.buffer.len() as u64 > MOST_UNSYNCED {
            // Whoever was asked to sync is too slow.
            self.sync()?;
        }
        if let Err(why) = self.file.append(&self.buffer) {
            self.suspect = self.file.cut_rest().is_err();
            return Err(why);
        }
        let lines = tip.seq - self.tip.seq;
        self.tip = tip;
        Ok(lines)
    }

    /// How many bytes are not surely on the disk.
    pub fn unsynced(&self) -> u64 {
        self.file.length() - self.synced.length
    }

    /// Whether so much is unsynced that a start would soon have to look through more than it does. It is said once.
    pub fn is_sync_due(&mut self) -> bool {
        let is_due = self.unsynced() > MOST_UNSYNCED / 2 && !self.sync_asked;
        self.sync_asked |= is_due;
        is_due
    }

    fn sync(&mut self) -> io::Result<()> {
        let (handle, mark) = self.to_sync();
        handle.sync().inspect_err(|_| self.suspect = true)?;
        self.synced(mark);
        Ok(())
    }

    /// The line that ends a time in which nothing could be written.
    fn resumed(&self) -> Option<Entry> {
        let Failing { why, since, batches } = self.failing.as_ref()?;
        let detail =
            format!("since {since} {batches} attempts to write failed ({why}); what they were for was refused");
        Some(Entry { detail: Some(detail), ..Entry::new(Event::AuditResumed) })
    }

    /// Remembers whether lines can be written, and logs when that changes.
    fn note(&mut self, error: Option<&io::Error>, now: Timestamp) {
        match (error, &mut self.failing) {
            (Some(_), Some(failing)) => failing.batches += 1,
            (Some(why), failing @ None) => {
                log::error!("Audit log cannot be written: {why}; nothing is served or changed until it can");
                *failing = Some(Failing { why: why.to_string(), since: now, batches: 1 });
            }
            (None, Some(_)) => {
                log::info!("Audit log can be written again");
                self.failing = None;
            }
            (None, None) => {}
        }
    }

    /// What is to be synced, and how far that will then have come.
    pub fn to_sync(&self) -> (Handle, Mark) {
        (self.file.handle(), Mark { tip: self.tip, length: self.file.length() })
    }

    /// A sync that began at `mark` succeeded.
    pub fn synced(&mut self, mark: Mark) {
        self.sync_asked = false;
        // A new file may have been begun meanwhile, which makes everything before it durable.
        if mark.tip.seq > self.synced.tip.seq {
            self.synced = mark;
        }
    }

    /// A sync failed: what it was to make durable is written and synced once more, through a fresh descriptor.
    pub fn sync_failed(&mut self, why: &io::Error) -> Result<(), String> {
        log::warn!("Audit log could not be synced: {why}; writing its last lines again");
        self.suspect = true;
        self.repair().map_err(|repair| {
            log::error!("Audit log cannot be synced: {repair}; nothing is served or changed until it can");
            let since = self.tip.timestamp;
            self.failing = Some(Failing { why: why.to_string(), since, batches: 1 });
            format!("{why}, and once more: {repair}")
        })
    }

    /// Makes the file end with the newest line, durably.
    fn repair(&mut self) -> io::Result<()> {
        if !self.file.is_in_place()? {
            return Err(io::Error::other("another file stands in the log's place; move it away"));
        }
        let mut rest = self.file.read_from(self.synced.length)?;
        if !self.is_ours(&rest) {
            let lost = self.tip.seq - self.synced.tip.seq;
            log::error!("Audit log: the last {lost} lines, which were not yet synced, were lost by the disk");
            rest.clear();
            self.tip = self.synced.tip;
        }
        self.file.rewrite(self.synced.length, &rest)?;
        self.suspect = false;
        self.synced = Mark { tip: self.tip, length: self.file.length() };
        Ok(())
    }

    /// Whether `rest` are the lines that were written since the last sync.
    fn is_ours(&self, rest: &[u8]) -> bool {
        let mut tip = self.synced.tip;
        rest.split_inclusive(|byte| *byte == b'\n')
            .all(|line| line.strip_suffix(b"\n").is_some_and(|text| tip.follow(text).is_ok()))
            && tip == self.tip
    }

    /// Goes on in a new file if the present one no longer stands at its path.
    pub fn reopen(&mut self, now: Timestamp) -> Result<(), String> {
        let outcome = self.try_reopen(now);
        if let Err(why) = &outcome {
            log::error!("Audit log could not be re-opened: {why}; it goes on in the file that it has");
        }
        outcome.map_err(|why| why.to_string())
    }

    fn try_reopen(&mut self, now: Timestamp) -> io::Result<()> {
        if self.file.is_in_place()? {
            return Ok(());
        }
        self.file.handle().sync()?;
        self.begin_anew("the log goes on from the file before this one", now)
    }

    fn begin_anew(&mut self, why: &str, now: Timestamp) -> io::Result<()> {
        let mut tip = self.tip;
        let mut first = Vec::new();
        let entry = Entry { detail: Some(why.to_owned()), ..Entry::new(Event::LogReopen) };
        tip.append(entry, now, Some(&self.key), &mut first);
        self.file.begin_anew(&first)?;
        self.tip = tip;
        self.synced = Mark { tip, length: self.file.length() };
        self.suspect = false;
        Ok(())
    }

    /// Lets a test make the disk fail.
    #[cfg(test)]
    pub fn faults(&self) -> std::sync::Arc<super::file::faults::Faults> {
        self.file.faults.clone()
    }
}
