//! A start that waits for what unwraps the master key: a device or a network may be there later than the daemon.

use std::thread;
use std::time::{Duration, Instant};

use super::wrapping::{Wrapping, WrappingConfig};
use crate::base::failure::{Failure, Kind};
use crate::vault::seal::KeyBytes;

/// How long a start waits before its second attempt, and at most before a later one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is to be told of each attempt.
pub struct Patience(Box<Tell>);

type Tell = dyn Fn(Option<&Failure>, Duration) + Send + Sync;

impl Patience {
    /// `tell` is called before each attempt with the failure of the one before, if there was one, and with the longest time until
    /// the next call or the end.
    pub fn new(tell: impl Fn(Option<&Failure>, Duration) + Send + Sync + 'static) -> Self {
        Self(Box::new(tell))
    }

    /// The key that is wrapped in `wrapped`. For as long as the configuration says, an attempt that fails is made again.
    ///
    /// # Errors
    /// As [`Wrapping::unwrap`]; of the kind [`Kind::Failed`] if it was tried again, as it may be there later.
    pub(super) fn unwrap(&self, wrapping: &Wrapping, wrapped: &[u8]) -> Result<KeyBytes, Failure> {
        let WrappingConfig { timeout, retry, .. } = *wrapping.config();
        let deadline = Instant::now() + retry;
        let mut pause = FIRST_PAUSE;
        let mut last = None;
        loop {
            (self.0)(last.as_ref(), timeout + pause);
            let why = match wrapping.unwrap(wrapped) {
                Err(why) if !retry.is_zero() => why,
                done => return done,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(why.because(format_args!("it was tried for {} s", retry.as_secs())).of(Kind::Failed));
            }
            log::warn!("Waiting for the master key: {why}");
            // So that the last attempt is made at the deadline.
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(LONGEST_PAUSE);
            last = Some(why);
        }
    }
}
