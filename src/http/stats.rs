//! What is counted of the connections, and their metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::Page;

/// Counters of one listener, readable at any time and from any thread.
#[derive(Debug, Default)]
pub struct ConnectionStats {
    open: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    evicted: AtomicU64,
    timed_out: AtomicU64,
}

impl ConnectionStats {
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections that were accepted, also those that were then refused.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections that were answered 503 because every other one was at work.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Connections that were closed while we waited for their client, to make room for another.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Requests that did not arrive, and answers that were not read, within the time allowed. An idle connection that
    /// is closed counts as neither.
    pub fn timed_out(&self) -> u64 {
        self.timed_out.load(Ordering::Relaxed)
    }

    pub(super) fn set_open(&self, connections: usize) {
        self.open.store(connections as u64, Ordering::Relaxed);
    }

    pub(super) fn count_accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_evicted(&self) {
        self.evicted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_timed_out(&self) {
        self.timed_out.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn write(&self, page: &mut Page) {
        page.gauge("connections_open", "Connections that are open now.").value(self.open());
        page.counter("connections_accepted_total", "Connections that were accepted.").value(self.accepted());
        page.counter("connections_refused_total", "Connections turned away because there were too many.")
            .value(self.refused());
        page.counter("connections_evicted_total", "Connections closed while waiting for their client, to make room.")
            .value(self.evicted());
        page.counter("connections_timed_out_total", "Requests that did not arrive, and answers not read, in time.")
            .value(self.timed_out());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_has_its_metric() {
        let stats = ConnectionStats {
            open: 17.into(),
            accepted: 18.into(),
            refused: 19.into(),
            evicted: 20.into(),
            timed_out: 21.into(),
        };
        crate::metrics::assert_in_example(|page| stats.write(page));
    }
}
