//! Counters and histograms, and their text for Prometheus.
//!
//! No label ever holds a secret's name, a client's name or anything else that a client sent.

mod histogram;
mod requests;
mod shared;
mod system;
mod text;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::base::clock::{Clock, Timestamp};
use crate::base::sync::lock;

pub use histogram::Histogram;
use requests::Requests;
use shared::Shared;
use system::System;
pub use text::{Page, rounded_up, unix_seconds};

/// The media type of a [page](Page).
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is counted here, from any thread.
pub struct Metrics {
    started: Timestamp,
    system: System,
    requests: Mutex<Requests>,
    policy_allowed: AtomicU64,
    policy_denied: AtomicU64,
    authentication_failures: AtomicU64,
    authentications_throttled: AtomicU64,
    cross_site: AtomicU64,
    authentication_failures_left_out: AtomicU64,
    shared: Shared,
}

impl Metrics {
    /// All counters at zero; the process counts as started now. The room on the disks is that beside these two files.
    pub fn new(clock: &Clock, vault: &Path, audit: &Path) -> Self {
        Self {
            started: clock.now(),
            system: System::open(vault, audit),
            requests: Mutex::default(),
            policy_allowed: AtomicU64::new(0),
            policy_denied: AtomicU64::new(0),
            authentication_failures: AtomicU64::new(0),
            authentications_throttled: AtomicU64::new(0),
            cross_site: AtomicU64::new(0),
            authentication_failures_left_out: AtomicU64::new(0),
            shared: Shared::default(),
        }
    }

    /// Counts a request that was answered by the handler of `route`, a pattern such as `/secret/{name}`.
    pub fn request(&self, route: &'static str, method: &str, status: u16, took: Duration) {
        lock(&self.requests).answered(route, method, status, took);
    }

    /// Counts a request that was answered before it reached a handler: malformed, too large, too slow, too many.
    pub fn refused(&self, status: u16) {
        lock(&self.requests).refused(status);
    }

    pub fn policy(&self, allowed: bool) {
        let counter = if allowed { &self.policy_allowed } else { &self.policy_denied };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request whose client did not prove, or did not say, who it is.
    pub fn auth_failure(&self) {
        self.authentication_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that was turned away because its source had failed too often.
    pub fn auth_throttled(&self) {
        self.authentications_throttled.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that a browser has sent for a page of another site.
    pub fn cross_site(&self) {
        self.cross_site.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a failure, or a source that had too many, which the audit log has no line about.
    pub fn auth_failure_left_out(&self) {
        self.authentication_failures_left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// The page of metrics that `write` writes. It is made at most once a second, whoever asks, and however many.
    pub fn page_for_all(&self, write: impl FnOnce(&mut Page)) -> Arc<[u8]> {
        self.shared.get(|| {
            let mut page = Page::default();
            write(&mut page);
            page.finish()
        })
    }

    /// Writes what is known of the process and of the disks.
    pub fn write_process(&self, page: &mut Page) {
        page.gauge("build_info", "Version of the daemon; the value is always 1.")
            .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.gauge("process_start_time_seconds", "When the daemon started, in seconds since the Unix epoch.")
            .value(unix_seconds(self.started));
        self.system.vitals().write(page);
    }

    /// Writes what was counted of requests, and of who may make them.
    pub fn write_requests(&self, page: &mut Page) {
        // The lock is held for a copy, not while the text is made.
        let requests = lock(&self.requests).clone();
        requests.write(page);
        self.write_access(page);
    }

    fn write_access(&self, page: &mut Page) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        page.counter("policy_decisions_total", "Decisions of the policy.")
            .sample(&[("decision", "allowed")], read(&self.policy_allowed))
            .sample(&[("decision", "denied")], read(&self.policy_denied));
        page.counter("authentication_failures_total", "Requests that failed authentication.")
            .value(read(&self.authentication_failures));
        page.counter(
            "authentications_throttled_total",
            "Requests refused after too many failed authentication attempts.",
        )
        .value(read(&self.authentications_throttled));
        page.counter("cross_site_requests_total", "Cross-site requests of web pages, all of which were refused.")
            .value(read(&self.cross_site));
        page.counter(
            "authentication_failures_unwritten_total",
            "Failed authentication attempts that the audit log only counts, beyond those that it records in a minute.",
        )
        .value(read(&self.authentication_failures_left_out));
    }
}

/// A part that has the figures of an example is to write what stands there: in that of every daemon, or in that of what one
/// says besides whose vault is in etcd.
#[cfg(test)]
pub fn assert_in_example(write: impl FnOnce(&mut Page)) {
    let mut page = Page::default();
    write(&mut page);
    let written = page.finish();
    let examples = [include_str!("example.txt"), include_str!("example-cluster.txt")];
    assert!(!written.is_empty() && examples.iter().any(|example| example.contains(&written)), "{written}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        const STARTED: Timestamp = Timestamp::from_nanos(1_761_565_004_500_000_000);
        Metrics::new(&Clock::manual(STARTED).0, Path::new("vault.json"), Path::new("audit.jsonl"))
    }

    #[test]
    fn the_page_begins_with_the_version_and_the_time_of_the_start() {
        let mut page = Page::default();
        metrics().write_process(&mut page);
        let example = include_str!("example.txt").replace("{version}", env!("CARGO_PKG_VERSION"));
        let (beginning, _) = example.split_once("# HELP jarvis_secretsd_process_resident_memory_bytes").unwrap();
        assert!(page.finish().starts_with(beginning));
    }

    #[test]
    fn each_count_has_its_metric() {
        let metrics = metrics();
        metrics.request("/secret/{name}", "GET", 200, Duration::from_micros(300));
        metrics.refused(400);
        metrics.policy(true);
        metrics.policy(true);
        metrics.policy(false);
        metrics.auth_failure();
        metrics.auth_throttled();
        metrics.cross_site();
        metrics.auth_failure_left_out();
        assert_in_example(|page| metrics.write_requests(page));
    }

    #[test]
    fn counting_from_many_threads_loses_nothing() {
        let metrics = metrics();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        metrics.request("/healthz", "GET", 200, Duration::ZERO);
                        metrics.policy(false);
                    }
                });
            }
        });
        let mut page = Page::default();
        metrics.write_requests(&mut page);
        let page = page.finish();
        for sample in [
            r#"http_requests_total{route="/healthz",method="GET",status="200"} 4000"#,
            r#"policy_decisions_total{decision="denied"} 4000"#,
        ] {
            assert!(page.contains(sample), "{page}");
        }
    }
}
