//! Maintenance windows: when in the week the schedule may replace values.

use std::fmt;
use std::time::Duration;

use crate::base::clock::Timestamp;

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;
const WEEK: u64 = 7 * DAY;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// The days of the week from Monday that went by before the Unix epoch, a Thursday.
const EPOCH: u64 = 3 * DAY;

/// Parts of the week, in UTC, as `Sat 02:00-04:00`, `Mon-Fri 22:00-01:00` or `02:00-04:00`, several with commas between them.
///
/// One that ends before it begins ends on the next day; one without a day is every day's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    text: String,
    /// When each begins, in seconds since Monday, and how many seconds it is open.
    spans: Vec<(u64, u64)>,
}

/// A window from the moment on at which it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// When it opens; the moment that was asked for if it is open then.
    pub start: Timestamp,
    /// How long it is open from then on.
    pub length: Duration,
}

impl Windows {
    /// Reads them; none if it has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut spans = Vec::new();
        for window in text.split(',').map(str::trim) {
            let (days, hours) = window.rsplit_once(' ').unwrap_or(("", window));
            let (from, to) = hours.split_once('-')?;
            let (from, to) = (time(from)?, time(to)?);
            // A day's length from one to the same would be all of it, or nothing.
            if from == to || from == DAY {
                return None;
            }
            let length = (to + DAY - from) % DAY;
            let length = if length == 0 { DAY } else { length };
            let (first, last) = match days.trim().split_once('-') {
                Some((first, last)) => (day(first)?, day(last)?),
                None if days.is_empty() => (0, 6),
                None => (day(days.trim())?, day(days.trim())?),
            };
            let count = (last + 7 - first) % 7 + 1;
            spans.extend((0..count).map(|n| ((first + n) % 7 * DAY + from, length)));
        }
        Some(Self { text: text.to_owned(), spans })
    }

    /// The first opening that ends after `moment`.
    pub fn next(&self, moment: Timestamp) -> Opening {
        let now = (moment.seconds() + EPOCH) % WEEK;
        let until = |start: u64| (start + WEEK - now) % WEEK;
        // Of those that are open, the one that stays so for longest.
        let open = self.spans.iter().filter_map(|(start, length)| {
            let since = (now + WEEK - start) % WEEK;
            length.checked_sub(since).filter(|left| *left > 0)
        });
        if let Some(left) = open.max() {
            return Opening { start: moment, length: Duration::from_secs(left) };
        }
        let next = self.spans.iter().map(|(start, length)| (until(*start), *length)).min();
        let (wait, length) = next.expect("there is at least one window");
        let start = Timestamp::from_nanos(moment.seconds() * 1_000_000_000).plus(Duration::from_secs(wait));
        Opening { start, length: Duration::from_secs(length) }
    }
}

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn day(name: &str) -> Option<u64> {
    DAYS.iter().position(|day| *day == name).map(|n| n as u64)
}

/// A time of day, `00:00` to `24:00`, in seconds.
fn time(text: &str) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str| digits.parse::<u64>().ok().filter(|_| digits.len() == 2 && !digits.starts_with('+'));
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let seconds = (hours * 60 + minutes) * MINUTE;
    (minutes < 60 && seconds <= DAY).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        humantime::parse_rfc3339(text).unwrap().into()
    }

    /// When the windows open first from `moment` on, and for how many minutes.
    fn next(windows: &str, moment: &str) -> (String, u64) {
        let opening = Windows::parse(windows).unwrap().next(at(moment));
        (opening.start.to_the_second(), opening.length.as_secs() / 60)
    }

    #[test]
    fn a_window_opens_on_its_day_at_its_time() {
        let sat = "Sat 02:00-04:00";
        // 2026-11-26 is a Thursday.
        assert_eq!(next(sat, "2026-11-26T12:00:00Z"), ("2026-11-28T02:00:00Z".to_owned(), 120));
        assert_eq!(next(sat, "2026-11-28T01:59:59.5Z"), ("2026-11-28T02:00:00Z".to_owned(), 120));
        assert_eq!(next(sat, "2026-11-28T03:30:00Z"), ("2026-11-28T03:30:00Z".to_owned(), 30));
        assert_eq!(next(sat, "2026-11-28T04:00:00Z"), ("2026-12-05T02:00:00Z".to_owned(), 120));
    }

    #[test]
    fn one_that_ends_before_it_begins_ends_on_the_next_day_and_one_without_a_day_is_every_days() {
        assert_eq!(next("Sun 23:00-01:00", "2026-11-30T00:30:00Z"), ("2026-11-30T00:30:00Z".to_owned(), 30));
        assert_eq!(next("23:00-24:00", "2026-11-26T12:00:00Z"), ("2026-11-26T23:00:00Z".to_owned(), 60));
        assert_eq!(next("00:00-24:00", "2026-11-26T12:00:00Z").1, 720);
        assert_eq!(next("Fri-Mon 01:00-02:00", "2026-11-26T12:00:00Z").0, "2026-11-27T01:00:00Z");
        assert_eq!(next("Fri-Mon 01:00-02:00", "2026-11-30T02:00:00Z").0, "2026-12-04T01:00:00Z");
        assert_eq!(next("Sat 02:00-04:00, Fri 10:00-11:00", "2026-11-26T12:00:00Z").0, "2026-11-27T10:00:00Z");
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for text in [
            "",
            "Sat",
            "Sat 02:00",
            "sat 02:00-04:00",
            "Saturday 02:00-04:00",
            "02:00-02:00",
            "24:00-01:00",
            "2:00-4:00",
            "02:60-04:00",
            "24:01-04:00",
            "+2:00-04:00",
            "Mon-Fri-Sat 02:00-04:00",
            "Sat 02:00-04:00,",
            "Sat 02:00 - 04:00",
        ] {
            assert_eq!(Windows::parse(text), None, "{text:?}");
        }
    }
}
