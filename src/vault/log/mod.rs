//! The log of all changes: sealed records, each chained to the one before it, and where it stands.

pub mod batch;
pub mod change;
pub mod compaction;
pub mod file;
pub mod header;
pub mod record;
pub mod rekey;
pub mod replay;

use std::io;

use crate::audit::VaultAt;
use file::store::{FileStore, Retired, Successor};
use header::VaultKey;
use record::{Link, NO_LINK, Sealed};

/// The log of a vault that is open.
pub struct Log {
    pub store: FileStore,
    pub end: End,
}

impl Log {
    /// Puts `successor` in place of the file; the log then stands at `end`.
    pub fn replace(&mut self, successor: Successor, end: End) -> io::Result<Retired> {
        let retired = self.store.replace(successor)?;
        self.stand_at(end);
        Ok(retired)
    }

    /// Its end is `end`, as the store has made it.
    pub fn stand_at(&mut self, end: End) {
        self.end = End { length: self.store.length(), ..end };
        debug_assert_eq!(self.end, end);
    }
}

/// The end of the log, where the next record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The number of the last record.
    pub seq: u64,
    /// What the next record is chained to.
    pub link: Link,
    pub length: u64,
    pub records: u64,
    /// Bytes that are neither a version nor dead: the header, and what a compaction keeps besides the versions.
    pub overhead_bytes: u64,
    /// Records that are neither a version nor dead.
    pub overhead_records: u64,
}

impl End {
    /// Where the vault with this key then stands.
    pub fn at(&self, key: &VaultKey) -> VaultAt {
        key.at(self.seq, &self.link)
    }

    /// The end of a log that has nothing yet but a header line of `length` bytes.
    pub fn behind_header(length: u64) -> Self {
        Self { seq: 0, link: NO_LINK, length, records: 0, overhead_bytes: length, overhead_records: 0 }
    }

    /// Where the log stands behind one record more, which is overhead or not.
    #[must_use]
    pub fn after(self, record: &Sealed, is_overhead: bool) -> Self {
        let length = record.line_length();
        Self {
            seq: record.seq,
            link: record.link(),
            length: self.length + length,
            records: self.records + 1,
            overhead_bytes: self.overhead_bytes + if is_overhead { length } else { 0 },
            overhead_records: self.overhead_records + u64::from(is_overhead),
        }
    }

    /// Where a log stands that was at this end, and then got all lines that another one got between its ends `from` and `to`.
    #[must_use]
    pub fn with_those_between(self, from: &Self, to: &Self) -> Self {
        Self {
            seq: to.seq,
            link: to.link,
            length: self.length + to.length - from.length,
            records: self.records + to.records - from.records,
            overhead_bytes: self.overhead_bytes + to.overhead_bytes - from.overhead_bytes,
            overhead_records: self.overhead_records + to.overhead_records - from.overhead_records,
        }
    }
}
