//! One question to somebody else serves all who want to know whether what they have is up to date.
//!
//! Whoever comes while an answer is under way waits for the next one: that one was asked for after they came. Each waits no
//! longer than it wants to, whatever becomes of the answer. Those who are about to come are waited for (see [`Gathering`]).

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::gathering::Gathering;
use super::lock;
use crate::base::moment::Moment;

/// Questions, one at a time, each with the same answer for all who wait for it.
pub struct Confirmations<E>(Mutex<Rounds<E>>);

struct Rounds<E> {
    /// The one that is asked next, and how many wait for it.
    next: Arc<Round<E>>,
    waiting: usize,
    /// One of those looks when the others are no longer to be waited for.
    is_watched: bool,
    is_under_way: bool,
    gathering: Gathering,
    /// When the last one was begun that brought a yes.
    confirmed: Option<Moment>,
    /// The last one did not.
    is_failing: bool,
}

/// A question, for those who wait for its answer.
struct Round<E> {
    /// None: it panicked.
    answer: OnceLock<Option<Result<(), E>>>,
    /// It has its answer, or one of those who wait is to ask it.
    changed: Condvar,
}

/// Why something is not confirmed.
#[derive(Debug, PartialEq, Eq)]
pub enum Unconfirmed<E> {
    /// The answer says why.
    Refused(E),
    /// There was none in time.
    Late,
}

impl<E> Default for Round<E> {
    fn default() -> Self {
        Self { answer: OnceLock::new(), changed: Condvar::new() }
    }
}

impl<E> Default for Confirmations<E> {
    fn default() -> Self {
        Self(Mutex::new(Rounds {
            next: Arc::default(),
            waiting: 0,
            is_watched: false,
            is_under_way: false,
            gathering: Gathering::default(),
            confirmed: None,
            is_failing: false,
        }))
    }
}

impl<E: Clone> Confirmations<E> {
    /// Returns when a question that was asked after this call began was answered with yes.
    ///
    /// `ask` is called by one of those who wait, on its thread.
    ///
    /// # Errors
    /// If the answer is no, or did not come within `time_limit`.
    pub fn confirm(&self, time_limit: Duration, ask: impl FnOnce() -> Result<(), E>) -> Result<(), Unconfirmed<E>> {
        let deadline = Instant::now() + time_limit;
        let mut rounds = lock(&self.0);
        loop {
            let round = rounds.next.clone();
            rounds.waiting += 1;
            rounds.gathering.came(Instant::now());
            let mut watches = false;
            while round.answer.get().is_none() {
                let (now, mut wakes_at) = (Instant::now(), deadline);
                let is_next = Arc::ptr_eq(&round, &rounds.next);
                if is_next && !rounds.is_under_way {
                    let Some(until) = rounds.gathering.lasts_until(rounds.waiting, now) else {
                        return self.ask(rounds, ask).map_err(Unconfirmed::Refused);
                    };
                    watches |= !mem::replace(&mut rounds.is_watched, true);
                    if watches {
                        wakes_at = until.min(deadline);
                    }
                }
                if now >= deadline {
                    if is_next {
                        rounds.waiting -= 1;
                        rounds.is_watched &= !watches;
                        round.changed.notify_one();
                    }
                    return Err(Unconfirmed::Late);
                }
                let woken = round.changed.wait_timeout(rounds, wakes_at - now);
                rounds = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
            if let Some(Some(answer)) = round.answer.get() {
                return answer.clone().map_err(Unconfirmed::Refused);
            }
        }
    }

    /// Asks for all who wait.
    fn ask(&self, mut rounds: MutexGuard<'_, Rounds<E>>, ask: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let (round, served) = (mem::take(&mut rounds.next), mem::take(&mut rounds.waiting));
        (rounds.is_under_way, rounds.is_watched) = (true, false);
        let (begun, since) = (Moment::now(), Instant::now());
        drop(rounds);
        // Whoever waits must not wait for one that panicked.
        let answered = catch_unwind(AssertUnwindSafe(ask));
        let mut rounds = lock(&self.0);
        rounds.is_under_way = false;
        match &answered {
            Ok(Ok(())) => (rounds.confirmed, rounds.is_failing) = (Some(begun), false),
            Ok(Err(_)) => rounds.is_failing = true,
            Err(_) => {}
        }
        let (next, waiting, now) = (rounds.next.clone(), rounds.waiting, Instant::now());
        rounds.gathering.answered(served, now - since, waiting, now);
        let _ = round.answer.set(answered.as_ref().ok().cloned());
        drop(rounds);
        round.changed.notify_all();
        next.changed.notify_one();
        answered.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// When the last question that was answered with yes was asked; none: there was none.
    pub fn last(&self) -> Option<Moment> {
        lock(&self.0).confirmed
    }

    /// Whether the last question was not answered with yes.
    pub fn is_failing(&self) -> bool {
        lock(&self.0).is_failing
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn alone_one_asks_at_once_and_hears_the_answer() {
        let confirmations = Confirmations::<&str>::default();
        assert_eq!(confirmations.confirm(LONG, || Ok(())), Ok(()));
        assert!(confirmations.last().is_some() && !confirmations.is_failing());
        assert_eq!(confirmations.confirm(LONG, || Err("no")), Err(Unconfirmed::Refused("no")));
        assert!(confirmations.is_failing());
        assert_eq!(confirmations.confirm(LONG, || Ok(())), Ok(()));
        assert!(!confirmations.is_failing());
    }

    type Answer = Result<(), &'static str>;
    type Outcome = Result<(), Unconfirmed<&'static str>>;

    /// Begins a question on another thread that is answered when something is sent.
    fn slow(confirmations: &Arc<Confirmations<&'static str>>) -> (mpsc::Sender<Answer>, thread::JoinHandle<Outcome>) {
        let (answer, answered) = mpsc::channel();
        let (began, begun) = mpsc::channel();
        let confirmations = confirmations.clone();
        let asking = thread::spawn(move || {
            confirmations.confirm(LONG, || {
                began.send(()).unwrap();
                answered.recv().unwrap()
            })
        });
        begun.recv().unwrap();
        (answer, asking)
    }

    #[test]
    fn an_answer_to_an_older_question_is_not_taken_and_one_question_serves_all_who_came_before_it() {
        let confirmations = Arc::new(Confirmations::default());
        let (answer, first) = slow(&confirmations);
        let asked = Arc::new(AtomicU64::new(0));
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let (confirmations, asked) = (confirmations.clone(), asked.clone());
                let (came, has_come) = mpsc::channel();
                let waiting = thread::spawn(move || {
                    came.send(()).unwrap();
                    confirmations.confirm(LONG, || {
                        asked.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    })
                });
                has_come.recv().unwrap();
                waiting
            })
            .collect();
        answer.send(Err("no")).unwrap();
        assert_eq!(first.join().unwrap(), Err(Unconfirmed::Refused("no")));
        for waiting in waiting {
            assert_eq!(waiting.join().unwrap(), Ok(()));
        }
        assert!((1..=8).contains(&asked.load(Ordering::SeqCst)));
    }

    #[test]
    fn nobody_waits_longer_than_it_wants_to() {
        let confirmations = Arc::new(Confirmations::default());
        let (answer, first) = slow(&confirmations);
        let late = confirmations.confirm(Duration::from_millis(1), || unreachable!("somebody asks"));
        assert_eq!(late, Err(Unconfirmed::Late));
        answer.send(Ok(())).unwrap();
        assert_eq!(first.join().unwrap(), Ok(()));
    }

    #[test]
    fn a_question_that_panics_ends_only_itself() {
        let confirmations = Arc::new(Confirmations::<&str>::default());
        let broken = confirmations.clone();
        assert!(thread::spawn(move || broken.confirm(LONG, || panic!("cut off"))).join().is_err());
        assert_eq!(confirmations.confirm(LONG, || Ok(())), Ok(()));
    }
}
