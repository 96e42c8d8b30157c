//! One question to somebody else serves all who want to know whether what they have is up to date.
//!
//! Whoever comes while an answer is under way waits for the next one: that one was asked for after they came. Each waits no
//! longer than it wants to, whatever becomes of the answer.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lock;
use crate::base::moment::Moment;

/// Questions, one at a time, each with the same answer for all who wait for it.
pub struct Confirmations<E> {
    rounds: Mutex<Rounds<E>>,
    ended: Condvar,
}

struct Rounds<E> {
    /// How many were begun.
    begun: u64,
    is_under_way: bool,
    /// The last one that brought a yes, and when it was begun.
    confirmed: Option<(u64, Moment)>,
    /// The last one that did not, and why.
    failed: Option<(u64, E)>,
}

/// Why something is not confirmed.
#[derive(Debug, PartialEq, Eq)]
pub enum Unconfirmed<E> {
    /// The answer says why.
    Refused(E),
    /// There was none in time.
    Late,
}

impl<E> Default for Confirmations<E> {
    fn default() -> Self {
        let rounds = Rounds { begun: 0, is_under_way: false, confirmed: None, failed: None };
        Self { rounds: Mutex::new(rounds), ended: Condvar::new() }
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
        let until = Instant::now() + time_limit;
        let mut rounds = lock(&self.rounds);
        let wanted = rounds.begun + 1;
        loop {
            if rounds.confirmed.is_some_and(|(round, _)| round >= wanted) {
                return Ok(());
            }
            if let Some((_, why)) = rounds.failed.as_ref().filter(|(round, _)| *round >= wanted) {
                return Err(Unconfirmed::Refused(why.clone()));
            }
            if !rounds.is_under_way {
                break;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Unconfirmed::Late);
            }
            rounds = self.ended.wait_timeout(rounds, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        rounds.begun += 1;
        rounds.is_under_way = true;
        let (round, begun) = (rounds.begun, Moment::now());
        drop(rounds);
        // Whoever waits must not wait for one that panicked.
        let answered = catch_unwind(AssertUnwindSafe(ask));
        let mut rounds = lock(&self.rounds);
        rounds.is_under_way = false;
        match &answered {
            Ok(Ok(())) => rounds.confirmed = Some((round, begun)),
            Ok(Err(why)) => rounds.failed = Some((round, why.clone())),
            Err(_) => {}
        }
        drop(rounds);
        self.ended.notify_all();
        answered.unwrap_or_else(|panic| resume_unwind(panic)).map_err(Unconfirmed::Refused)
    }

    /// When the last question that was answered with yes was asked; none: there was none.
    pub fn last(&self) -> Option<Moment> {
        lock(&self.rounds).confirmed.map(|(_, begun)| begun)
    }

    /// Whether the last question was not answered with yes.
    pub fn is_failing(&self) -> bool {
        let rounds = lock(&self.rounds);
        let confirmed = rounds.confirmed.map_or(0, |(round, _)| round);
        rounds.failed.as_ref().is_some_and(|(round, _)| *round > confirmed)
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
