//! Breaks in long work.

use std::thread;
use std::time::{Duration, Instant};

/// How long one works without a break. Left to itself, the system lets a thread go on for some milliseconds while others, who
/// need microseconds, wait for the processor; but where another program wants it all, each break lasts that long.
const STRETCH: Duration = Duration::from_micros(200);

/// The breaks of a thread that works for long and for which nobody waits. They are to be taken where no lock is held.
pub struct Breaks {
    since: Instant,
}

impl Breaks {
    pub fn begin() -> Self {
        Self { since: Instant::now() }
    }

    /// Lets whoever waits for the processor have it, if that is due.
    pub fn take_if_due(&mut self) {
        if self.since.elapsed() >= STRETCH {
            thread::yield_now();
            self.since = Instant::now();
        }
    }
}
