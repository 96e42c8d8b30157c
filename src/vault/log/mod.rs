//! The log of all changes: sealed records, each chained to the one before it, and where it stands.

pub mod batch;
pub mod change;
pub mod compaction;
pub mod data_key;
pub mod file;
pub mod header;
pub mod record;
pub mod rekey;
pub mod replay;

use std::io::{self, Read};

use crate::audit::{Entry, VaultAt};
use file::store::{FileStore, Retired, Successor};
use header::VaultKey;
use record::{Link, NO_LINK, Sealed};

/// The log of a vault that is open.
pub struct Log {
    pub store: FileStore,
    pub end: End,
    /// The last lines, where the file is a copy that could not be written. They go into it before any others.
    missing: Vec<u8>,
    /// What was to be added behind the end of a log that several daemons share, and was not answered. One of them may have become
    /// part of it.
    pub undecided: Vec<Undecided>,
}

/// An addition to a shared log that may have become part of it, or still may: the first line behind the end will show.
pub struct Undecided {
    pub lines: Vec<u8>,
    /// What is audited if it has.
    pub entries: Vec<Entry>,
}

impl Log {
    /// A log in `store`, which ends at `end`.
    pub fn new(store: FileStore, end: End) -> Self {
        Self { store, end, missing: Vec::new(), undecided: Vec::new() }
    }

    /// Writes `lines` behind the end of a copy, which need not be durable. What the disk refuses comes before the next lines.
    pub fn append_to_copy(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.store.length() + self.missing() > self.end.length {
            // Lines of a change that panicked before it was visible: they came into the log, and are told once more.
            self.missing.clear();
            self.store.cut(self.end.length)?;
        }
        self.missing.extend_from_slice(lines);
        self.store.append_unsynced(&self.missing)?;
        self.missing.clear();
        Ok(())
    }

    /// How many bytes the copy lacks.
    pub fn missing(&self) -> u64 {
        self.missing.len() as u64
    }

    /// Reads all lines from byte `from` on.
    pub fn reader(&self, from: u64) -> impl Read + use<> {
        let begun = from.saturating_sub(self.store.length()).min(self.missing()) as usize;
        self.store.reader(from).chain(io::Cursor::new(self.missing[begun..].to_vec()))
    }

    /// Puts `successor` in place of the file; the log then stands at `end`.
    pub fn replace(&mut self, successor: Successor, end: End) -> io::Result<Retired> {
        let retired = self.store.replace(successor)?;
        self.missing.clear();
        self.stand_at(end);
        Ok(retired)
    }

    /// Its end is `end`, as the store has made it.
    pub fn stand_at(&mut self, end: End) {
        self.end = End { length: self.store.length() + self.missing(), ..end };
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
