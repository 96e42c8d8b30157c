//! Where another branch of the vault begins: behind a backup that was put in place, or behind an older file that was accepted.
//!
//! Its record is like no other, so that the two branches are told apart from there on, also where nothing else is changed. It
//! says which ids may have been given out on the other one.

use std::ops::ControlFlow;
use std::path::Path;

use super::Vault;
use super::contents::Contents;
use super::kid::Kid;
use super::log::change::{Change, Metadata};
use super::log::header::VaultKey;
use super::log::record::Sealed;
use super::log::{End, Log};
use super::used_kids::UsedKids;
use crate::audit::{Event, Line, Outcome, ReadBack, VaultAt};
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::base::sync::lock;

/// The record by which a branch begins.
pub struct Beginning {
    /// Where the vault stands behind it.
    pub at: VaultAt,
    change: Change,
    record: Sealed,
}

impl Beginning {
    /// One behind `end`, on which no id in `used` is given out. `audited` is the newest audit line that is surely on the disk
    /// by then.
    pub fn seal(key: &VaultKey, end: &End, audited: u64, used: UsedKids) -> Result<Self, Failure> {
        let change = Change::Branch { used };
        let metadata = Metadata { audited, more: false, change: &change };
        let record = Sealed::seal(key, (end.seq + 1, end.link), &metadata, "")?;
        Ok(Self { at: key.at(record.seq, &record.link()), change, record })
    }

    pub fn line(&self) -> Vec<u8> {
        let mut line = Vec::new();
        self.record.write_line(&mut line);
        line
    }
}

impl Vault {
    /// Begins a branch, durably, on which no id in `used` is given out. The caller writes to the audit log where that is.
    ///
    /// # Errors
    /// If the file cannot be written; the branch has then not begun.
    pub fn begin_branch(&self, used: UsedKids) -> Result<VaultAt, Failure> {
        let mut log = lock(&self.log);
        let branch = Beginning::seal(&self.key, &log.end, self.audit.synced_seq(), used)?;
        let at = branch.at;
        log.store.append(&branch.line()).map_err(|why| Failure::new("vault", why))?;
        self.has_begun(&mut log, branch);
        Ok(at)
    }

    /// The line of `branch` is at the end of the file.
    pub(super) fn has_begun(&self, log: &mut Log, Beginning { change, record, .. }: Beginning) {
        log.advance(1, record.link());
        log.end.overhead_records += 1;
        log.end.overhead_bytes += record.line_length();
        let mut state = lock(&self.state);
        state.apply(change, record.into());
        self.stats.publish(&log.end, &mut state, self.clock.now());
    }
}

impl Contents {
    /// The line by which a branch begins behind these contents, on which no id in `used` is given out, and where the vault then
    /// stands. `audited` is the newest audit line that is surely on the disk before this one is.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub fn branch(&self, used: UsedKids, audited: u64) -> Result<(Vec<u8>, VaultAt), Failure> {
        let branch = Beginning::seal(self.key(), self.end(), audited, used)?;
        Ok((branch.line(), branch.at))
    }
}

impl UsedKids {
    /// The ids that may have been given out where that is not known any more: all up to the second `now`, and those that the
    /// audit log at `log` tells of, for they may be ahead of the clock.
    pub fn until(now: Timestamp, log: &Path) -> Self {
        let mut used = Self::default();
        used.add_all_through(now.seconds());
        let mut files = ReadBack::begin(log);
        let mut look = |line: &Line| {
            if is_of_making(line)
                && let (Some(name), Some(kid)) = (&line.secret_name, &line.kid)
                && let Some(kid) = Kid::parse(name, kid)
            {
                used.add(kid);
            }
            ControlFlow::Continue(())
        };
        // A log that cannot be read tells nothing.
        while files.read_file(&mut look).is_ok_and(|is_there| is_there) {}
        used
    }
}

/// Whether the kid on it may be one that was given out with it. One that a client has asked for may never have been.
fn is_of_making(line: &Line) -> bool {
    let is_made = matches!(line.event, Event::CreateSecret | Event::Rotate | Event::PrepareRotation | Event::Recovered);
    is_made && line.result == Outcome::Success
}
