//! A whole vault put into etcd, and read back.

use super::answers::{added, asked};
use super::head::Head;
use super::log::EtcdLog;
use super::snapshot::next_part;
use crate::base::progress;
use crate::etcd::{Condition, Operation, Range, Txn};
use crate::vault::{Position, SharedVault, Unavailable};

impl EtcdLog {
    /// The names of the daemons that are there.
    ///
    /// # Errors
    /// If etcd does not answer.
    pub fn alive(&self) -> Result<Vec<String>, Unavailable> {
        let keys = Range { keys_only: true, ..Range::of(self.keys().all_alive()) };
        let answer = self.etcd().range(&keys, self.deadline()).map_err(asked)?;
        Ok(answer.pairs.iter().filter_map(|pair| self.keys().node(&pair.key)).collect())
    }

    /// Whether there is nothing under the prefix.
    ///
    /// # Errors
    /// If etcd does not answer.
    pub fn is_empty(&self) -> Result<bool, Unavailable> {
        let any = Range { keys_only: true, limit: 1, ..Range::of(self.keys().all()) };
        Ok(self.etcd().range(&any, self.deadline()).map_err(asked)?.pairs.is_empty())
    }

    /// Removes the vault that is there, and all that was put beside it.
    ///
    /// # Errors
    /// If etcd does not answer; some of it may then be gone.
    pub fn clear(&self) -> Result<(), Unavailable> {
        let key = self.keys().head();
        let head = self.value_of(key.clone(), self.deadline()).map_err(asked)?;
        // An attempt that arrives late must not remove what was put there after it.
        let unchanged = Condition::is(key, head);
        let then = vec![Operation::Delete(self.keys().all())];
        let txn = Txn { conditions: vec![unchanged], then, otherwise: Vec::new() };
        let answer = self.etcd().txn(&txn, self.deadline()).map_err(added)?;
        let changed = || Unavailable::Mismatch("somebody else has changed the vault there meanwhile".to_owned());
        (answer.succeeded || answer.was_repeated).then_some(()).ok_or_else(changed)
    }

    /// Puts a whole vault there, where there is none: its header line, and the lines behind it, which end at `end`. It is there
    /// for others when all of it is.
    ///
    /// # Errors
    /// If there is one, or etcd does not answer.
    pub fn put_whole(&self, header: &[u8], lines: &[u8], end: Position) -> Result<(), Unavailable> {
        let is_made = || Unavailable::Mismatch("somebody else has made a vault there meanwhile".to_owned());
        let (mut rest, mut parts) = (lines, 0);
        while let Some(part) = next_part(&mut rest).expect("it is in memory") {
            let (key, length) = (self.keys().snapshot_part(end.seq, parts), part.len() as u64);
            let put = Operation::put(key, part);
            let absent = Condition::IsAbsent { key: self.keys().head() };
            let txn = Txn { conditions: vec![absent], then: vec![put], otherwise: Vec::new() };
            if !self.etcd().txn(&txn, self.deadline()).map_err(added)?.succeeded {
                return Err(is_made());
            }
            progress::advance(length);
            parts += 1;
        }
        let snapshot = if parts == 0 { 0 } else { end.seq };
        let head = Head::first(header).at(end).with_snapshot(snapshot, parts, 0);
        self.begin(header, &head)?.then_some(()).ok_or_else(is_made)
    }

    /// The bytes of a file that has all that is there.
    ///
    /// # Errors
    /// If there is no vault, or etcd does not answer.
    pub fn whole(&self) -> Result<Vec<u8>, Unavailable> {
        let missing = || Unavailable::Mismatch(format!("there is no vault under {}", self.keys().prefix()));
        let (mut whole, _) = self.look()?.ok_or_else(missing)?;
        whole.extend(self.all()?);
        Ok(whole)
    }
}
