//! When what failed is tried again: after a minute, and after each further failure twice as long, up to an hour.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Timestamp;

const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// What may fail of a secret, each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// To get to a new version.
    Rotation,
    /// To get rid of an old one.
    Retirement,
}

/// What has failed, and when it is tried again.
#[derive(Default)]
pub struct Retries(BTreeMap<(Work, String), Retry>);

struct Retry {
    failures: u32,
    next: Timestamp,
}

impl Retries {
    /// Remembers what came of it.
    pub fn note(&mut self, work: Work, name: &str, succeeded: bool, now: Timestamp) {
        let key = (work, name.to_owned());
        if succeeded {
            self.0.remove(&key);
            return;
        }
        let retry = self.0.entry(key).or_insert(Retry { failures: 0, next: now });
        retry.next = now.plus(FIRST.saturating_mul(1 << retry.failures.min(16)).min(LONGEST));
        retry.failures += 1;
    }

    /// Whether it has failed and has not succeeded since.
    pub fn has_failed(&self, work: Work, name: &str) -> bool {
        self.0.contains_key(&(work, name.to_owned()))
    }

    /// Whether it may be tried: it has not failed, or long enough ago.
    pub fn may_try(&self, work: Work, name: &str, now: Timestamp) -> bool {
        self.0.get(&(work, name.to_owned())).is_none_or(|retry| retry.next <= now)
    }

    /// What has failed long enough ago.
    pub fn due(&self, work: Work, now: Timestamp) -> Vec<String> {
        let due = self.0.iter().filter(|((of, _), retry)| *of == work && retry.next <= now);
        due.map(|((_, name), _)| name.clone()).collect()
    }

    /// When the next one is due; none if nothing has failed.
    pub fn next(&self) -> Option<Timestamp> {
        self.0.values().map(|retry| retry.next).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_nanos(0);

    #[test]
    fn the_pause_doubles_from_a_minute_to_an_hour_and_a_success_ends_it() {
        let mut retries = Retries::default();
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            retries.note(Work::Rotation, "db", false, NOW);
            assert_eq!(retries.next(), Some(NOW.plus(Duration::from_secs(minutes * 60))));
        }
        for _ in 0..100 {
            retries.note(Work::Rotation, "db", false, NOW);
        }
        assert!(retries.has_failed(Work::Rotation, "db"));
        retries.note(Work::Rotation, "db", true, NOW);
        assert!(retries.next().is_none() && !retries.has_failed(Work::Rotation, "db"));
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
}
