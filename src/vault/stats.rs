//! What is counted of the vault's file, and its metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::log::End;
use super::state::State;
use crate::base::clock::Timestamp;
use crate::metrics::{Page, rounded_up};

/// Figures of the vault's file, as of the last commit or compaction.
#[derive(Default)]
pub struct Stats {
    pub bytes: AtomicU64,
    /// Records that hold a version which is still there, the end of one, or a secret's settings.
    pub live_records: AtomicU64,
    /// Records that hold nothing any more.
    pub dead_records: AtomicU64,
    /// What their lines take.
    pub dead_bytes: AtomicU64,
    /// What those lines take that hold a version whose grace is over.
    pub expired_bytes: AtomicU64,
    /// Times that changes were appended and made durable.
    pub syncs: AtomicU64,
    pub compactions: AtomicU64,
    pub compaction_failures: AtomicU64,
}

impl Stats {
    pub(super) fn publish(&self, end: &End, state: &mut State, now: Timestamp) {
        let dead_records = end.records.saturating_sub(end.overhead_records + state.live_records);
        let dead_bytes = end.length.saturating_sub(end.overhead_bytes + state.live_bytes);
        self.bytes.store(end.length, Ordering::Relaxed);
        self.live_records.store(state.live_records, Ordering::Relaxed);
        self.dead_records.store(dead_records, Ordering::Relaxed);
        self.dead_bytes.store(dead_bytes, Ordering::Relaxed);
        self.expired_bytes.store(state.expiring.expired(now), Ordering::Relaxed);
    }

    /// Bytes of the file, and how many of them are dead and how many past their grace.
    pub(super) fn sizes(&self) -> [u64; 3] {
        [&self.bytes, &self.dead_bytes, &self.expired_bytes].map(|figure| figure.load(Ordering::Relaxed))
    }

    pub(super) fn write(&self, page: &mut Page) {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        page.gauge("vault_size_bytes", "Size of the vault file, rounded up to 64 KiB.")
            .value(rounded_up(read(&self.bytes)));
        page.gauge("vault_records", "Records in the vault file: needed (live) or waiting for compaction (dead).")
            .sample(&[("state", "live")], read(&self.live_records))
            .sample(&[("state", "dead")], read(&self.dead_records));
        page.counter("vault_syncs_total", "Syncs of the vault file to the disk.").value(read(&self.syncs));
        page.counter("vault_compactions_total", "Compactions of the vault file.").value(read(&self.compactions));
        page.counter("vault_compaction_failures_total", "Compactions that failed, and left the vault file as it was.")
            .value(read(&self.compaction_failures));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_has_its_metric() {
        let stats = Stats {
            bytes: 13.into(),
            live_records: 14.into(),
            dead_records: 15.into(),
            syncs: 30.into(),
            compactions: 16.into(),
            compaction_failures: 22.into(),
            ..Stats::default()
        };
        crate::metrics::assert_in_example(|page| stats.write(page));
    }
}
