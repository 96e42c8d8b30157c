//! The log of all changes: sealed records, each chained to the one before it, and where it stands.

pub mod change;
pub mod compaction;
pub mod file;
pub mod header;
pub mod record;
pub mod rekey;
pub mod replay;

use super::state::State;
use file::store::FileStore;
use record::Link;

/// The log of a vault that is open.
pub struct Log {
    pub store: FileStore,
    pub end: End,
}

impl Log {
    /// So many records were appended, the last of which a next one is chained to by `link`.
    pub fn advance(&mut self, records: u64, link: Link) {
        self.end.seq += records;
        self.end.records += records;
        self.end.link = link;
        self.end.length = self.store.length();
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
    pub fn dead_records(&self, state: &State) -> u64 {
        self.records.saturating_sub(self.overhead_records + state.live_records)
    }

    pub fn dead_bytes(&self, state: &State) -> u64 {
        self.length.saturating_sub(self.overhead_bytes + state.live_bytes)
    }
}
