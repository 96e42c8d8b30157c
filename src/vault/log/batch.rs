//! Records that are sealed, and not yet in the log.

use std::sync::Arc;

use super::End;
use super::change::{Change, Metadata};
use super::header::VaultKey;
use super::record::Sealed;
use crate::audit::VaultAt;
use crate::base::failure::Failure;

/// Records as they are to stand at the end of the log, with the changes that they hold.
pub struct Batch {
    /// Where the log stands behind them.
    pub end: End,
    pub records: Vec<(Change, Arc<Sealed>)>,
    /// How many bytes the log has before them.
    begin: u64,
}

impl Batch {
    /// Nothing yet, in a log that stands at `end`.
    pub fn behind(end: End) -> Self {
        Self { end, records: Vec::new(), begin: end.length }
    }

    /// Seals a change and its `value` (empty where there is none) as the next record. Returns the change, and where the vault
    /// stands behind it.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub fn seal(
        &mut self,
        key: &Arc<VaultKey>,
        Metadata { audited, by, more, change }: Metadata<Change>,
        value: &str,
    ) -> Result<(&Change, VaultAt), Failure> {
        let metadata = Metadata { audited, by, more, change: &change };
        let record = Sealed::seal(key, (self.end.seq + 1, self.end.link), &metadata, value)?;
        self.push(change, record);
        let (change, _) = self.records.last().expect("it was pushed");
        Ok((change, self.end.at(key)))
    }

    /// Takes in a record that is sealed already.
    pub fn push(&mut self, change: Change, record: Sealed) {
        self.end = self.end.after(&record, change.is_overhead());
        self.records.push((change, Arc::new(record)));
    }

    /// Their lines.
    pub fn lines(&self) -> Vec<u8> {
        // Of its size from the start: to grow, it would need three times as much for a moment.
        let mut lines = Vec::with_capacity((self.end.length - self.begin) as usize);
        self.records.iter().for_each(|(_, record)| record.write_line(&mut lines));
        lines
    }
}
