//! A whole vault put into etcd, and read back.

use super::head::Head;
use super::log::{EtcdLog, added, asked, ranges};
use crate::base::progress;
use crate::etcd::{Condition, Keys, Operation, Range, Txn};
use crate::vault::{Position, SharedVault, Unavailable};

/// How many bytes one part of a snapshot has, and perhaps a line more.
pub const PART: usize = 512 * 1024;

impl EtcdLog {
    /// The names of the daemons that are there.
    ///
    /// # Errors
    /// If etcd does not answer.
    pub fn alive(&self) -> Result<Vec<String>, Unavailable> {
        let keys = Range { keys_only: true, ..Range::of(self.keys().all_alive()) };
        let answer = self.etcd().range(&keys, self.deadline()).map_err(asked)?;
        let name = |key: Vec<u8>| String::from_utf8_lossy(&key[self.keys().alive("").len()..]).into_owned();
        Ok(answer.pairs.into_iter().map(|pair| name(pair.key)).collect())
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
        // First what makes it a vault, so that nobody takes the rest for one.
        for keys in [Keys::One(self.keys().head()), self.keys().all()] {
            self.etcd().delete_range(keys, self.deadline()).map_err(added)?;
        }
        Ok(())
    }

    /// Puts a whole vault there, where there is none: its header line, and the lines behind it, which end at `end`. It is there
    /// for others when all of it is.
    ///
    /// # Errors
    /// If there is one, or etcd does not answer.
    pub fn put_whole(&self, header: &[u8], lines: &[u8], end: Position) -> Result<(), Unavailable> {
        let parts = parts(lines);
        for (number, part) in parts.iter().enumerate() {
            let key = self.keys().snapshot_part(end.seq, number as u64);
            let put = Operation::Put { key, value: part.to_vec(), lease: None };
            let absent = Condition::IsAbsent { key: self.keys().head() };
            let txn = Txn { conditions: vec![absent], then: vec![put], otherwise: Vec::new() };
            if !self.etcd().txn(&txn, self.deadline()).map_err(added)?.succeeded {
                return Err(Unavailable::Mismatch("somebody else has made a vault there meanwhile".to_owned()));
            }
            progress::advance(part.len() as u64);
        }
        let (snapshot, parts) = if parts.is_empty() { (0, 0) } else { (end.seq, parts.len() as u64) };
        let head = Head::first(header).at(end).with_snapshot(snapshot, parts);
        let keys = [self.keys().header(), self.keys().head()];
        let txn = Txn {
            conditions: keys.clone().map(|key| Condition::IsAbsent { key }).into(),
            then: std::iter::zip(keys, [header.to_vec(), head.bytes()])
                .map(|(key, value)| Operation::Put { key, value, lease: None })
                .collect(),
            otherwise: vec![Operation::Range(Range::of(Keys::One(self.keys().head())))],
        };
        let answer = self.etcd().txn(&txn, self.deadline()).map_err(added)?;
        if !answer.succeeded {
            let [there] = ranges(answer)?;
            // A repeat finds what the first attempt has put.
            if super::log::only(there) != Some(head.bytes()) {
                return Err(Unavailable::Mismatch("somebody else has made a vault there meanwhile".to_owned()));
            }
        }
        Ok(())
    }

    /// The bytes of a file that has all that is there.
    ///
    /// # Errors
    /// If there is no vault, or etcd does not answer.
    pub fn whole(&self) -> Result<Vec<u8>, Unavailable> {
        let mut whole = self.header()?;
        whole.extend(self.all()?);
        Ok(whole)
    }
}

/// The lines in parts, each of which ends with a line.
pub fn parts(mut lines: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while !lines.is_empty() {
        let rest = lines.get(PART..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| PART + end + 1);
        let (part, behind) = lines.split_at(end);
        parts.push(part);
        lines = behind;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_with_a_line_and_none_is_lost() {
        let line = |n: usize| format!("{n} {}\n", "x".repeat(n * 7 % 90_000)).into_bytes();
        for count in [0, 1, 2, 50] {
            let lines: Vec<u8> = (0..count).flat_map(line).collect();
            let parts = parts(&lines);
            assert!(parts.iter().all(|part| part.ends_with(b"\n") && part.len() <= PART + 90_010));
            assert_eq!(parts.concat(), lines);
        }
        let one: Vec<u8> = [vec![b'x'; PART - 1], vec![b'\n']].concat();
        assert_eq!(parts(&one).len(), 1);
    }
}
