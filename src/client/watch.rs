//! Watching secrets: a thread each, which asks the daemon for another version than the one that is known, again and again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::conditional::Conditional;
use super::{Client, Secret};
use crate::base::failure::{Failure, say};
use crate::base::sync::lock;

/// How long the daemon is to put its answer off.
const WAIT: (&str, Duration) = ("30s", Duration::from_secs(30));
/// The pause between two questions to a daemon that cannot put its answer off.
const POLL: Duration = Duration::from_secs(30);
/// The least time from a question to the next, whatever answers at once that nothing has changed.
const LEAST: Duration = Duration::from_secs(1);
/// The pause after the first failure. It doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What is told of a failure besides.
const REMEDY: &str = "the old value stays in use; trying again";

/// What is sent when a secret has changed. It is no signal's number, so that signals can be sent the same way.
pub const CHANGED: i32 = 0;

/// New versions that nobody has taken yet, by the numbers of their secrets.
#[derive(Clone, Default)]
pub struct Changes(Arc<Mutex<Vec<(usize, Secret)>>>);

impl Changes {
    pub fn take(&self) -> Option<(usize, Secret)> {
        let mut changes = lock(&self.0);
        if changes.is_empty() { None } else { Some(changes.remove(0)) }
    }
}

/// Watches these secrets, of each of which the version with this kid is known, for the rest of the process. They are numbered
/// in their order. After each change [`CHANGED`] is sent. What hinders the watching is reported on standard error when it
/// begins, and when it is over.
///
/// # Errors
/// If a thread cannot be started.
pub fn watch<'a>(
    client: Client,
    known: impl IntoIterator<Item = (&'a str, String)>,
    news: &Sender<i32>,
) -> Result<Changes, Failure> {
    let changes = Changes::default();
    let client = Arc::new(client.patient(WAIT.1));
    let unreached = Arc::new(AtomicUsize::new(0));
    for (number, (name, kid)) in known.into_iter().enumerate() {
        let (client, unreached, changes, news) = (client.clone(), unreached.clone(), changes.clone(), news.clone());
        let watcher = Watcher { client, number, name: name.to_owned(), kid, changes, news, trouble: None, unreached };
        let thread = thread::Builder::new().name("watch".to_owned()).spawn(move || watcher.run());
        thread.map_err(|why| Failure::new("thread", why))?;
    }
    Ok(changes)
}

struct Watcher {
    client: Arc<Client>,
    number: usize,
    name: String,
    kid: String,
    changes: Changes,
    news: Sender<i32>,
    trouble: Option<Trouble>,
    /// How many watchers get no answer: it is told once for all of them.
    unreached: Arc<AtomicUsize>,
}

/// Why a secret cannot be watched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    NoAnswer,
    /// It refuses, with this status.
    Refused(u16),
}

impl Watcher {
    fn run(mut self) {
        let mut puts_off = true;
        let mut pause = FIRST_PAUSE;
        loop {
            let asked = Instant::now();
            // Whether a trouble is over is asked without a wait, unless the wait is what was refused.
            let waits = puts_off && matches!(self.trouble, None | Some(Trouble::Refused(503)));
            let failure = match self.client.get_other(&self.name, &self.kid, waits.then_some(WAIT.0)) {
                Ok(Conditional::Same) => None,
                Ok(Conditional::Other(secret)) => {
                    self.kid.clone_from(&secret.kid);
                    lock(&self.changes.0).push((self.number, secret));
                    if self.news.send(CHANGED).is_err() {
                        return;
                    }
                    None
                }
                // One that knows nothing of it, and says so of any parameter that it does not know.
                Ok(Conditional::Refused { status: 400, .. }) if waits => {
                    puts_off = false;
                    continue;
                }
                Ok(Conditional::Refused { status, why }) => Some((Trouble::Refused(status), why)),
                Err(why) => {
                    // What answers next may be a newer one.
                    puts_off = true;
                    Some((Trouble::NoAnswer, why))
                }
            };
            let is_well = failure.is_none();
            self.tell(failure);
            if is_well {
                pause = FIRST_PAUSE;
                let least = if puts_off { LEAST } else { POLL };
                thread::sleep(least.saturating_sub(asked.elapsed()));
            } else {
                thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Tells of another trouble than before, or that it is over.
    fn tell(&mut self, failure: Option<(Trouble, Failure)>) {
        let (trouble, why) = failure.unzip();
        let before = std::mem::replace(&mut self.trouble, trouble);
        if before == trouble {
            return;
        }
        let last_unreached = before == Some(Trouble::NoAnswer) && self.unreached.fetch_sub(1, Ordering::SeqCst) == 1;
        match (trouble, why) {
            (Some(Trouble::NoAnswer), Some(why)) if self.unreached.fetch_add(1, Ordering::SeqCst) == 0 => {
                say(format_args!("{why}; {REMEDY}"));
            }
            (Some(Trouble::Refused(_)), Some(why)) => say(format_args!("{why}; {REMEDY}")),
            (None, _) if last_unreached => say(format_args!("{}: answers again", self.client.address())),
            (None, _) if before != Some(Trouble::NoAnswer) => say(format_args!("{}: can be read again", self.name)),
            _ => {}
        }
    }
}
