//! When failed work is tried again.
//!
//! That is after a minute, and after each further failure twice as long, up to an hour. A clock that is set does not make it longer.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::clock::Timestamp;

const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// What may fail of a secret, each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// To get to a new version.
    Rotation,
    /// To get rid of an old one.
    Retirement,
    /// To put right what a program of this daemon may have undone.
    Repair,
}

/// What has failed, and when it is tried again.
#[derive(Default)]
pub struct Retries(BTreeMap<(Work, String), Retry>);

struct Retry {
    failures: u32,
    failed_at: Timestamp,
    pause: Duration,
}

impl Retry {
    /// How long it is until it is tried again.
    fn left(&self, now: Timestamp) -> Duration {
        // A clock that was set back must not make the pause longer: for all that is known it is over.
        let since = now.nanos().checked_sub(self.failed_at.nanos()).map_or(self.pause, Duration::from_nanos);
        self.pause.saturating_sub(since)
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.left(now).is_zero()
    }
}

impl Retries {
    /// Remembers what came of it.
    pub fn note(&mut self, work: Work, name: &str, succeeded: bool, now: Timestamp) {
        let key = (work, name.to_owned());
        if succeeded {
            self.0.remove(&key);
            return;
        }
        let failures = self.0.get(&key).map_or(0, |retry| retry.failures);
        let pause = FIRST.saturating_mul(1 << failures.min(16)).min(LONGEST);
        self.0.insert(key, Retry { failures: failures.saturating_add(1), failed_at: now, pause });
    }

    /// Forgets all other work.
    pub fn keep(&mut self, kept: Work) {
        self.0.retain(|(work, _), _| *work == kept);
    }

    /// Whether it has failed and has not succeeded since.
    pub fn has_failed(&self, work: Work, name: &str) -> bool {
        self.0.contains_key(&(work, name.to_owned()))
    }

    /// Whether it may be tried: it has not failed, or long enough ago.
    pub fn may_try(&self, work: Work, name: &str, now: Timestamp) -> bool {
        self.0.get(&(work, name.to_owned())).is_none_or(|retry| retry.is_due(now))
    }

    /// What has failed long enough ago.
    pub fn due(&self, work: Work, now: Timestamp) -> Vec<String> {
        let due = self.0.iter().filter(|((of, _), retry)| *of == work && retry.is_due(now));
        due.map(|((_, name), _)| name.clone()).collect()
    }

    /// How long it is until the next one is due; none if nothing has failed.
    pub fn left(&self, now: Timestamp) -> Option<Duration> {
        self.0.values().map(|retry| retry.left(now)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_nanos(1_761_565_004_549_067_206);

    #[test]
    fn the_pause_doubles_from_a_minute_to_an_hour_and_a_success_ends_it() {
        let mut retries = Retries::default();
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            retries.note(Work::Rotation, "db", false, NOW);
            assert_eq!(retries.left(NOW), Some(Duration::from_secs(minutes * 60)));
        }
        for _ in 0..100 {
            retries.note(Work::Rotation, "db", false, NOW);
        }
        assert!(retries.has_failed(Work::Rotation, "db"));
        retries.note(Work::Rotation, "db", true, NOW);
        assert!(retries.left(NOW).is_none() && !retries.has_failed(Work::Rotation, "db"));
    }

    #[test]
    fn each_secret_and_each_kind_of_work_waits_by_itself() {
        let mut retries = Retries::default();
        retries.note(Work::Rotation, "db", false, NOW);
        assert!(!retries.may_try(Work::Rotation, "db", NOW));
        assert!(retries.may_try(Work::Rotation, "web", NOW) && retries.may_try(Work::Retirement, "db", NOW));
        let later = NOW.plus(FIRST);
        assert!(retries.may_try(Work::Rotation, "db", later));
        assert_eq!(
            (retries.due(Work::Rotation, NOW), retries.due(Work::Rotation, later)),
            (vec![], vec!["db".to_owned()])
        );
        assert!(retries.due(Work::Retirement, later).is_empty());
    }

    #[test]
    fn a_clock_that_is_set_makes_no_pause_longer() {
        let mut retries = Retries::default();
        let ahead = NOW.plus_days(36_500);
        retries.note(Work::Rotation, "db", false, ahead);
        assert_eq!(retries.left(ahead), Some(FIRST));
        // The clock was ahead by a hundred years, and was put right.
        assert_eq!(retries.left(NOW), Some(Duration::ZERO));
        assert!(retries.may_try(Work::Rotation, "db", NOW));
        assert_eq!(retries.due(Work::Rotation, NOW), ["db"]);
        retries.note(Work::Rotation, "db", false, NOW);
        assert_eq!(retries.left(NOW), Some(FIRST * 2), "what fails then is not tried at once again");
        assert!(!retries.may_try(Work::Rotation, "db", NOW));
        for end in [Timestamp::from_nanos(0), Timestamp::from_nanos(u64::MAX)] {
            retries.note(Work::Rotation, "db", false, end);
            assert!(!retries.may_try(Work::Rotation, "db", end) && retries.may_try(Work::Rotation, "db", NOW));
        }
    }
}
