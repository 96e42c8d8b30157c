//! When to wait for those who are about to come.

use std::time::{Duration, Instant};

/// For how long, however long an answer takes, and however many come: who asks again at once needs no longer.
const LONGEST: Duration = Duration::from_millis(4);

/// Decides how long a question is put off that serves all who have come before it.
///
/// Where clients ask again and again, those who were just answered come back soon after. A question that began without them
/// would make them wait for the whole of it, and then for their own: so two groups would take turns for ever, and each would
/// wait twice. So as many are waited for as were answered and as came meanwhile, as long as one comes after the other within
/// half of the time that an answer takes. A lone one is all that there are: it never waits.
#[derive(Debug, Default)]
pub struct Gathering {
    /// How many are about to come, with those who are there.
    expected: usize,
    /// Within what time another one must come.
    pause: Duration,
    /// When the last one came, or those before were answered.
    last: Option<Instant>,
    /// None: nobody was answered yet.
    ends: Option<Instant>,
}

impl Gathering {
    /// Learns that at the moment `now` so many were answered, in so long a time, and that so many have come meanwhile.
    pub fn answered(&mut self, served: usize, took: Duration, waiting: usize, now: Instant) {
        let ends = Some(now + LONGEST);
        *self = Self { expected: served + waiting, pause: took / 2, last: Some(now), ends };
    }

    /// Learns that one has come at the moment `now`.
    pub fn came(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// Until when another one is waited for, if so many are there at the moment `now`; none: nobody is.
    pub fn lasts_until(&self, waiting: usize, now: Instant) -> Option<Instant> {
        let until = (self.last? + self.pause).min(self.ends?);
        (waiting < self.expected && now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(2);
    const PAUSE: Duration = Duration::from_millis(1);

    /// One that begins now: of `served` who were answered and `waiting` who came meanwhile.
    fn after(served: usize, waiting: usize) -> (Gathering, Instant) {
        let (mut gathering, now) = (Gathering::default(), Instant::now());
        gathering.answered(served, TOOK, waiting, now);
        (gathering, now)
    }

    #[test]
    fn a_lone_one_never_waits() {
        assert_eq!(Gathering::default().lasts_until(1, Instant::now()), None);
        let (mut gathering, now) = after(1, 0);
        gathering.came(now);
        assert_eq!(gathering.lasts_until(1, now), None);
    }

    #[test]
    fn all_who_were_answered_and_all_who_came_meanwhile_are_waited_for() {
        let (gathering, now) = after(8, 8);
        assert_eq!(gathering.lasts_until(15, now), Some(now + PAUSE));
        assert_eq!(gathering.lasts_until(16, now), None);
    }

    #[test]
    fn nobody_is_waited_for_any_more_when_none_comes() {
        let (mut gathering, now) = after(8, 8);
        assert_eq!(gathering.lasts_until(8, now + PAUSE), None);
        let later = now + PAUSE / 2;
        gathering.came(later);
        assert_eq!(gathering.lasts_until(9, now + PAUSE), Some(later + PAUSE));
        assert_eq!(gathering.lasts_until(9, later + PAUSE), None);
    }

    #[test]
    fn nobody_is_waited_for_for_long_however_many_come() {
        let (mut gathering, now) = after(8, 8);
        let late = now + LONGEST - PAUSE / 2;
        gathering.came(late);
        assert_eq!(gathering.lasts_until(15, late), Some(now + LONGEST));
        assert_eq!(gathering.lasts_until(15, now + LONGEST), None);
    }
}
