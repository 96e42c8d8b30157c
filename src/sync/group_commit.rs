//! One flush serves all who wait for it.
//!
//! Whoever comes while a flush is under way queues up; when it ends, the first one in the queue takes the whole
//! queue and flushes it in one go. Those who are ready to come are let in first (see [`Courtesy`]). Alone, nobody waits: the
//! flush starts at once.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::courtesy::Courtesy;
use super::lock;

/// A queue of `T` that is flushed batch by batch, each item getting an `R` back.
pub struct GroupCommit<T, R> {
    queue: Mutex<Queue<T, R>>,
}

struct Queue<T, R> {
    waiting: Vec<T>,
    /// Where those in `waiting` get their answers.
    batch: Arc<Batch<R>>,
    /// Somebody leads.
    flushing: bool,
    courtesy: Courtesy,
}

/// What those wait for whose items are flushed together. All are woken by one call of the system.
struct Batch<R> {
    /// The flush is for the first of them to make.
    turn: OnceLock<()>,
    /// In the order of the items; none: the flush panicked.
    answers: OnceLock<Option<Vec<Mutex<Option<R>>>>>,
}

impl<R> Default for Batch<R> {
    fn default() -> Self {
        Self { turn: OnceLock::new(), answers: OnceLock::new() }
    }
}

impl<T, R> Default for GroupCommit<T, R> {
    fn default() -> Self {
        let queue =
            Queue { waiting: Vec::new(), batch: Arc::default(), flushing: false, courtesy: Courtesy::default() };
        Self { queue: Mutex::new(queue) }
    }
}

impl<T, R> GroupCommit<T, R> {
    /// Queues `item` and returns what a flush answered for it.
    ///
    /// `flush` is called by whichever caller leads the batch, on that caller's thread, with the items in the order in
    /// which they came; it returns as many answers, in that order. No two flushes run at a time.
    ///
    /// # Panics
    /// If the flush that the item was in panicked.
    pub fn submit(&self, item: T, flush: impl FnOnce(Vec<T>) -> Vec<R>) -> R {
        let mut queue = lock(&self.queue);
        let place = queue.waiting.len();
        queue.waiting.push(item);
        let batch = queue.batch.clone();
        let leads = place == 0;
        let must_wait = leads && std::mem::replace(&mut queue.flushing, true);
        drop(queue);
        if must_wait {
            batch.turn.wait();
        }
        if leads {
            self.lead(&batch, flush);
        }
        batch.answer(place)
    }

    /// Flushes all who wait, and then has the next one lead if there is one.
    fn lead(&self, batch: &Batch<R>, flush: impl FnOnce(Vec<T>) -> Vec<R>) {
        let items = self.gather();
        let count = items.len();
        let begun = Instant::now();
        // Whoever waits must not wait for ever, and whoever came meanwhile neither.
        let flushed = catch_unwind(AssertUnwindSafe(|| {
            let answers = flush(items);
            assert_eq!(answers.len(), count, "a flush answers every item once");
            answers.into_iter().map(|answer| Mutex::new(Some(answer))).collect()
        }));
        let took = begun.elapsed();
        let (answers, panic) = flushed.map_or_else(|panic| (None, Some(panic)), |answers| (Some(answers), None));
        // The next one first: while this thread wakes all of its batch, another processor can be at work.
        self.pass_on(took);
        let _ = batch.answers.set(answers);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Takes all who wait. Who comes from now on is in another batch.
    fn gather(&self) -> Vec<T> {
        let mut queue = lock(&self.queue);
        let now = Instant::now();
        if queue.courtesy.is_due(now) {
            let before = queue.waiting.len();
            drop(queue);
            let took = Courtesy::pause(now);
            queue = lock(&self.queue);
            let came = queue.waiting.len() - before;
            queue.courtesy.paused(now, took, came);
        }
        queue.batch = Arc::default();
        std::mem::take(&mut queue.waiting)
    }

    fn pass_on(&self, took: Duration) {
        let mut queue = lock(&self.queue);
        queue.courtesy.flushed(took);
        queue.flushing = !queue.waiting.is_empty();
        let next = queue.flushing.then(|| queue.batch.clone());
        drop(queue);
        if let Some(next) = next {
            let _ = next.turn.set(());
        }
    }
}

impl<R> Batch<R> {
    fn answer(&self, place: usize) -> R {
        let answers = self.answers.wait().as_ref().expect("the flush that this item was in panicked");
        lock(&answers[place]).take().expect("each takes its own answer")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::sync::{Arc, Barrier};
    use std::thread;

    use super::*;

    #[test]
    fn alone_an_item_is_flushed_at_once_and_gets_its_answer() {
        let group = GroupCommit::default();
        assert_eq!(group.submit(20, |items| items.iter().map(|n| n + 1).collect()), 21);
        assert_eq!(group.submit(30, |items| items.iter().map(|n| n + 1).collect()), 31);
    }

    #[test]
    fn those_who_come_during_a_flush_share_the_next_one() {
        let group = Arc::new(GroupCommit::<usize, usize>::default());
        let (started, flush_started) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let first = {
            let group = group.clone();
            thread::spawn(move || {
                group.submit(0, |items| {
                    started.send(()).unwrap();
                    released.recv().unwrap();
                    items
                })
            })
        };
        flush_started.recv().unwrap();
        let followers: Vec<_> = (1..=8)
            .map(|n| {
                let group = group.clone();
                thread::spawn(move || group.submit(n, |items| vec![items.len(); items.len()]))
            })
            .collect();
        while lock(&group.queue).waiting.len() < 8 {
            thread::yield_now();
        }
        release.send(()).unwrap();
        assert_eq!(first.join().unwrap(), 0);
        for follower in followers {
            assert_eq!(follower.join().unwrap(), 8, "all eight were in one flush");
        }
    }

    #[test]
    fn a_panic_in_a_flush_ends_only_that_batch() {
        let group = Arc::new(GroupCommit::<u8, u8>::default());
        let broken = group.clone();
        assert!(thread::spawn(move || broken.submit(1, |_| panic!("disk on fire"))).join().is_err());
        assert_eq!(group.submit(2, |items| items), 2);
    }

    #[test]
    fn whoever_waits_for_a_flush_that_panics_is_told() {
        let group = Arc::new(GroupCommit::<u8, u8>::default());
        let submit = |item| {
            let group = group.clone();
            thread::spawn(move || group.submit(item, |_| panic!("disk on fire")))
        };
        let (started, flush_started) = mpsc::channel();
        let first = {
            let group = group.clone();
            thread::spawn(move || {
                group.submit(0, |items| {
                    started.send(()).unwrap();
                    while lock(&group.queue).waiting.len() < 2 {
                        thread::yield_now();
                    }
                    items
                })
            })
        };
        flush_started.recv().unwrap();
        let (leader, follower) = (submit(1), submit(2));
        assert_eq!(first.join().unwrap(), 0);
        assert!(leader.join().is_err() && follower.join().is_err());
        assert_eq!(group.submit(3, |items| items), 3);
    }

    #[test]
    fn every_item_of_many_threads_gets_its_own_answer() {
        let group = Arc::new(GroupCommit::<u64, u64>::default());
        let start = Arc::new(Barrier::new(8));
        let threads: Vec<_> = (0..8u64)
            .map(|t| {
                let (group, start) = (group.clone(), start.clone());
                thread::spawn(move || {
                    start.wait();
                    for n in 0..500 {
                        let item = t * 1000 + n;
                        assert_eq!(group.submit(item, |items| items.iter().map(|i| i * 3).collect()), item * 3);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(lock(&group.queue).waiting.is_empty());
    }
}
