//! When to let others go first.

use std::thread;
use std::time::{Duration, Instant};

/// How many times as long as a pause that did not pay there is then none.
const ABSTINENCE: u32 = 10;

/// Decides whether a flush is preceded by a short pause, in which those who are about to come can come.
///
/// Threads that are ready to run but have no processor are not in the queue yet. Yielding lets them get there, so that one
/// flush serves them all. Alone, it is one system call that returns at once. But where another program wants the
/// processor, yielding gives it a whole time slice, and that may be far more than a flush takes. So the pause has to pay: as
/// long as it takes less time than a flush for each one that came, it is made; after one that did not pay, there is none for
/// ten times as long, so that pauses cost a tenth of the time at worst.
#[derive(Debug, Default)]
pub struct YieldBeforeFlush {
    /// There is no pause before this moment.
    next: Option<Instant>,
    /// How long the last flush took.
    flush: Duration,
}

impl YieldBeforeFlush {
    /// Whether a pause is worth a try at the moment `now`.
    pub fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// Lets whoever is ready to run have this processor, and returns how long that took.
    pub fn pause(now: Instant) -> Duration {
        thread::yield_now();
        now.elapsed()
    }

    /// Learns from a pause that began at the moment `now` and took so long, and in which so many came.
    pub fn paused(&mut self, now: Instant, took: Duration, came: usize) {
        let others = u32::try_from(came).unwrap_or(u32::MAX);
        let worth = self.flush.saturating_mul(others.saturating_add(1));
        if took > worth {
            self.next = Some(now + took * ABSTINENCE);
        }
    }

    /// Learns how long a flush took.
    pub fn flushed(&mut self, took: Duration) {
        self.flush = took;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLUSH: Duration = Duration::from_micros(20);

    /// Whether there is another pause at `later`, after one that took so long and in which so many came.
    fn pauses_again(took: Duration, came: usize, later: Duration) -> bool {
        let now = Instant::now();
        let mut yield_before_flush = YieldBeforeFlush::default();
        yield_before_flush.flushed(FLUSH);
        assert!(yield_before_flush.is_due(now));
        yield_before_flush.paused(now, took, came);
        yield_before_flush.is_due(now + later)
    }

    #[test]
    fn a_pause_that_pays_is_made_again() {
        assert!(pauses_again(FLUSH, 0, Duration::ZERO), "alone, within the time of one flush");
        assert!(pauses_again(FLUSH * 16, 15, Duration::ZERO), "one flush saved for each of fifteen");
    }

    #[test]
    fn a_pause_that_does_not_pay_is_not_made_for_ten_times_as_long() {
        for (took, came) in [(FLUSH * 2, 0), (FLUSH * 17, 15)] {
            assert!(!pauses_again(took, came, took * 9));
            assert!(pauses_again(took, came, took * 10));
        }
    }
}
