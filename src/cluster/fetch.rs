//! The vault in etcd as a start finds it: its header, all its lines, or those behind a position. Or that there is none yet.

use super::answers::{added, asked, malformed, only, ranges};
use super::head::Head;
use super::log::EtcdLog;
use crate::etcd::{Condition, Operation, Range, Txn};
use crate::vault::{Position, SharedLog, SharedVault, Tail, Unavailable, lines_behind, position_behind};

/// How many parts of a snapshot one answer brings.
const PARTS: u64 = 8;

impl EtcdLog {
    /// Begins a new vault with this header line. Returns false if there is one already.
    ///
    /// # Errors
    /// If etcd does not answer; it may have begun all the same.
    pub fn create(&self, header: &[u8]) -> Result<bool, Unavailable> {
        self.begin(header, &Head::first(header))
    }

    /// Puts a header line and a head there, where there is neither. Returns false if there are others already.
    ///
    /// # Errors
    /// If etcd does not answer; they may be there all the same.
    pub(super) fn begin(&self, header: &[u8], head: &Head) -> Result<bool, Unavailable> {
        let keys = [self.keys().header(), self.keys().head()];
        let puts = [(self.keys().header(), header.to_vec()), (self.keys().head(), head.bytes())];
        let txn = Txn {
            conditions: keys.map(|key| Condition::IsAbsent { key }).into(),
            then: puts.map(|(key, value)| Operation::put(key, value)).into(),
            // A repeat finds what the first attempt has put.
            otherwise: vec![Operation::get(self.keys().head())],
        };
        let answer = self.etcd().txn(&txn, self.deadline()).map_err(added)?;
        Ok(answer.succeeded || answer.ranges.into_iter().next().and_then(only) == Some(head.bytes()))
    }
}

impl SharedVault for EtcdLog {
    fn node(&self) -> &str {
        SharedLog::node(self)
    }

    fn from(&self, position: Position) -> Result<Tail, Unavailable> {
        let head = Operation::get(self.keys().head());
        let before = Range { limit: 1, descending: true, ..Range::of(self.keys().log_before(position.seq + 1)) };
        let next = Range { limit: 1, keys_only: true, ..Range::of(self.keys().log_from(position.seq + 1)) };
        let then = vec![head, Operation::Range(before), Operation::Range(next)];
        let txn = Txn { conditions: Vec::new(), then, otherwise: Vec::new() };
        let [head, before, next] = ranges(self.etcd().txn(&txn, self.deadline()).map_err(asked)?)?;
        let head = self.heard(head, position)?;
        let is_next = next.pairs.first().is_some_and(|next| next.key == self.keys().log(position.seq + 1));
        if head.position() == position || is_next {
            return self.behind(position).map(Tail::Lines);
        }
        // The copy may have ended in the middle of what was added together.
        let Some(last) = only(before) else { return Ok(Tail::Compacted) };
        let rest = lines_behind(&last, position)?;
        let Some(end) = rest.split_inclusive(|byte| *byte == b'\n').next_back().and_then(position_behind) else {
            return Ok(Tail::Compacted);
        };
        let mut lines = rest.to_vec();
        lines.extend(self.behind(end)?);
        Ok(Tail::Lines(lines))
    }

    fn all(&self) -> Result<Vec<u8>, Unavailable> {
        loop {
            let (_, head) = self.look()?.ok_or_else(|| Unavailable::Mismatch("there is no vault".to_owned()))?;
            let mut lines = Vec::new();
            let mut part = 0;
            while part < head.parts {
                // An attempt that was given up may have left more of them.
                let limit = PARTS.min(head.parts - part);
                let parts = Range { limit, ..Range::of(self.keys().snapshot(head.snapshot, part)) };
                let parts = self.etcd().range(&parts, self.deadline()).map_err(asked)?;
                if parts.pairs.is_empty() {
                    break;
                }
                part += parts.pairs.len() as u64;
                lines.extend(parts.pairs.into_iter().flat_map(|pair| pair.value));
            }
            self.each(self.keys().log_from(head.snapshot + 1), |pair| {
                lines.extend(pair.value);
                Ok(())
            })?;
            // Nothing of it was taken away meanwhile.
            match self.look()? {
                Some((_, now)) if (now.snapshot, now.parts) == (head.snapshot, head.parts) => {
                    return if part == head.parts { Ok(lines) } else { Err(malformed()) };
                }
                _ => {}
            }
        }
    }
}
