//! Appending to the log: lines chained and signed, whole batches, and what is done when the disk refuses.

use std::io;
use std::path::Path;

use ed25519_dalek::SigningKey;

use super::chain::Tip;
use super::checkpoint::Checkpoint;
use super::entry::{Entry, Event};
use super::file::{Handle, LogFile};
use super::keys;
use super::segment::{self, Segment, Segmenting};
use super::tail::{MOST_UNSYNCED, Tail};
use crate::base::clock::Timestamp;
use crate::base::files;

/// The end of the log, in the hands of one thread at a time.
pub struct Writer {
    file: LogFile,
    key: SigningKey,
    tip: Tip,
    /// As far as the file is surely on the disk.
    synced: Mark,
    /// What the file has behind that: after a failed sync it may not read as it was written.
    unsynced: Vec<u8>,
    /// Somebody was asked to sync.
    sync_asked: bool,
    /// Behind the end there may be bytes of a failed write, or before it bytes that a failed sync lost.
    suspect: bool,
    /// What comes before any other line, and could not be written yet.
    first: Vec<Entry>,
    failing: Option<Failing>,
    segmenting: Segmenting,
    /// The length at which it is said that the file is full.
    full_at: u64,
    /// The last rotation failed, and the log for people says so.
    is_stuck: bool,
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
    is_out_of_room: bool,
    since: Timestamp,
    batches: u64,
}

impl Writer {
    pub fn new(file: LogFile, key: SigningKey, Tail { tip, length }: Tail) -> Self {
        Self {
            file,
            key,
            tip,
            synced: Mark { tip, length },
            unsynced: Vec::new(),
            sync_asked: false,
            suspect: false,
            first: Vec::new(),
            failing: None,
            segmenting: Segmenting::default(),
            full_at: u64::MAX,
            is_stuck: false,
            buffer: Vec::new(),
        }
    }

    /// From now on, the file is full at this size, and so many closed ones are kept.
    pub fn segment(&mut self, segmenting: Segmenting) {
        self.segmenting = segmenting;
        self.full_at = segmenting.bytes.unwrap_or(u64::MAX);
    }

    /// Whether the file has become full. It is said once; then [`rotate`](Self::rotate) is due.
    pub fn is_full(&mut self) -> bool {
        let is_full = self.file.length() >= self.full_at;
        if is_full {
            self.full_at = u64::MAX;
        }
        is_full
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

    /// Whether the last attempt failed for lack of room.
    pub fn is_out_of_room(&self) -> bool {
        self.failing.as_ref().is_some_and(|failing| failing.is_out_of_room)
    }

    /// Puts these entries before whatever is written next, behind those that were put there before.
    pub fn put_first(&mut self, entries: Vec<Entry>) {
        self.first.extend(entries);
    }

    /// Whether such entries are not written yet.
    pub fn is_behind(&self) -> bool {
        !self.first.is_empty()
    }

    /// How many such entries are not written yet.
    pub fn owed(&self) -> u64 {
        self.first.len() as u64
    }

    pub fn public_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
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
        if let Some(what) = self.file.loss()? {
            self.begin_anew(&format!("the previous file was {what}"), now).map_err(|why| {
                io::Error::new(
                    why.kind(),
                    format!("it was {what} while the daemon was using it, and a new one cannot be made: {why}"),
                )
            })?;
            log::error!(
                "The audit log was {what} while the daemon was using it; a new file continues from its last line"
            );
        }
        if self.suspect {
            self.repair()?;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let first = self.first.iter().cloned().chain(self.resumed());
        let tip = self.compose(first.chain(entries), now, &mut buffer);
        self.buffer = buffer;
        if self.unsynced() + self.buffer.len() as u64 > MOST_UNSYNCED {
            // Whoever was asked to sync is too slow.
            self.sync()?;
        }
        if let Err(why) = self.file.append(&self.buffer) {
            self.suspect = self.file.cut_rest().is_err();
            return Err(why);
        }
        self.unsynced.extend_from_slice(&self.buffer);
        let lines = tip.seq - self.tip.seq;
        self.tip = tip;
        self.first.clear();
        Ok(lines)
    }

    /// How many bytes are not surely on the disk.
    pub fn unsynced(&self) -> u64 {
        self.unsynced.len() as u64
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

    /// Appends the lines that follow the newest one to `out`, the last of them signed, and returns what is then the newest.
    fn compose(&self, entries: impl Iterator<Item = Entry>, now: Timestamp, out: &mut Vec<u8>) -> Tip {
        let mut tip = self.tip;
        let mut entries = entries.peekable();
        while let Some(entry) = entries.next() {
            let key = entries.peek().is_none().then_some(&self.key);
            tip.append(entry, now, key, out);
        }
        tip
    }

    /// The line that ends a time in which nothing could be written.
    fn resumed(&self) -> Option<Entry> {
        let Failing { why, since, batches, .. } = self.failing.as_ref()?;
        let detail = format!("since {since} {batches} attempts to write failed ({why}); those requests were refused");
        Some(Entry { detail: Some(detail), ..Entry::new(Event::AuditResumed) })
    }

    /// Remembers whether lines can be written, and logs when that changes.
    fn note(&mut self, error: Option<&io::Error>, now: Timestamp) {
        match (error, &mut self.failing) {
            (Some(_), Some(failing)) => failing.batches += 1,
            (Some(why), failing @ None) => {
                log::error!("Audit log cannot be written: {why}; nothing is served or changed until it can be");
                let is_out_of_room = files::is_out_of_room(why);
                *failing = Some(Failing { why: why.to_string(), is_out_of_room, since: now, batches: 1 });
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
            self.unsynced.drain(..(mark.length - self.synced.length) as usize);
            self.synced = mark;
        }
    }

    /// A sync failed: what it was to make durable is written and synced once more, through a fresh descriptor.
    pub fn sync_failed(&mut self, why: &io::Error) -> Result<(), String> {
        log::warn!("Audit log could not be synced: {why}; writing its last lines again");
        self.suspect = true;
        self.repair().map_err(|repair| {
            log::error!("Audit log cannot be synced: {repair}; nothing is served or changed until it can be");
            let since = self.tip.timestamp;
            let is_out_of_room = files::is_out_of_room(why);
            self.failing = Some(Failing { why: why.to_string(), is_out_of_room, since, batches: 1 });
            format!("{why}, and once more: {repair}")
        })
    }

    /// Makes the file end with the newest line, durably.
    fn repair(&mut self) -> io::Result<()> {
        self.file.rewrite(self.synced.length, &self.unsynced)?;
        self.suspect = false;
        self.all_is_synced();
        Ok(())
    }

    fn all_is_synced(&mut self) {
        self.synced = Mark { tip: self.tip, length: self.file.length() };
        self.unsynced.clear();
    }

    /// The file is a new one that has only the lines in `first`, and until its place is durable none of them is.
    fn has_begun(&mut self, first: Vec<u8>, tip: Tip) {
        self.synced = Mark { tip: self.tip, length: 0 };
        self.unsynced = first;
        self.tip = tip;
    }

    /// Continues in a new file if the present one no longer stands at its path.
    pub fn reopen(&mut self, now: Timestamp) -> Result<(), String> {
        let outcome = self.try_reopen(now);
        if let Err(why) = &outcome {
            log::error!("Audit log could not be reopened: {why}; logging continues in the same file");
        }
        outcome.map_err(|why| why.to_string())
    }

    fn try_reopen(&mut self, now: Timestamp) -> io::Result<()> {
        if self.file.is_in_place()? {
            return Ok(());
        }
        if self.suspect {
            self.repair()?;
        }
        self.sync()?;
        self.begin_anew("the log continues from the previous file", now)
    }

    /// Continues in a new file where there is none, or an empty one; `why` is what its first line says.
    pub fn begin_anew(&mut self, why: &str, now: Timestamp) -> io::Result<()> {
        let mut first = Vec::new();
        let tip = self.compose(std::iter::once(reopened(why.to_owned())), now, &mut first);
        keys::put_back(self.file.path(), &self.key)?;
        let is_durable = self.file.begin_anew(&first)?;
        self.has_begun(first, tip);
        self.suspect = !is_durable;
        if is_durable {
            self.all_is_synced();
        }
        self.segment(self.segmenting);
        Ok(())
    }

    /// Gives the file to whom the one at `other` belongs to.
    pub fn give_to_the_owner_of(&self, other: &Path) -> io::Result<()> {
        self.file.give_to_the_owner_of(other)
    }

    /// Closes the file as a segment, continues in a new one, and returns the segments that are now to be deleted; the new file
    /// says so. No sync may be under way.
    ///
    /// None if it could not: logging continues in the same file, which is full again when it has grown by an eighth.
    pub fn rotate(&mut self, now: Timestamp) -> Option<Vec<Segment>> {
        let rotated = self.try_rotate(now);
        if let Err(why) = &rotated {
            self.full_at = self.segmenting.bytes.map_or(u64::MAX, |bytes| self.file.length() + bytes / 8);
            if !self.is_stuck {
                log::error!(
                    "Audit log could not be rotated: {why}; logging continues in the same file, and rotation is tried \
                     again"
                );
            }
        } else if self.is_stuck {
            log::info!("Audit log can be rotated again");
        }
        self.is_stuck = rotated.is_err();
        let surplus = rotated.ok()?;
        if let Err(why) = self.file.sync_place() {
            self.sync_failed(&why).ok()?;
        }
        self.all_is_synced();
        Some(surplus)
    }

    fn try_rotate(&mut self, now: Timestamp) -> io::Result<Vec<Segment>> {
        if self.suspect {
            self.repair()?;
        }
        if !self.file.is_in_place()? {
            return Err(io::Error::other("the file is no longer in its place; SIGHUP begins a new one"));
        }
        self.sync()?;
        // Or one of them would be counted as a segment.
        self.file.forget_other_names()?;
        let (log, last) = (self.file.path(), self.tip.seq);
        let closed = segment::path(log, last);
        let surplus = match self.segmenting.keep {
            Some(keep) => segment::surplus(segment::list(log)?, last, keep),
            None => Vec::new(),
        };
        let entry = reopened(format!("the log continues from {}", file_name(&closed)));
        let entries = std::iter::once(entry).chain(surplus.iter().map(deleted));
        let mut first = Vec::new();
        let tip = self.compose(entries, now, &mut first);
        self.file.rotate(&closed, &first)?;
        self.has_begun(first, tip);
        self.segment(self.segmenting);
        Ok(surplus)
    }

    /// Lets a test make the disk fail.
    #[cfg(test)]
    pub fn faults(&self) -> std::sync::Arc<super::faults::Faults> {
        self.file.faults.clone()
    }
}

fn reopened(detail: String) -> Entry {
    Entry { detail: Some(detail), ..Entry::new(Event::LogReopen) }
}

fn deleted(segment: &Segment) -> Entry {
    let detail = format!("{}, up to line {}", file_name(&segment.path), segment.last);
    Entry { detail: Some(detail), ..Entry::new(Event::DeleteSegment) }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
