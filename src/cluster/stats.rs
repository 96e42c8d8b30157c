//! What is counted of the log that several daemons share, and the metrics of a daemon that shares one.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::clock::Timestamp;
use crate::metrics::{Page, unix_seconds};
use crate::vault::{SharedStats, Unavailable};

/// What happened, as this daemon saw it.
#[derive(Default)]
pub struct Stats {
    /// Additions that came second.
    pub conflicts: AtomicU64,
    /// Additions that were sent again for want of an answer, and are in force.
    pub repeats_ours: AtomicU64,
    /// Those that came second in the end.
    pub repeats_other: AtomicU64,
    /// Those of which nobody knows yet.
    pub repeats_unknown: AtomicU64,
}

impl Stats {
    /// Counts an addition that failed with this, if it may have been done.
    pub fn count_unknown(&self, why: &Unavailable) {
        if matches!(why, Unavailable::Undecided(_)) {
            self.repeats_unknown.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How a daemon is among the others.
pub struct Figures<'a> {
    pub members: u64,
    pub has_leader: bool,
    pub is_leader: bool,
    pub leader_changes: u64,
    pub confirmed_at: Timestamp,
    pub vault: &'a SharedStats,
    pub log: &'a Stats,
    pub owed_lines: u64,
    pub policies_differ: bool,
    pub histories_differ: bool,
    pub log_bytes: u64,
    pub snapshot_seq: u64,
    pub etcd_is_full: bool,
    pub etcd_database_bytes: Option<u64>,
}

impl Figures<'_> {
    pub fn write(&self, page: &mut Page) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        page.gauge("cluster_members", "Daemons that etcd knows to be there.").value(self.members);
        page.gauge("cluster_has_leader", "1 if this daemon knows of one that leads, else 0.")
            .value(u8::from(self.has_leader));
        page.gauge("cluster_is_leader", "1 if this daemon leads, else 0.").value(u8::from(self.is_leader));
        page.counter("cluster_leader_changes_total", "Times that another daemon than before was seen to lead.")
            .value(self.leader_changes);
        page.gauge(
            "cluster_confirmed_timestamp_seconds",
            "When etcd last confirmed what this daemon serves, in seconds since the Unix epoch.",
        )
        .value(unix_seconds(self.confirmed_at));
        page.counter(
            "cluster_stale_reads_total",
            "Reads that were served from memory, because etcd could not be asked.",
        )
        .value(read(&self.vault.stale_reads));
        page.counter(
            "cluster_applied_records_total",
            "Records of the log that came into force here: of this daemon (own) or of others.",
        )
        .sample(&[("from", "own")], read(&self.vault.applied_own))
        .sample(&[("from", "others")], read(&self.vault.applied_others));
        page.counter(
            "cluster_conflicts_total",
            "Changes that were planned again, because another daemon had made one first.",
        )
        .value(read(&self.log.conflicts));
        page.counter(
            "cluster_repeats_total",
            "Changes that were sent again for want of an answer, by what had become of them: in force (ours), overtaken (other) \
             or unknown.",
        )
        .sample(&[("outcome", "ours")], read(&self.log.repeats_ours))
        .sample(&[("outcome", "other")], read(&self.log.repeats_other))
        .sample(&[("outcome", "unknown")], read(&self.log.repeats_unknown));
        page.gauge("cluster_owed_lines", "Changes that are in force and whose audit lines could not be written yet.")
            .value(self.owed_lines);
        page.gauge("cluster_policy_mismatch", "1 if another daemon has another policy, else 0.")
            .value(u8::from(self.policies_differ));
        page.gauge(
            "cluster_history_mismatch",
            "1 if etcd does not continue what this daemon has seen, so that it serves nothing, else 0.",
        )
        .value(u8::from(self.histories_differ));
        page.gauge("cluster_log_bytes", "Size of the log behind the snapshot in etcd.").value(self.log_bytes);
        page.gauge("cluster_snapshot_seq", "Number of the last change that is in the snapshot in etcd.")
            .value(self.snapshot_seq);
        page.gauge("etcd_no_space", "1 if etcd refuses changes because its quota is used up, else 0.")
            .value(u8::from(self.etcd_is_full));
        let size = page.gauge(
            "etcd_database_bytes",
            "Size of the database of the etcd member that was asked, if that may be known.",
        );
        if let Some(bytes) = self.etcd_database_bytes {
            size.value(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_has_its_metric() {
        let vault = SharedStats { applied_own: 11.into(), applied_others: 25.into(), stale_reads: 3.into() };
        let log = Stats {
            conflicts: 4.into(),
            repeats_ours: 5.into(),
            repeats_other: 2.into(),
            repeats_unknown: AtomicU64::new(0),
        };
        log.count_unknown(&Unavailable::Undecided("no answer".to_owned()));
        log.count_unknown(&Unavailable::Unanswered("no answer".to_owned()));
        let figures = Figures {
            members: 3,
            has_leader: true,
            is_leader: false,
            leader_changes: 6,
            confirmed_at: Timestamp::from_nanos(1_761_565_005_250_000_000),
            vault: &vault,
            log: &log,
            owed_lines: 7,
            policies_differ: true,
            histories_differ: false,
            log_bytes: 16_384,
            snapshot_seq: 36,
            etcd_is_full: true,
            etcd_database_bytes: Some(20_480),
        };
        crate::metrics::assert_in_example(|page| figures.write(page));
    }

    #[test]
    fn a_size_that_may_not_be_known_is_left_out() {
        let (vault, log) = (SharedStats::default(), Stats::default());
        let figures = Figures {
            members: 0,
            has_leader: false,
            is_leader: false,
            leader_changes: 0,
            confirmed_at: Timestamp::from_nanos(0),
            vault: &vault,
            log: &log,
            owed_lines: 0,
            policies_differ: false,
            histories_differ: false,
            log_bytes: 0,
            snapshot_seq: 0,
            etcd_is_full: false,
            etcd_database_bytes: None,
        };
        let mut page = Page::default();
        figures.write(&mut page);
        assert!(page.finish().lines().last().unwrap().starts_with("# TYPE"));
    }
}
