//! How long tests wait. A test waits for what has to happen, and fails only when it did not happen in a time that is enough
//! for a machine that is slow and busy with other things.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what has to happen. It is spent only by a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// A time limit that is never reached: for servers whose limits are not what a test is about.
pub const NEVER: Duration = Duration::from_secs(3600);

/// Waits until `look` finds something.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long until {what}");
        thread::sleep(Duration::from_millis(1));
    }
}
