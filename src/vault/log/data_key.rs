//! Another data key, under another master key: what is live is sealed anew, in a new file as a compaction writes it.
//!
//! Whoever had the key before, and the master key that gave it, reads nothing of that file. The new file ends, for whoever goes
//! on from there, where the old one does: behind the record of a branch, which is in the old file and in the audit log before the
//! new file takes its place. So a crash leaves the one or the other, and the audit log agrees with both.
//!
//! That end stands at the top of the new file, before all that is sealed for it. So the file is written for the vault as it is,
//! while changes go on; if there were any, it is written once more, and they wait for it. Reading never does: a record in memory
//! knows the key that it is sealed with, and gets sealed anew when the new file is in place.

use std::iter;
use std::sync::Arc;

use super::End;
use super::batch::Batch;
use super::file::store::Successor;
use super::header::{Header, VaultKey};
use super::record::{NO_LINK, Sealed};
use crate::audit::{Entry, VaultAt};
use crate::base::failure::Failure;
use crate::base::sync::lock;
use crate::vault::order::Refused;
use crate::vault::seal::SealingKey;
use crate::vault::used_kids::UsedKids;
use crate::vault::write::Terms;
use crate::vault::{Vault, branch};

/// What becomes of the data key when a vault is put under another master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKey {
    /// It is wrapped by the other one. Who had the master key before, and a copy of the vault, still has it.
    Kept,
    /// There is a new one.
    New,
}

/// A new file that waits to take the place of the old one.
struct SealedAnew {
    successor: Successor,
    /// Where it ends.
    end: End,
    /// What the old file gets before that.
    branch: Batch,
    at: VaultAt,
}

impl Vault {
    /// Puts the vault under a new data key, wrapped by `next`. As [`rekey`](Self::rekey).
    pub(super) fn put_under_new_data_key(
        &self,
        header: &mut Header,
        next: &SealingKey,
        entry: Entry,
    ) -> Result<(), Refused> {
        let failed = |why: Failure| Refused::Storage(why.to_string());
        let unaudited = |why: String| Refused::Audit { applied: false, why };
        self.settle_audit().map_err(unaudited)?;
        let (other, key) = header.with_new_data_key(next, &self.key()).map_err(failed)?;
        let begin = |log: &super::Log| {
            let successor = log.store.begin_successor().map_err(|why| Refused::Storage(why.to_string()))?;
            Ok((log.end, successor))
        };
        let (start, successor) = begin(&lock(&self.log))?;
        let first = self.sealed_anew(successor, (&other, &key), start, &entry).map_err(failed)?;
        let mut log = lock(&self.log);
        let anew = if log.end == start {
            first
        } else {
            // Both are files of the same name.
            drop(first);
            let (start, successor) = begin(&log)?;
            self.sealed_anew(successor, (&other, &key), start, &entry).map_err(failed)?
        };
        let SealedAnew { successor, end, branch, at } = anew;
        let entry = Entry { vault: Some(at), detail: Some("under a new data key".to_owned()), ..entry };
        match self.write(&mut log, branch, vec![entry.clone()], Terms::default(), iter::empty()) {
            Ok(_) => {}
            // Were the line lost, a start would take the new file for one of another history.
            Err(Refused::Audit { applied: true, why }) => {
                self.audit_not_done(entry, &why);
                return Err(unaudited(why));
            }
            Err(refused) => return Err(refused),
        }
        let retired = self.take_place(&mut log, successor, end, entry)?;
        *lock(&self.key) = key.clone();
        self.stats.publish(&log.end, &mut lock(&self.state), self.clock.now());
        drop(log);
        drop(retired);
        *header = other;
        self.seal_memory_anew(&key);
        log::info!("Vault put under another master key and a new data key");
        Ok(())
    }

    /// All that is live, under `key` and behind `header`, for a vault that stands at `start` and gets the record of a branch.
    fn sealed_anew(
        &self,
        mut successor: Successor,
        (header, key): (&Header, &Arc<VaultKey>),
        start: End,
        entry: &Entry,
    ) -> Result<SealedAnew, Failure> {
        let by = self.author(entry);
        let (branch, at) = branch::beginning(&self.key(), start, self.audit.synced_seq(), by, UsedKids::default())?;
        let end = self.write_snapshot((header, key), &branch.end, &mut successor)?;
        successor.sync().map_err(|why| Failure::new("vault", why))?;
        let end = End { seq: branch.end.seq, link: branch.end.link, ..end };
        Ok(SealedAnew { successor, end, branch, at })
    }

    /// Seals what is in memory under `key`, too. Then nothing needs the key before any more, which is wiped.
    fn seal_memory_anew(&self, key: &Arc<VaultKey>) {
        let mut failed = None;
        self.walk(
            |name, secret, items| {
                let before = secret.records().filter(|record| !record.is_under(key)).cloned();
                items.push((name.to_owned(), before.collect::<Vec<_>>()));
            },
            |page| {
                let mut anew = page;
                for (_, records) in &mut anew {
                    for record in records.iter_mut() {
                        match record.reseal(key, NO_LINK) {
                            Ok(other) => *record = Arc::new(other),
                            Err(why) => failed = Some(why),
                        }
                    }
                    records.sort_by_key(|record: &Arc<Sealed>| record.seq);
                }
                let mut state = lock(&self.state);
                let before: Vec<_> = anew.iter().flat_map(|(name, records)| state.exchange(name, records)).collect();
                drop(state);
                drop(before);
            },
        );
        if let Some(why) = failed {
            log::error!("The data key from before stays in memory until the daemon is restarted: {why}");
        }
    }
}
