//! Where another branch of the vault begins: behind a backup that was put in place, or behind an older file that was accepted.
//!
//! Its record is like no other, so that the two branches are told apart from there on, also where nothing else is changed. It
//! says which ids may have been given out on the other one.

use std::iter;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::Vault;
use super::contents::Contents;
use super::kid::Kid;
use super::log::End;
use super::log::batch::Batch;
use super::log::change::{Author, Change, Metadata};
use super::log::header::VaultKey;
use super::used_kids::UsedKids;
use super::write::{Terms, Written};
use crate::audit::{Entry, Event, Line, Outcome, ReadBack, VaultAt};
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::base::sync::lock;

/// The record by which a branch begins behind `end`, on which no id in `used` is given out, and where the vault stands behind
/// it. `audited` is the newest audit line that is surely on the disk by then.
pub fn beginning(
    key: &Arc<VaultKey>,
    end: End,
    audited: u64,
    by: Option<Author>,
    used: UsedKids,
) -> Result<(Batch, VaultAt), Failure> {
    let mut batch = Batch::behind(end);
    let (_, at) = batch.seal(key, Metadata { audited, by, more: false, change: Change::Branch { used } }, "")?;
    Ok((batch, at))
}

impl Vault {
    /// Begins a branch, durably, on which no id in `used` is given out. The caller writes to the audit log where that is.
    ///
    /// # Errors
    /// If the file cannot be written; the branch has then not begun.
    pub fn begin_branch(&self, used: UsedKids) -> Result<VaultAt, Failure> {
        let mut log = lock(&self.log);
        loop {
            let by = self.author(&Entry::new(Event::RollbackAccepted));
            let (branch, at) = beginning(&self.key(), log.end, self.audit.synced_seq(), by, used.clone())?;
            let put = self.put_in_log(&mut log, &branch, &[], Terms::default());
            if put.map_err(|why| Failure::new("vault", why))? == Written::Done {
                self.make_visible(&mut log, branch, iter::empty());
                return Ok(at);
            }
        }
    }
}

impl Contents {
    /// The line by which a branch begins behind these contents, on which no id in `used` is given out, and where the vault then
    /// stands. `audited` is the newest audit line that is surely on the disk before this one is.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub fn branch(&self, used: UsedKids, audited: u64) -> Result<(Vec<u8>, VaultAt), Failure> {
        let (branch, at) = beginning(self.key(), *self.end(), audited, None, used)?;
        Ok((branch.lines(), at))
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
