//! How much of a log whoever is not identified may fill: what goes beyond is counted instead of written down.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::sync::lock;

/// How many audit lines a minute there may be about clients that are not identified, of all sources together.
pub const LINES_PER_MINUTE: u32 = 600;

/// Counts the lines of each period, and what was not written.
#[derive(Debug)]
pub struct Quota {
    allowed: u32,
    period: Duration,
    state: Mutex<State>,
    /// Something was left out, so that nobody waits for the lock while nothing was.
    has_left_out: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// When the period began; none: there was none yet.
    began: Option<Timestamp>,
    lines: u32,
    left_out: Option<LeftOut>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    pub lines: u64,
    /// When the first of them would have been written.
    pub since: Timestamp,
}

impl State {
    /// Whether the period that has begun is not over yet. A clock that was set back must not make it longer.
    fn lasts(&self, period: Duration, now: Timestamp) -> bool {
        self.began.is_some_and(|began| began <= now && now < began.plus(period))
    }
}

impl Quota {
    /// One of so many lines in each period.
    pub fn new(allowed: u32, period: Duration) -> Self {
        Self { allowed, period, state: Mutex::default(), has_left_out: AtomicBool::new(false) }
    }

    /// Whether a line may be written at the moment `now`; otherwise it counts as left out.
    pub fn admit(&self, now: Timestamp) -> bool {
        let mut state = lock(&self.state);
        if !state.lasts(self.period, now) {
            (state.began, state.lines) = (Some(now), 0);
        }
        if state.lines < self.allowed {
            state.lines += 1;
            return true;
        }
        state.left_out.get_or_insert(LeftOut { lines: 0, since: now }).lines += 1;
        self.has_left_out.store(true, Ordering::Relaxed);
        false
    }

    /// What was left out, once the period is over in which it was; it is then to be told, and is forgotten here.
    pub fn take_if_due(&self, now: Timestamp) -> Option<LeftOut> {
        if !self.has_left_out.load(Ordering::Relaxed) || lock(&self.state).lasts(self.period, now) {
            return None;
        }
        self.take()
    }

    /// What was left out and not told yet.
    pub fn take(&self) -> Option<LeftOut> {
        let mut state = lock(&self.state);
        self.has_left_out.store(false, Ordering::Relaxed);
        state.left_out.take()
    }

    /// Takes back what could not be told.
    pub fn give_back(&self, untold: LeftOut) {
        let mut state = lock(&self.state);
        let newer = state.left_out.map_or(0, |left_out| left_out.lines);
        state.left_out = Some(LeftOut { lines: untold.lines + newer, ..untold });
        self.has_left_out.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_nanos(1_761_565_004_549_067_206);

    fn at(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    /// A quota that is used up at the start, and by how many lines more.
    fn exhausted(more: u32) -> Quota {
        let quota = Quota::new(LINES_PER_MINUTE, Duration::from_secs(60));
        let written = (0..LINES_PER_MINUTE + more).filter(|_| quota.admit(START)).count();
        assert_eq!(written, LINES_PER_MINUTE as usize);
        quota
    }

    #[test]
    fn what_goes_beyond_a_minutes_lines_is_told_once_when_the_minute_is_over() {
        let quota = exhausted(5);
        assert_eq!(quota.take_if_due(at(59)), None);
        assert!(!quota.admit(at(59)));
        assert_eq!(quota.take_if_due(at(60)), Some(LeftOut { lines: 6, since: START }));
        assert_eq!(quota.take_if_due(at(60)), None);
        assert!(quota.admit(at(60)));
    }

    #[test]
    fn nothing_is_told_where_nothing_was_left_out() {
        let quota = exhausted(0);
        assert_eq!(quota.take_if_due(at(60)), None);
        assert_eq!(quota.take(), None);
    }

    #[test]
    fn what_was_not_told_in_time_is_told_with_what_comes_after() {
        let quota = exhausted(5);
        assert!(quota.admit(at(60)));
        assert_eq!(quota.take_if_due(at(61)), None);
        assert_eq!(quota.take(), Some(LeftOut { lines: 5, since: START }));
    }

    #[test]
    fn what_could_not_be_told_is_not_lost() {
        let quota = exhausted(5);
        let untold = quota.take().unwrap();
        assert!(!quota.admit(at(1)));
        quota.give_back(untold);
        assert_eq!(quota.take_if_due(at(60)), Some(LeftOut { lines: 6, since: START }));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_make_the_minute_longer() {
        let quota = exhausted(1);
        assert!(quota.admit(Timestamp::from_nanos(5)));
    }
}
