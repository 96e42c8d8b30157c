//! Signals, as messages that a thread passes on.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use signal_hook::iterator::Signals;

use crate::base::failure::Failure;

/// The next signal; none if none has come within `patience`.
pub fn next(received: &Receiver<i32>, patience: Option<Duration>) -> Option<i32> {
    match patience {
        Some(patience) => received.recv_timeout(patience).ok(),
        None => received.recv().ok(),
    }
}

/// The signals, from a thread that does nothing but to wait for them, and where else something can be sent.
pub fn forwarded(mut signals: Signals) -> Result<(Sender<i32>, Receiver<i32>), Failure> {
    let (sender, received) = mpsc::channel();
    let other = sender.clone();
    let wait = move || _ = signals.forever().try_for_each(|signal| sender.send(signal));
    let started = thread::Builder::new().name("signals".to_owned()).spawn(wait);
    started.map(|_| (other, received)).map_err(|why| Failure::new("signal thread", why))
}
