//! A daemon that was away for so long that a snapshot stands for what it missed takes in the whole vault anew, as at its start.

use std::io::Write;
use std::mem;

use super::Vault;
use super::log::replay::{self, Known, Loaded, Unaudited};
use super::shared_log::{Position, SharedLog, Unavailable};
use crate::base::sync::lock;

impl Vault {
    /// Makes this daemon's copy, and what it has in memory, what the shared log now has.
    ///
    /// # Errors
    /// If that cannot be asked for or written, or is not what comes of this daemon's copy. What there was stays.
    pub(super) fn reload(&self, shared: &dyn SharedLog) -> Result<(), Unavailable> {
        let lines = shared.everything().inspect_err(|why| self.note_mismatch(why))?;
        // As a compaction does, for the file is written anew.
        let header = lock(&self.rewriting);
        let mut log = lock(&self.log);
        let whole = [header.line(), lines].concat();
        let known = Known { at: self.audit.tip().vault, node: Some(shared.node()) };
        let loaded = replay::load_by(&mut whole.as_slice(), whole.len() as u64, known, |_| Ok(self.key()));
        let Loaded { mut state, end, unaudited, unfinished_bytes, .. } = loaded.map_err(|why| self.differs(&why))?;
        if unfinished_bytes > 0 {
            return Err(self.differs(&"it ends in a line that is not whole"));
        }
        if end.seq <= log.end.seq {
            // Somebody else has just done it.
            return Ok(());
        }
        let missed = log.end.seq + 1;
        let failed =
            |why: std::io::Error| Unavailable::Unanswered(format!("this daemon's copy cannot be written: {why}"));
        let mut successor = log.store.begin_successor().map_err(failed)?;
        successor.write_all(&whole).map_err(failed)?;
        let retired = log.replace(successor, end).map_err(failed)?;
        // Of those that were not answered, none comes any more: none stands behind the snapshot's end.
        log.undecided.clear();
        let found = "found in the log after this daemon was away";
        let recovered: Vec<_> = unaudited.into_iter().map(|change: Unaudited| change.entry(found)).collect();
        if !recovered.is_empty() {
            // If they cannot be written now, they come before anything else.
            let _ = self.audit_or_owe(recovered);
        }
        let before = {
            let mut present = lock(&self.state);
            *lock(&self.visible) = Position::from(&log.end);
            self.stats.publish(&log.end, &mut state, self.clock.now());
            mem::replace(&mut *present, state)
        };
        log::warn!("This daemon was away for long: changes {missed} to {} were taken in by a snapshot", end.seq);
        drop(log);
        drop((before, retired));
        self.watchers.wake_all();
        Ok(())
    }

    fn differs(&self, why: &dyn std::fmt::Display) -> Unavailable {
        let why = Unavailable::Mismatch(format!("etcd has another vault than this daemon's copy: {why}"));
        self.note_mismatch(&why);
        why
    }
}
