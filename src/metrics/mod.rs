//! Counters and histograms, and their text for Prometheus.
//!
//! No label ever holds a secret's name, a client's name or anything else that a client sent.

mod readings;
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

pub use readings::Readings;
use requests::Requests;
use shared::Shared;
use system::{System, Vitals};
use text::{Page, unix_seconds};

/// The media type of what [`Metrics::render`] returns.
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

    /// The page as [`render`](Self::render) makes it of what `read` reads; but it is made at most once a second, whoever
    /// asks, and however many.
    pub fn page_for_all(&self, read: impl FnOnce() -> Readings) -> Arc<[u8]> {
        self.shared.get(|| self.render(&read()))
    }

    /// The page that Prometheus asks for, in its text format 0.0.4 (see [`CONTENT_TYPE`]).
    pub fn render(&self, now: &Readings) -> String {
        self.page(now, &self.system.vitals())
    }

    fn page(&self, now: &Readings, vitals: &Vitals) -> String {
        let mut page = Page::default();
        page.gauge("build_info", "Version of the daemon; the value is always 1.")
            .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.gauge("process_start_time_seconds", "When the daemon started, in seconds since the Unix epoch.")
            .value(unix_seconds(self.started));
        vitals.write(&mut page);
        page.gauge("healthy", "1 if every secret can be served, audited, and rotated by its appliers, else 0.")
            .value(u8::from(now.healthy));

        // The lock is held for a copy, not while the text is made.
        let requests = lock(&self.requests).clone();
        requests.write(&mut page);
        self.write_access(&mut page);
        now.write(&mut page);
        page.finish()
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

#[cfg(test)]
mod tests {
    use super::system::Disk;
    use super::*;
    use crate::consumers::Stale;

    const STARTED: Timestamp = Timestamp::from_nanos(1_761_565_004_500_000_000);

    fn metrics() -> Metrics {
        Metrics::new(&Clock::manual(STARTED).0, Path::new("vault.json"), Path::new("audit.jsonl"))
    }

    #[test]
    fn the_page_is_exactly_this() {
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
        let readings = Readings {
            secrets: 1,
            versions: 2,
            due_auto: 3,
            due_manual: 4,
            auto_without_applier: 34,
            expired_versions: 5,
            pending_versions: 31,
            applier_runs: vec![("apply", "success", 32), ("verify", "refused", 33)],
            next_expiry: Some(STARTED.plus_days(90)),
            stale_consumers: Some(Stale { last_day: 31, longer: 32 }),
            seals: 6,
            unseals: 7,
            unseal_errors: 8,
            audit_lines: 9,
            audit_flushes: 10,
            audit_syncs: 11,
            audit_failures: 12,
            audit_rotations: 28,
            audit_rotation_failures: 29,
            vault_bytes: 13,
            live_records: 14,
            dead_records: 15,
            vault_syncs: 30,
            compactions: 16,
            compaction_failures: 22,
            connections_open: 17,
            connections_accepted: 18,
            connections_refused: 19,
            connections_evicted: 20,
            connections_timed_out: 21,
            watchers: 31,
            healthy: true,
        };
        let vitals = Vitals {
            resident_memory: Some(4096),
            cpu_time: Some(Duration::from_millis(1509)),
            open_files: Some(23),
            max_files: Some(1024),
            disks: vec![
                ("vault", Disk { size: 24, available: 131_071 }),
                ("audit", Disk { size: 26, available: 131_072 }),
            ],
        };
        let expected = include_str!("example.txt").replace("{version}", env!("CARGO_PKG_VERSION"));
        assert_eq!(metrics.page(&readings, &vitals), expected);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let page = metrics().page(&Readings::default(), &Vitals::default());
        assert!(!page.contains("next_expiry") && !page.contains("stale_consumers"), "{page}");
        assert!(!page.contains("_process_resident") && !page.contains("_filesystem_"), "{page}");
        assert!(page.contains("\njarvis_secretsd_healthy 0\n"), "{page}");
    }

    #[test]
    fn every_sample_belongs_to_the_description_above_it() {
        let metrics = metrics();
        metrics.request("/healthz", "GET", 200, Duration::ZERO);
        let page = metrics.render(&Readings::default());
        let mut described = Vec::new();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let name = rest.split(' ').next().unwrap();
                assert!(!described.contains(&name), "{name} is described twice");
                described.push(name);
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                let suffix = name.strip_prefix(described.last().unwrap());
                assert!(matches!(suffix, Some("" | "_bucket" | "_sum" | "_count")), "{line}");
            }
        }
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
        let page = metrics.render(&Readings::default());
        for sample in [
            r#"http_requests_total{route="/healthz",method="GET",status="200"} 4000"#,
            r#"policy_decisions_total{decision="denied"} 4000"#,
        ] {
            assert!(page.contains(sample), "{page}");
        }
    }
}
