//! The one clock, which tests can set, and the one kind of timestamp.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const NANOS_A_SECOND: u64 = 1_000_000_000;

/// A moment in UTC, in nanoseconds since the Unix epoch (enough until the year 2554).
///
/// Prints, and is written to JSON, as RFC 3339 with nine decimals: `2025-10-27T11:36:44.549067206Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `nanos` nanoseconds after the Unix epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn seconds(self) -> u64 {
        self.0 / NANOS_A_SECOND
    }

    /// This moment `days` days (of 86,400 seconds) later; the last representable moment if that is beyond it.
    pub fn plus_days(self, days: u32) -> Self {
        self.plus(Duration::from_secs(u64::from(days) * 86_400))
    }

    /// This moment, later by `span`; the last representable moment if that is beyond it.
    pub fn plus(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// The second of this moment in the form `YYYYMMDD-HHMMSS`, as it stands in a kid.
    pub fn compact(self) -> String {
        let text = self.to_the_second();
        [&text[..4], &text[5..7], &text[8..10], "-", &text[11..13], &text[14..16], &text[17..19]].concat()
    }

    /// This moment in RFC 3339 without its fraction of a second, for people.
    pub fn to_the_second(self) -> String {
        humantime::format_rfc3339_seconds(self.system_time()).to_string()
    }

    fn system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.0)
    }
}

impl From<SystemTime> for Timestamp {
    /// A clock before 1970 or after 2554 gives the nearest moment that can be written.
    fn from(time: SystemTime) -> Self {
        let nanos = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Self(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_nanos(self.system_time()).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Timestamp, E> {
                humantime::parse_rfc3339(text)
                    .map(Timestamp::from)
                    .map_err(|why| E::custom(format_args!("`{text}` is not an RFC 3339 time: {why}")))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Where the time comes from. Nothing else in the daemon asks the system what day it is.
#[derive(Clone, Debug)]
pub struct Clock(Option<Arc<AtomicU64>>);

/// The hand that moves a clock made by [`Clock::manual`].
#[derive(Clone, Debug)]
pub struct Dial(Arc<AtomicU64>);

impl Clock {
    /// The system's real-time clock.
    pub const fn system() -> Self {
        Self(None)
    }

    /// A clock that stands at `start` until its dial is turned.
    pub fn manual(start: Timestamp) -> (Self, Dial) {
        let nanos = Arc::new(AtomicU64::new(start.0));
        (Self(Some(nanos.clone())), Dial(nanos))
    }

    pub fn now(&self) -> Timestamp {
        match &self.0 {
            None => SystemTime::now().into(),
            Some(nanos) => Timestamp(nanos.load(Ordering::SeqCst)),
        }
    }
}

impl Dial {
    pub fn advance(&self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanos, Ordering::SeqCst);
    }

    /// Sets the clock, backwards too.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Timestamp = Timestamp::from_nanos(1_761_565_004_549_067_206);

    #[test]
    fn a_timestamp_is_written_with_nanoseconds_and_read_back() {
        let json = serde_json::to_string(&MOMENT).unwrap();
        assert_eq!(json, r#""2025-10-27T11:36:44.549067206Z""#);
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), MOMENT);
    }

    #[test]
    fn the_compact_form_is_what_a_kid_needs() {
        assert_eq!(MOMENT.compact(), "20251027-113644");
    }

    #[test]
    fn days_are_added_and_stop_at_the_end_of_time() {
        assert_eq!(MOMENT.plus_days(90).to_string(), "2026-01-25T11:36:44.549067206Z");
        assert_eq!(MOMENT.plus_days(u32::MAX).nanos(), u64::MAX);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let (clock, dial) = Clock::manual(MOMENT);
        assert_eq!(clock.now(), MOMENT);
        dial.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), MOMENT.plus(Duration::from_secs(1)));
        dial.set(MOMENT);
        assert_eq!(clock.now(), MOMENT);
    }
}
