//! Rotation: what is due, and the daily thread.
//!
//! A value that a person supplied is never replaced by the schedule; it is reported.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::audit::{Entry, Event};
use crate::failure::Failure;
use crate::sync::lock;
use crate::vault::{Condition, Order, Refused, Rotation, Vault, Wish};

/// How long from one round to the next.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long until a round that failed is tried again.
const RETRY: Duration = Duration::from_secs(60 * 60);

/// How many secrets one commit rotates: others' changes go in between.
const AT_A_TIME: usize = 64;

/// The detail of the audit lines about what a round changes.
const REASON: &str = "scheduled";

/// The secrets that are past their day.
pub struct Due {
    /// Those whose value the schedule replaces.
    pub auto: Vec<String>,
    /// Those whose value a person has to replace.
    pub manual: Vec<String>,
}

/// Finds what is due now.
pub fn due(vault: &Vault) -> Due {
    let now = vault.now();
    let mut due = Due { auto: Vec::new(), manual: Vec::new() };
    for listed in vault.list(|_, version| version.is_due(now)) {
        match listed.version.rotation {
            Rotation::Auto => due.auto.push(listed.name),
            Rotation::Manual => due.manual.push(listed.name),
            Rotation::Off => {}
        }
    }
    due
}

/// One round: rotates what is due, reports what a person has to, destroys versions whose grace is over, and takes what is
/// dead out of the file.
///
/// It ends early when `stopping` says so.
///
/// # Errors
/// If something could not be done; what was done until then stays done.
pub fn round(vault: &Arc<Vault>, stopping: impl Fn() -> bool) -> Result<(), Failure> {
    log::info!("Checking for secrets due for rotation...");
    let Due { auto, manual } = due(vault);
    for name in &manual {
        log::warn!(
            "Secret {name} is due for rotation; its value was supplied by a person and has to be replaced by one"
        );
    }
    if auto.is_empty() && manual.is_empty() {
        log::info!("No secrets due for rotation");
    }
    for names in auto.chunks(AT_A_TIME).take_while(|_| !stopping()) {
        let entry = Entry { detail: Some(REASON.to_owned()), ..Entry::new(Event::Rotate) };
        let wish = Wish::Rotate { names: names.to_vec(), only_due: true };
        let order = Order { wish, condition: Condition::default(), entry };
        let done = vault.commit(order).map_err(failure)?.len();
        log::info!("Rotated {done} secrets");
    }
    vault.destroy_expired(REASON, &stopping).map_err(failure)?;
    if stopping() { Ok(()) } else { vault.compact_dead().map(|_| ()) }
}

fn failure(refused: Refused) -> Failure {
    Failure::new("rotation", refused)
}

/// The daily thread.
pub struct Scheduler {
    stopped: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<()>,
}

impl Scheduler {
    /// Starts it; its first round begins at once.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(vault: Arc<Vault>) -> std::io::Result<Self> {
        let stopped = Arc::new((Mutex::new(false), Condvar::new()));
        let signal = stopped.clone();
        let thread = std::thread::Builder::new().name("rotation".to_owned()).spawn(move || {
            log::info!("Rotation scheduler started (checking daily)");
            while !*lock(&signal.0) {
                let pause = match round(&vault, || *lock(&signal.0)) {
                    Ok(()) => DAY,
                    Err(why) => {
                        log::error!("Daily round not finished, trying again in an hour: {why}");
                        RETRY
                    }
                };
                let (flag, wake) = &*signal;
                let waited = wake.wait_timeout_while(lock(flag), pause, |stopped| !*stopped);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
            }
        })?;
        Ok(Self { stopped, thread })
    }

    /// Ends it: at once if it sleeps, else after the step that it is at.
    pub fn stop(self) {
        let (flag, wake) = &*self.stopped;
        *lock(flag) = true;
        wake.notify_all();
        if self.thread.join().is_err() {
            log::error!("The rotation thread had panicked");
        }
    }
}
