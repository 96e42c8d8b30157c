//! The Prometheus text format, version 0.0.4.

use std::fmt::Display;
use std::time::Duration;

use crate::base::clock::Timestamp;

/// What stands before the name of every metric.
const PREFIX: &str = "jarvis_secretsd_";

/// A page of metrics that is being written.
#[derive(Default)]
pub struct Page(String);

/// The samples of one metric, which stand together behind its description.
pub struct Family<'a> {
    page: &'a mut String,
    name: &'static str,
}

impl Page {
    /// Begins a number that only grows. Its name ends in `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family("counter", name, help)
    }

    /// Begins a number that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family("gauge", name, help)
    }

    /// Begins a distribution: samples with the suffixes `_bucket`, `_sum` and `_count`.
    pub fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family("histogram", name, help)
    }

    fn family(&mut self, kind: &str, name: &'static str, help: &str) -> Family<'_> {
        self.0 += &format!("# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n");
        Family { page: &mut self.0, name }
    }

    pub fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// Adds the only sample of a metric without labels.
    pub fn value(self, value: impl Display) {
        self.part("", &[], value);
    }

    /// Adds the sample with these labels.
    pub fn sample(self, labels: &[(&str, &str)], value: impl Display) -> Self {
        self.part("", labels, value)
    }

    /// Adds a sample whose name has a suffix, as those of a histogram do.
    pub fn part(self, suffix: &str, labels: &[(&str, &str)], value: impl Display) -> Self {
        // Rust quotes the printable characters of a label exactly as the format wants it: \" and \\.
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        *self.page += &format!("{PREFIX}{}{suffix}{labels} {value}\n", self.name);
        self
    }
}

/// The page needs no credential. A number of bytes that is exact would tell how long the last value was, so those that grow with
/// the values are multiples of this, which no value exceeds.
const GRAIN: u64 = 64 * 1024;

pub fn rounded_up(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(GRAIN).unwrap_or(u64::MAX)
}

pub fn rounded_down(bytes: u64) -> u64 {
    bytes - bytes % GRAIN
}

/// A moment as Prometheus counts it: seconds since the Unix epoch, with a fraction.
pub fn unix_seconds(moment: Timestamp) -> f64 {
    Duration::from_nanos(moment.nanos()).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_described_before_its_samples() {
        let mut page = Page::default();
        page.gauge("temperature_celsius", "How warm it is.").value(21.5);
        page.counter("visits_total", "Who came.")
            .sample(&[("who", "cat"), ("door", "back")], 2)
            .sample(&[("who", "a \"guest\" \\ other"), ("door", "front")], 1);
        let expected = r#"# HELP jarvis_secretsd_temperature_celsius How warm it is.
# TYPE jarvis_secretsd_temperature_celsius gauge
jarvis_secretsd_temperature_celsius 21.5
# HELP jarvis_secretsd_visits_total Who came.
# TYPE jarvis_secretsd_visits_total counter
jarvis_secretsd_visits_total{who="cat",door="back"} 2
jarvis_secretsd_visits_total{who="a \"guest\" \\ other",door="front"} 1
"#;
        assert_eq!(page.finish(), expected);
    }
}
