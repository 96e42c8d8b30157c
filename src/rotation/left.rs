//! Versions that are pending, and that another daemon has perhaps left in the middle of a rotation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Since when each version that is pending is known to be nobody's work.
#[derive(Default)]
pub struct Left {
    /// By the secret, the kid of the version, and since when.
    since: BTreeMap<String, (String, Instant)>,
    /// The kids of those that this daemon has prepared since its start: its programs have ended before it looks.
    ours: BTreeSet<String>,
}

impl Left {
    /// This daemon has prepared the version.
    pub fn prepared(&mut self, kid: &str) {
        self.ours.insert(kid.to_owned());
    }

    /// Nobody has claimed the secret of this version at `now`. Returns for how long that is so.
    pub fn found(&mut self, name: &str, kid: &str, now: Instant) -> Duration {
        let (known, since) = self.since.entry(name.to_owned()).or_insert_with(|| (kid.to_owned(), now));
        if known != kid {
            (*known, *since) = (kid.to_owned(), now);
        }
        now.saturating_duration_since(*since)
    }

    /// Whether this daemon has prepared the version.
    pub fn is_ours(&self, kid: &str) -> bool {
        self.ours.contains(kid)
    }

    /// Somebody works on the secret.
    pub fn claimed(&mut self, name: &str) {
        self.since.remove(name);
    }

    /// Of all versions, only these are pending.
    pub fn keep(&mut self, pending: &[(String, String)]) {
        let is_pending = |kid: &String| pending.iter().any(|(_, pending)| pending == kid);
        self.since.retain(|_, (kid, _)| is_pending(kid));
        self.ours.retain(is_pending);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_left_is_nobodys_from_when_it_was_found_so_and_another_one_from_when_that_was() {
        let (mut left, now) = (Left::default(), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(left.found("db", "db@1", now), Duration::ZERO);
        assert_eq!(left.found("db", "db@1", later(40)), Duration::from_secs(40));
        assert_eq!(left.found("web", "web@1", later(40)), Duration::ZERO);
        assert_eq!(left.found("db", "db@2", later(50)), Duration::ZERO);
        assert_eq!(left.found("db", "db@2", later(51)), Duration::from_secs(1));
        left.claimed("db");
        assert_eq!(left.found("db", "db@2", later(60)), Duration::ZERO, "somebody has worked on it meanwhile");
    }

    #[test]
    fn what_is_no_longer_pending_is_forgotten() {
        let (mut left, now) = (Left::default(), Instant::now());
        left.prepared("db@1");
        left.prepared("web@1");
        left.found("db", "db@1", now);
        left.found("web", "web@1", now);
        left.keep(&[("db".to_owned(), "db@1".to_owned())]);
        assert!(left.is_ours("db@1") && !left.is_ours("web@1"));
        assert_eq!(left.since.keys().collect::<Vec<_>>(), ["db"]);
    }
}
