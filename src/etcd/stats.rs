//! What is counted of the requests to etcd, and their metrics.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::base::sync::lock;
use crate::metrics::{Histogram, Page};

/// Attempts since the start, by what was asked for and what came of it, and how long they took.
#[derive(Default)]
pub struct Stats(Mutex<Counts>);

#[derive(Clone, Default)]
struct Counts {
    results: BTreeMap<(&'static str, &'static str), u64>,
    times: BTreeMap<&'static str, Histogram>,
}

impl Stats {
    pub(super) fn count(&self, op: &'static str, result: &'static str, took: Duration) {
        let mut counts = lock(&self.0);
        *counts.results.entry((op, result)).or_default() += 1;
        counts.times.entry(op).or_default().observe(took);
    }

    /// How many attempts there were at `op` that have come to `result`.
    #[cfg(test)]
    pub(super) fn of(&self, op: &'static str, result: &'static str) -> u64 {
        lock(&self.0).results.get(&(op, result)).copied().unwrap_or_default()
    }

    pub fn write(&self, page: &mut Page) {
        // The lock is held for a copy, not while the text is made.
        let counts = lock(&self.0).clone();
        let mut family = page.counter("etcd_requests_total", "Requests to etcd, each repetition counted.");
        for ((op, result), count) in &counts.results {
            family = family.sample(&[("operation", op), ("result", result)], count);
        }
        let mut family =
            page.histogram("etcd_request_seconds", "Time of a request to etcd, to its answer or its failure.");
        for (op, times) in &counts.times {
            family = times.write(family, ("operation", op));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_has_its_metric() {
        let stats = Stats::default();
        stats.count("txn", "ok", Duration::from_micros(2_100));
        stats.count("txn", "unavailable", Duration::from_millis(300));
        crate::metrics::assert_in_example(|page| stats.write(page));
    }
}
