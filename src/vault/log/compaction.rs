//! Compaction: a new file with only what is live, which then takes the place of the old one.
//!
//! Nobody waits for it. Changes go on being appended to the old file; their lines are copied behind the snapshot as they
//! are, because the snapshot's first record says what the line behind it is chained to. Only the hand-over of the last few
//! lines holds up a writer, for as long as one commit takes.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};

use super::change::{Change, Metadata};
use super::file::store::Successor;
use super::header::{Header, VaultKey};
use super::record::{Link, Sealed};
use super::{End, Log};
use crate::audit::{Entry, Event};
use crate::base::failure::Failure;
use crate::base::sync::{Breaks, lock};
use crate::vault::state::State;
use crate::vault::{Position, Vault};

/// Below this size a file is compacted only by the daily round: rewriting it more often would gain nothing.
const SMALL: u64 = 64 * 1024;

/// The hand-over begins when no more than this is left to copy.
const HANDOVER: u64 = 256 * 1024;

/// The records that a compaction has put in place of all changes up to one.
pub struct Snapshot {
    /// Where the log stood behind that change.
    pub through: Position,
    /// Their lines, as in the file. They can be read whatever takes its place.
    pub lines: Box<dyn Read + Send>,
}

impl Vault {
    /// Asks for a compaction when more than half of the file is dead or past its grace and it is large enough to matter, when
    /// the file was lost, for a compaction makes a whole new one, or when the disk has become full, the audit log's too, and that
    /// can make room.
    pub fn compact_if_worthwhile(self: &Arc<Self>) {
        if self.compaction_wanted.load(Ordering::Relaxed) || self.audit.is_behind() {
            return;
        }
        let lost = self.file_lost.swap(false, Ordering::SeqCst);
        let has_become_full = self.disk_full.swap(false, Ordering::SeqCst) | self.audit.has_run_out_of_room();
        let full = has_become_full && self.can_make_room();
        if (lost || full || self.is_compaction_worthwhile()) && !self.compaction_wanted.swap(true, Ordering::SeqCst) {
            self.compact_in_background(lost);
        }
    }

    pub(in crate::vault) fn is_compaction_worthwhile(&self) -> bool {
        let bytes = self.stats.bytes.load(Ordering::Relaxed);
        let has_grown_since = |before: &AtomicU64| bytes >= before.load(Ordering::Relaxed) / 4 * 5;
        let is_half_dead = self.stats.dead_bytes.load(Ordering::Relaxed) * 2 > bytes;
        let is_worthwhile = is_half_dead || (self.is_half_useless() && has_grown_since(&self.expired_kept_at));
        bytes >= SMALL && has_grown_since(&self.compaction_failed_at) && is_worthwhile
    }

    /// Whether a compaction can make room on a full disk. One that has no room itself is not begun: it would take what little
    /// is left, which the audit log may need. What is past its grace is destroyed before it.
    fn can_make_room(&self) -> bool {
        let [bytes, dead, expired] = self.stats.sizes();
        let needed = bytes.saturating_sub(dead + expired);
        dead + expired > 0 && lock(&self.log).store.room().is_ok_and(|room| room > needed)
    }

    /// Whether more than half of the file is dead or past its grace.
    fn is_half_useless(&self) -> bool {
        let [bytes, dead, expired] = self.stats.sizes();
        (dead + expired) * 2 > bytes
    }

    /// Compacts on a thread of its own, and destroys before that the versions whose grace is over. `lost`: a new file is wanted
    /// whatever is in the old one.
    fn compact_in_background(self: &Arc<Self>, lost: bool) {
        let vault = self.clone();
        let started = std::thread::Builder::new().name("compaction".to_owned()).spawn(move || {
            if let Err(why) = vault.destroy_expired("compaction", || false) {
                log::error!("Versions whose grace period is over could not be destroyed: {why}");
            }
            let compacted = if lost { vault.compact().map(|()| true) } else { vault.compact_dead() };
            let (is_made, failed_at) = match compacted {
                Ok(is_made) => (is_made, 0),
                Err(why) => {
                    log::error!("Compaction failed, the vault file stays as it is: {why}");
                    (false, vault.stats.bytes.load(Ordering::Relaxed))
                }
            };
            vault.compaction_failed_at.store(failed_at, Ordering::Relaxed);
            let kept_at = if vault.is_half_useless() { vault.stats.bytes.load(Ordering::Relaxed) } else { 0 };
            vault.expired_kept_at.store(kept_at, Ordering::Relaxed);
            vault.compaction_wanted.store(false, Ordering::SeqCst);
            if is_made {
                // Who made something dead meanwhile has left it to this one, for which it came too late.
                vault.compact_if_worthwhile();
            }
        });
        if let Err(why) = started {
            log::error!("Compaction could not be started: {why}");
            self.compaction_wanted.store(false, Ordering::SeqCst);
        }
    }

    /// Compacts now if anything in the file is dead. Returns whether it did: not, while the audit log still lacks lines of changes
    /// before the start, which nobody could tell from the others in a compacted file.
    ///
    /// # Errors
    /// If the new file could not be written; the old one is then still in force.
    pub fn compact_dead(&self) -> Result<bool, Failure> {
        let is_any_dead = || self.stats.dead_records.load(Ordering::Relaxed) > 0;
        if !is_any_dead() || self.audit.is_behind() {
            return Ok(false);
        }
        let header = lock(&self.rewriting);
        // Another one may have been at it, and have done it all.
        if !is_any_dead() {
            return Ok(false);
        }
        self.rewrite_counted(&header).map(|_| true)
    }

    /// Compacts now, whatever is in the file.
    pub(in crate::vault) fn compact(&self) -> Result<(), Failure> {
        self.snapshot().map(drop)
    }

    /// Compacts now, and returns what that has made of all changes there were.
    ///
    /// # Errors
    /// If the new file could not be written; the old one is then still in force.
    pub fn snapshot(&self) -> Result<Snapshot, Failure> {
        self.rewrite_counted(&lock(&self.rewriting))
    }

    fn rewrite_counted(&self, header: &Header) -> Result<Snapshot, Failure> {
        self.rewrite(header).inspect_err(|_| _ = self.stats.compaction_failures.fetch_add(1, Ordering::Relaxed))
    }

    fn rewrite(&self, header: &Header) -> Result<Snapshot, Failure> {
        let (start, successor) = {
            let log = lock(&self.log);
            (log.end, log.store.begin_successor().map_err(failed)?)
        };
        self.rewrite_from(header, start, successor)
    }

    /// Makes sure that the audit log has the lines of all changes, durably. What is written anew has no records of its own for them
    /// any more: were one of these lines lost, a start could neither tell that it is the same history nor write the line anew.
    ///
    /// # Errors
    /// Why it has not.
    pub(super) fn settle_audit(&self) -> Result<(), String> {
        self.audit.sync_all().map_err(|why| why.to_string())?;
        match self.audit.is_behind() {
            true => Err("the audit log still lacks lines of changes".to_owned()),
            false => Ok(()),
        }
    }

    /// Puts `successor`, which was begun at `start`, in place of the file: changes may have been made since.
    pub(in crate::vault) fn rewrite_from(
        &self,
        header: &Header,
        start: End,
        mut successor: Successor,
    ) -> Result<Snapshot, Failure> {
        self.settle_audit().map_err(|why| Failure::new("compaction", why))?;
        let snapshot = self.write_snapshot((header, &self.key()), &start, &mut successor)?;
        let mut log = self.catch_up(&mut successor, start.length).map_err(failed)?;
        let length = log.end.length;
        let end = snapshot.with_those_between(&start, &log.end);
        let retired = log.replace(successor, end).map_err(failed)?;
        let begin = header.line().len() as u64;
        let lines = Box::new(log.store.reader(begin).take(snapshot.length - begin));
        self.stats.compactions.fetch_add(1, Ordering::Relaxed);
        self.stats.publish(&log.end, &mut lock(&self.state), self.clock.now());
        log::info!("Vault compacted: {} bytes became {}", length, log.end.length);
        drop(log);
        drop(retired);
        Ok(Snapshot { through: Position::from(&start), lines })
    }

    /// Copies to `successor` what the file has behind byte `copied`, while it is appended to; the last of it with the file
    /// held, which the caller lets go when the successor has taken its place.
    pub(super) fn catch_up(&self, successor: &mut Successor, mut copied: u64) -> io::Result<MutexGuard<'_, Log>> {
        loop {
            let (length, reader) = {
                let log = lock(&self.log);
                (log.end.length, log.reader(copied))
            };
            copy(reader, length - copied, successor)?;
            copied = length;
            successor.sync()?;
            let log = lock(&self.log);
            if log.end.length - copied <= HANDOVER {
                copy(log.reader(copied), log.end.length - copied, successor)?;
                return Ok(log);
            }
        }
    }

    /// Writes the header and, sealed anew under `key`, all records that hold what change number `start.seq` left.
    pub(super) fn write_snapshot(
        &self,
        (header, key): (&Header, &Arc<VaultKey>),
        start: &End,
        successor: &mut Successor,
    ) -> Result<End, Failure> {
        // In the order of their numbers. Sorting them at the end would keep a processor busy for long.
        let mut live = BTreeMap::new();
        self.walk(
            |_, secret, items| items.extend(secret.records().cloned()),
            // What was made after the start is copied with the old file's tail.
            |records| {
                let made_before = records.into_iter().filter(|record| record.seq <= start.seq);
                live.extend(made_before.map(|record| (record.seq, record)));
            },
        );
        // After the walk: of a version that was destroyed before it came there, the snapshot has the id at least.
        self.turn_pages(State::forget_spent, drop);
        let used = lock(&self.state).used.clone();
        let ids = (!used.is_empty()).then_some(Change::UsedKids { used });

        let records = live.len() as u64 + u64::from(ids.is_some());
        let mut writer = SnapshotWriter::begin(successor, header)?;
        let snapshot = Change::Snapshot { through: start.seq, link: start.link, records };
        let (audited, by) = (self.audit.synced_seq(), self.author(&Entry::new(Event::ServerStart)));
        let seal = |after: Link, change: &Change| {
            Sealed::seal(key, (start.seq, after), &Metadata { audited, by: by.clone(), more: false, change }, "")
        };
        writer.record(&seal(writer.end.link, &snapshot)?, true)?;
        if let Some(change) = ids {
            let record = seal(writer.end.link, &change)?;
            writer.record(&record, true)?;
        }
        for record in live.into_values() {
            let record = record.reseal(key, writer.end.link)?;
            writer.record(&record, false)?;
        }
        Ok(writer.end)
    }
}

fn failed(why: io::Error) -> Failure {
    Failure::new("compaction", why)
}

pub(in crate::vault) fn copy(from: impl Read, length: u64, to: &mut Successor) -> io::Result<()> {
    match io::copy(&mut from.take(length), to)? {
        copied if copied == length => Ok(()),
        _ => Err(io::Error::other("the file became shorter while the daemon was using it")),
    }
}

struct SnapshotWriter<'a> {
    successor: &'a mut Successor,
    end: End,
    breaks: Breaks,
}

impl<'a> SnapshotWriter<'a> {
    fn begin(successor: &'a mut Successor, header: &Header) -> Result<Self, Failure> {
        let line = header.line();
        successor.write_all(&line).map_err(failed)?;
        Ok(Self { successor, end: End::behind_header(line.len() as u64), breaks: Breaks::begin() })
    }

    fn record(&mut self, record: &Sealed, is_overhead: bool) -> Result<(), Failure> {
        let mut line = Vec::with_capacity(record.line_length() as usize);
        record.write_line(&mut line);
        self.end = self.end.after(record, is_overhead);
        self.breaks.take_if_due();
        self.successor.write_all(&line).map_err(failed)
    }
}
