//! What the audit log counts, and its metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::Page;

/// Counters since the start.
#[derive(Default)]
pub struct AuditStats {
    pub lines: AtomicU64,
    /// Writes, each with one signature.
    pub flushes: AtomicU64,
    pub syncs: AtomicU64,
    /// Writes and syncs that failed.
    pub failures: AtomicU64,
    /// Files that were closed as segments because they were full.
    pub rotations: AtomicU64,
    pub rotation_failures: AtomicU64,
}

impl AuditStats {
    pub fn write(&self, page: &mut Page) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        page.counter("audit_lines_total", "Lines written to the audit log.").value(read(&self.lines));
        page.counter("audit_flushes_total", "Writes to the audit log, of one or more lines.")
            .value(read(&self.flushes));
        page.counter("audit_syncs_total", "Syncs of the audit log to the disk.").value(read(&self.syncs));
        page.counter("audit_failures_total", "Times that the audit log could not be written.")
            .value(read(&self.failures));
        page.counter("audit_rotations_total", "Files of the audit log that were closed as segments.")
            .value(read(&self.rotations));
        page.counter(
            "audit_rotation_failures_total",
            "Times that the audit log could not be rotated, and logging continued in the same file.",
        )
        .value(read(&self.rotation_failures));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_has_its_metric() {
        let stats = AuditStats {
            lines: 9.into(),
            flushes: 10.into(),
            syncs: 11.into(),
            failures: 12.into(),
            rotations: 28.into(),
            rotation_failures: 29.into(),
        };
        crate::metrics::assert_in_example(|page| stats.write(page));
    }
}
