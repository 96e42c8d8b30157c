//! What was requested, how it was answered, and how long that took.

use std::collections::BTreeMap;
use std::time::Duration;

use super::histogram::Histogram;
use super::text::Page;

/// The label values of a request that reached no handler.
const NONE: &str = "none";

/// Counters by route, method and status, and a histogram by route. Both kinds of key are few and fixed in the program,
/// so counting allocates only the first time a combination is seen.
#[derive(Clone, Default)]
pub struct Requests {
    counts: BTreeMap<(&'static str, &'static str, u16), u64>,
    durations: BTreeMap<&'static str, Histogram>,
}

impl Requests {
    pub fn answered(&mut self, route: &'static str, method: &str, status: u16, took: Duration) {
        self.count(route, known(method), status);
        self.durations.entry(route).or_default().observe(took);
    }

    /// Counts a request that was answered without a handler.
    pub fn refused(&mut self, status: u16) {
        self.count(NONE, NONE, status);
    }

    fn count(&mut self, route: &'static str, method: &'static str, status: u16) {
        *self.counts.entry((route, method, status)).or_default() += 1;
    }

    pub fn write(&self, page: &mut Page) {
        let mut family = page.counter("http_requests_total", "Requests that were answered.");
        for ((route, method, status), count) in &self.counts {
            let status = status.to_string();
            family = family.sample(&[("route", route), ("method", method), ("status", &status)], count);
        }

        let mut family = page.histogram("http_request_duration_seconds", "Time to answer a request.");
        for (route, histogram) in &self.durations {
            family = histogram.write(family, ("route", route));
        }
    }
}

/// A client may send any method; only those that some route knows get a label of their own.
fn known(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "LIST"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(requests: &Requests) -> String {
        let mut page = Page::default();
        requests.write(&mut page);
        page.finish()
    }

    fn value(text: &str, sample: &str) -> Option<String> {
        let line = text.lines().find_map(|line| line.strip_prefix("jarvis_secretsd_")?.strip_prefix(sample));
        line.and_then(|rest| rest.strip_prefix(' ')).map(str::to_owned)
    }

    fn bucket(text: &str, bound: &str) -> Option<String> {
        value(text, &format!(r#"http_request_duration_seconds_bucket{{route="/x",le="{bound}"}}"#))
    }

    #[test]
    fn requests_are_counted_by_route_method_and_status() {
        let mut requests = Requests::default();
        for status in [200, 200, 403] {
            requests.answered("/secret/{name}", "GET", status, Duration::ZERO);
        }
        let text = text(&requests);
        let sample =
            |status| format!(r#"http_requests_total{{route="/secret/{{name}}",method="GET",status="{status}"}}"#);
        assert_eq!(value(&text, &sample("200")).as_deref(), Some("2"));
        assert_eq!(value(&text, &sample("403")).as_deref(), Some("1"));
        assert_eq!(value(&text, &sample("404")), None);
    }

    #[test]
    fn a_method_that_a_client_makes_up_gets_no_label_of_its_own() {
        let mut requests = Requests::default();
        for method in ["BREW", "get", "", "PROPFIND\n"] {
            requests.answered("none", method, 405, Duration::ZERO);
        }
        let count = value(&text(&requests), r#"http_requests_total{route="none",method="other",status="405"}"#);
        assert_eq!(count.as_deref(), Some("4"));
    }

    #[test]
    fn a_request_that_reached_no_handler_has_no_duration() {
        let mut requests = Requests::default();
        requests.refused(431);
        let text = text(&requests);
        let sample = r#"http_requests_total{route="none",method="none",status="431"}"#;
        assert_eq!(value(&text, sample).as_deref(), Some("1"));
        assert!(!text.contains("_bucket"), "{text}");
    }

    #[test]
    fn buckets_are_cumulative_and_a_bound_belongs_to_its_bucket() {
        let mut requests = Requests::default();
        for micros in [50, 51, 10_000_000, 10_000_001] {
            requests.answered("/x", "GET", 200, Duration::from_micros(micros));
        }
        let text = text(&requests);
        let buckets = ["0.00005", "0.0001", "2.5", "10", "+Inf"].map(|bound| bucket(&text, bound).unwrap());
        assert_eq!(buckets, ["1", "2", "2", "3", "4"]);
        let sum = value(&text, r#"http_request_duration_seconds_sum{route="/x"}"#);
        assert_eq!(sum.as_deref(), Some("20.000102"));
        let count = value(&text, r#"http_request_duration_seconds_count{route="/x"}"#);
        assert_eq!(count.as_deref(), Some("4"));
    }
}
