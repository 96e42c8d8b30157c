//! When the schedule replaces a value whose rotation is due.
//!
//! That is spread, so that values that were made on one day are not replaced in one minute, and is in maintenance windows if there
//! are any.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::window::{Opening, Windows};
use crate::base::clock::Timestamp;
use crate::vault::Version;

/// How the schedule spreads what it replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// When it may replace values; none: at any time.
    pub windows: Option<Windows>,
    /// How long after its day a version is replaced, at most; never more than a tenth of its life.
    pub jitter: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { windows: None, jitter: Duration::from_secs(24 * 60 * 60) }
    }
}

impl Schedule {
    /// When the schedule replaces `version` of the secret `name`, seen at the moment `now`: never before it is due; `now` if
    /// that moment was missed and nothing speaks against making up for it.
    pub fn scheduled_at(&self, name: &str, version: &Version, now: Timestamp) -> Timestamp {
        let (made, due) = (version.created_at, version.expires_at);
        let life = Duration::from_nanos(due.nanos().saturating_sub(made.nanos()));
        let jitter = self.jitter.min(life / 10);
        let Some(windows) = &self.windows else {
            return due.plus(jitter.mul_f64(fraction(name))).max(now);
        };
        let place = |opening: Opening| {
            // The last tenth is left for those that have to be tried again.
            let room = jitter.min(opening.length.mul_f64(0.9));
            opening.start.plus(room.mul_f64(fraction(name)))
        };
        let planned = place(windows.next(due));
        if planned >= now {
            return planned;
        }
        let opening = windows.next(now);
        if opening.start == now { now } else { place(opening) }
    }
}

/// The secret's own place between 0 and 1: the same in every round, and evenly spread over all names.
fn fraction(name: &str) -> f64 {
    let digest = Sha256::digest(name);
    let (first, _) = digest.split_first_chunk::<4>().expect("it has 32 bytes");
    f64::from(u32::from_be_bytes(*first)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn at(text: &str) -> Timestamp {
        humantime::parse_rfc3339(text).unwrap().into()
    }

    fn version(made: Timestamp, days: u32) -> Version {
        let expires_at = made.plus_days(days);
        let version = serde_json::json!({
            "kid": [made.seconds(), 1], "created_at": made, "expires_at": expires_at, "rotation": "auto",
        });
        serde_json::from_value(version).unwrap()
    }

    #[test]
    fn a_hundred_secrets_of_one_day_are_spread_over_the_day_after_they_are_due() {
        let made = at("2026-08-28T12:00:00Z");
        let version = version(made, 90);
        let due = version.expires_at;
        let schedule = Schedule::default();
        let hours: std::collections::BTreeSet<u64> = (0..100)
            .map(|n| {
                let at = schedule.scheduled_at(&format!("s{n}"), &version, made);
                assert!(at >= due && at <= due.plus(DAY), "{at}");
                (at.seconds() - due.seconds()) / 3600
            })
            .collect();
        assert!(hours.len() > 18, "{hours:?}");
        let twice = [(); 2].map(|()| schedule.scheduled_at("s1", &version, made));
        assert_eq!(twice[0], twice[1]);
    }

    #[test]
    fn a_short_life_is_not_lengthened_by_more_than_a_tenth_and_no_jitter_is_none() {
        let made = at("2026-11-26T12:00:00Z");
        let version = version(made, 1);
        let latest = version.expires_at.plus(DAY / 10);
        assert!((0..100).all(|n| Schedule::default().scheduled_at(&format!("s{n}"), &version, made) <= latest));
        let exact = Schedule { jitter: Duration::ZERO, ..Schedule::default() };
        assert_eq!(exact.scheduled_at("s", &version, made), version.expires_at);
    }

    #[test]
    fn what_was_missed_is_made_up_for_at_once_or_in_the_next_window() {
        let made = at("2026-08-28T12:00:00Z");
        let version = version(made, 90);
        let late = at("2026-12-24T09:00:00Z");
        assert_eq!(Schedule::default().scheduled_at("s", &version, late), late);
        let schedule = Schedule { windows: Windows::parse("Sat 02:00-04:00"), ..Schedule::default() };
        let in_window = |moment: Timestamp, from: &str, to: &str| moment >= at(from) && moment < at(to);
        // It is due on Thursday, 2026-11-26.
        let planned = schedule.scheduled_at("s", &version, made);
        assert!(in_window(planned, "2026-11-28T02:00:00Z", "2026-11-28T04:00:00Z"), "{planned}");
        let next = schedule.scheduled_at("s", &version, late);
        assert!(in_window(next, "2026-12-26T02:00:00Z", "2026-12-26T04:00:00Z"), "{next}");
        let open = at("2026-12-26T03:59:00Z");
        assert_eq!(schedule.scheduled_at("s", &version, open), open);
    }
}
