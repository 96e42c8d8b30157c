//! Counters and histograms, and their text for Prometheus.
//!
//! No label ever holds a secret's name, a client's name or anything else that a client sent.

mod readings;
mod requests;
mod text;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::sync::lock;

pub use readings::Readings;
use requests::Requests;
use text::{Page, unix_seconds};

/// The media type of what [`Metrics::render`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is counted here, from any thread.
pub struct Metrics {
    started: Timestamp,
    memory: ResidentMemory,
    requests: Mutex<Requests>,
    policy_allowed: AtomicU64,
    policy_denied: AtomicU64,
    authentication_failures: AtomicU64,
    authentications_throttled: AtomicU64,
}

impl Metrics {
    /// All counters at zero; the process counts as started now.
    pub fn new(clock: &Clock) -> Self {
        Self {
            started: clock.now(),
            memory: ResidentMemory::open(),
            requests: Mutex::default(),
            policy_allowed: AtomicU64::new(0),
            policy_denied: AtomicU64::new(0),
            authentication_failures: AtomicU64::new(0),
            authentications_throttled: AtomicU64::new(0),
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

    /// Counts a decision of the policy.
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

    /// The page that Prometheus asks for, in its text format 0.0.4 (see [`CONTENT_TYPE`]).
    pub fn render(&self, now: &Readings) -> String {
        self.page(now, self.memory.bytes())
    }

    fn page(&self, now: &Readings, resident_memory: Option<u64>) -> String {
        let mut page = Page::default();
        page.gauge("build_info", "The version that runs; the value is always 1.")
            .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.gauge("process_start_time_seconds", "When the daemon started, in seconds since the Unix epoch.")
            .value(unix_seconds(self.started));
        if let Some(bytes) = resident_memory {
            page.gauge("process_resident_memory_bytes", "Memory that the process holds in RAM.").value(bytes);
        }
        page.gauge("healthy", "1 if every secret can be served and audited, else 0.").value(u8::from(now.healthy));

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
        page.counter("authentication_failures_total", "Requests whose client did not prove or say who it is.")
            .value(read(&self.authentication_failures));
        page.counter("authentications_throttled_total", "Requests that were turned away after too many failures.")
            .value(read(&self.authentications_throttled));
    }
}

/// What the system says of this process, held open: at work, the daemon may open nothing outside of its directories.
struct ResidentMemory(Option<File>);

impl ResidentMemory {
    fn open() -> Self {
        Self(File::open("/proc/self/status").ok())
    }

    /// Bytes of this process in RAM; `None` where the system does not tell.
    fn bytes(&self) -> Option<u64> {
        let mut text = [0; 4096];
        let length = self.0.as_ref()?.read_at(&mut text, 0).ok()?;
        let text = String::from_utf8_lossy(&text[..length]);
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kibibytes * 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: Timestamp = Timestamp::from_nanos(1_761_565_004_500_000_000);

    fn metrics() -> Metrics {
        Metrics::new(&Clock::manual(STARTED).0)
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
        let readings = Readings {
            secrets: 1,
            versions: 2,
            due_auto: 3,
            due_manual: 4,
            expired_versions: 5,
            next_expiry: Some(STARTED.plus_days(90)),
            seals: 6,
            unseals: 7,
            unseal_errors: 8,
            audit_lines: 9,
            audit_flushes: 10,
            audit_syncs: 11,
            audit_failures: 12,
            vault_bytes: 13,
            live_records: 14,
            dead_records: 15,
            compactions: 16,
            connections_open: 17,
            connections_accepted: 18,
            connections_refused: 19,
            connections_evicted: 20,
            connections_timed_out: 21,
            healthy: true,
        };
        let expected = include_str!("example.txt").replace("{version}", env!("CARGO_PKG_VERSION"));
        assert_eq!(metrics.page(&readings, Some(4096)), expected);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let page = metrics().page(&Readings::default(), None);
        assert!(!page.contains("next_expiry"), "{page}");
        assert!(!page.contains("resident_memory"), "{page}");
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
    fn the_resident_memory_is_that_of_a_program() {
        let bytes = ResidentMemory::open().bytes().expect("a process may read what it holds");
        assert!((64 * 1024..64 << 30).contains(&bytes), "{bytes}");
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
