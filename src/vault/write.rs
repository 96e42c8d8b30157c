//! Sealed changes: durable in the log, then audited, then in memory. Only a branch is audited after that, at the start.
//!
//! A crash in between leaves records that the audit log does not know; the next start audits them as recovered, unless the
//! last one of their order is missing.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Vault;
use super::log::Log;
use super::log::batch::Batch;
use super::order::Refused;
use super::shared_log::{Fence, Position, Seen};
use crate::audit::{AuditFailure, Entry};
use crate::base::files;
use crate::base::sync::{lock, try_lock};

/// Whether changes were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    Done,
    /// They were not: other daemons' changes came before them, and are taken in. They are to be planned again.
    OthersFirst,
}

/// What changes are made under, in a log that several daemons share.
#[derive(Clone, Copy, Default)]
pub struct Terms<'a> {
    pub fence: Fence<'a>,
    pub seen: Option<&'a Seen>,
    /// The present header, and the one that takes its place with them.
    pub header: Option<(&'a [u8], &'a [u8])>,
}

impl Vault {
    /// Makes the changes of `batch`, and audits them as `entries`. Then those are woken who wait for one of the secrets
    /// `changed`.
    ///
    /// # Errors
    /// Says why nothing was changed; only [`Refused::Audit`] with `applied` means that it was, [`Refused::Unsettled`] that it
    /// may be after a restart, and [`Refused::Shared`] with [`Unavailable::Undecided`](super::Unavailable::Undecided) that it may
    /// be at any time.
    pub(super) fn write<'a>(
        &self,
        log: &mut Log,
        batch: Batch,
        entries: Vec<Entry>,
        terms: Terms<'_>,
        changed: impl Iterator<Item = &'a str>,
    ) -> Result<Written, Refused> {
        if self.put_in_log(log, &batch, &entries, terms)? == Written::OthersFirst {
            return Ok(Written::OthersFirst);
        }
        let audited = if self.shared.is_some() { self.audit_or_owe(entries) } else { self.audit.write_synced(entries) };
        if let (Err(AuditFailure::NotWritten(why)), None) = (&audited, &self.shared) {
            return Err(self.take_back(log, why.clone()));
        }
        if self.shared.is_some() {
            self.shared_stats.applied_own.fetch_add(batch.records.len() as u64, Ordering::Relaxed);
        }
        self.make_visible(log, batch, changed);
        match audited {
            Err(AuditFailure::NotSynced(why) | AuditFailure::NotWritten(why)) => {
                Err(Refused::Audit { applied: true, why })
            }
            Ok(()) => Ok(Written::Done),
        }
    }

    /// Makes the records of `batch` part of the log, durably. `entries` are what is audited of them.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(super) fn put_in_log(
        &self,
        log: &mut Log,
        batch: &Batch,
        entries: &[Entry],
        terms: Terms<'_>,
    ) -> Result<Written, Refused> {
        match &self.shared {
            None => self.append(log, &batch.lines()).map(|()| Written::Done),
            Some(shared) => self.add_to_shared(&**shared, log, batch, entries, terms),
        }
    }

    /// Takes changes that are durable into memory: they become visible. Then those are woken who wait for one of
    /// the secrets `changed`.
    pub(super) fn make_visible<'a>(&self, log: &mut Log, batch: Batch, changed: impl Iterator<Item = &'a str>) {
        log.stand_at(batch.end);
        let garbage: Vec<_> = {
            let mut state = lock(&self.state);
            *lock(&self.visible) = Position::from(&log.end);
            let garbage = batch.records.into_iter().map(|(change, record)| state.apply(change, record)).collect();
            self.stats.publish(&log.end, &mut state, self.clock.now());
            garbage
        };
        drop(garbage);
        self.watchers.wake(changed);
    }

    /// Takes back what was appended behind the end of the log: nothing of it is in the audit log, which is why it is refused, so
    /// nothing of it may stay in the vault.
    fn take_back(&self, log: &mut Log, why: String) -> Refused {
        let cut = log.store.cut(log.end.length);
        let refused = match &cut {
            Ok(()) => Refused::Audit { applied: false, why },
            Err(uncut) => Refused::Unsettled(format!("{why}; the vault file cannot be written either: {uncut}")),
        };
        self.note_storage(cut);
        refused
    }

    fn append(&self, log: &mut Log, lines: &[u8]) -> Result<(), Refused> {
        // Lines of a commit that panicked before it was done: nobody was told of them, and nothing is chained to them.
        let cut = if log.store.length() > log.end.length { log.store.cut(log.end.length) } else { Ok(()) };
        let mut is_settled = true;
        let appended = cut.and_then(|()| log.store.append(lines).inspect_err(|_| is_settled = log.store.is_settled()));
        self.stats.syncs.fetch_add(1, Ordering::Relaxed);
        let why = appended.as_ref().err().map(ToString::to_string);
        self.note_storage(appended);
        match why {
            None => Ok(()),
            Some(why) if is_settled => Err(Refused::Storage(why)),
            Some(why) => Err(Refused::Unsettled(format!("the vault file cannot be written: {why}"))),
        }
    }

    /// None when secrets can be served and changed; else why not. If the file could not be written, it is tried again.
    pub fn trouble(self: &Arc<Self>) -> Option<String> {
        if lock(&self.trouble).storage.is_some() {
            match self.shared.is_some() {
                // Who asks for the health does not wait for a change that waits for etcd; the change tries it.
                true => _ = try_lock(&self.log).map(|mut log| self.note_storage(log.append_to_copy(b""))),
                false => self.note_storage(self.probe()),
            }
            self.compact_if_worthwhile();
        }
        let trouble = lock(&self.trouble);
        trouble.memory.as_ref().or(trouble.history.as_ref()).or(trouble.storage.as_ref()).cloned()
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

    /// Remembers whether the vault's file could be written, and logs when that changes.
    pub(super) fn note_storage(&self, outcome: std::io::Result<()>) {
        if outcome.as_ref().is_err_and(|why| matches!(why.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof)) {
            self.file_lost.store(true, Ordering::SeqCst);
        }
        let mut trouble = lock(&self.trouble);
        match (outcome, &trouble.storage) {
            (Ok(()), Some(_)) => {
                log::info!("Vault file can be written again");
                trouble.storage = None;
            }
            (Err(why), None) => {
                let changes = if self.shared.is_some() { "and changed" } else { "changes are refused" };
                log::error!("Vault file cannot be written: {why}; secrets are still served, {changes}");
                trouble.storage = Some(format!("the vault file cannot be written: {why}"));
                if files::is_out_of_room(&why) {
                    self.disk_full.store(true, Ordering::SeqCst);
                }
            }
            _ => {}
        }
    }
}
