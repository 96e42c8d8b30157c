//! One flush serves all who wait for it.
//!
//! Whoever comes while a flush is under way queues up; when it ends, the first one in the queue takes the whole
//! queue and flushes it in one go. Those who are ready to come are let in first (see [`YieldBeforeFlush`]), or, where a flush
//! takes long, those who are about to come (see [`Gathering`]). Alone, nobody waits: the flush starts at once.
//!
//! What takes long to flush has a flush of its own, in turn with those of all others: they wait for one such flush, not for two.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::gathering::Gathering;
use super::lock;
use super::yield_before_flush::YieldBeforeFlush;

/// A queue of `T` that is flushed batch by batch, each item getting an `R` back.
pub struct GroupCommit<T, R> {
    queue: Mutex<Queue<T, R>>,
    /// All who were waited for are in the queue.
    gathered: Condvar,
}

struct Queue<T, R> {
    waiting: Vec<T>,
    /// Where those in `waiting` get their answers.
    batch: Arc<Batch<R>>,
    /// Those who wait to flush by themselves.
    apart: VecDeque<Arc<OnceLock<()>>>,
    /// Somebody leads a flush.
    flushing: bool,
    yield_before_flush: YieldBeforeFlush,
    /// None: who is not ready to come is not waited for.
    gathering: Option<Gathering>,
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
        let queue = Queue {
            waiting: Vec::new(),
            batch: Arc::default(),
            apart: VecDeque::new(),
            flushing: false,
            yield_before_flush: YieldBeforeFlush::default(),
            gathering: None,
        };
        Self { queue: Mutex::new(queue), gathered: Condvar::new() }
    }
}

impl<T, R> GroupCommit<T, R> {
    /// One whose flush takes so long that those who are about to come are waited for.
    pub fn gathering() -> Self {
        let mut group = Self::default();
        let queue = group.queue.get_mut().unwrap_or_else(PoisonError::into_inner);
        queue.gathering = Some(Gathering::default());
        group
    }

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
        if let Some(gathering) = &mut queue.gathering {
            let now = Instant::now();
            gathering.came(now);
            if gathering.lasts_until(place + 1, now).is_none() {
                self.gathered.notify_one();
            }
        }
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

    /// Flushes `item` by itself, as [`submit`](Self::submit) flushes those who come together. It goes before those who come
    /// after it, and they before the next one like it.
    pub fn submit_apart(&self, item: T, flush: impl FnOnce(Vec<T>) -> Vec<R>) -> R {
        let mut queue = lock(&self.queue);
        if std::mem::replace(&mut queue.flushing, true) {
            let turn = Arc::<OnceLock<()>>::default();
            queue.apart.push_back(turn.clone());
            drop(queue);
            turn.wait();
        } else {
            drop(queue);
        }
        let flushed = catch_unwind(AssertUnwindSafe(|| flush(vec![item])));
        self.pass_on(Turn::Apart);
        let mut answers = flushed.unwrap_or_else(|panic| resume_unwind(panic));
        answers.pop().expect("a flush answers every item once")
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
        self.pass_on(Turn::Together { count, took });
        let _ = batch.answers.set(answers);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Takes all who wait. Who comes from now on is in another batch.
    fn gather(&self) -> Vec<T> {
        let mut queue = lock(&self.queue);
        let now = Instant::now();
        if queue.yield_before_flush.is_due(now) {
            let before = queue.waiting.len();
            drop(queue);
            let took = YieldBeforeFlush::pause(now);
            queue = lock(&self.queue);
            let came = queue.waiting.len() - before;
            queue.yield_before_flush.paused(now, took, came);
        }
        let mut now = Instant::now();
        while let Some(until) = queue.gathers_until(now) {
            queue = self.gathered.wait_timeout(queue, until - now).unwrap_or_else(PoisonError::into_inner).0;
            now = Instant::now();
        }
        queue.batch = Arc::default();
        std::mem::take(&mut queue.waiting)
    }

    /// Has the next one lead after this turn: of those who wait together and those who wait apart, the others.
    fn pass_on(&self, turn: Turn) {
        let mut queue = lock(&self.queue);
        let is_anybody_together = !queue.waiting.is_empty();
        let apart = match turn {
            Turn::Together { count, took } => {
                queue.yield_before_flush.flushed(took);
                let waiting = queue.waiting.len();
                if let Some(gathering) = &mut queue.gathering {
                    gathering.answered(count, took, waiting, Instant::now());
                }
                queue.apart.pop_front()
            }
            Turn::Apart if is_anybody_together => None,
            Turn::Apart => queue.apart.pop_front(),
        };
        queue.flushing = is_anybody_together || apart.is_some();
        let batch = queue.batch.clone();
        drop(queue);
        match apart {
            Some(apart) => _ = apart.set(()),
            None if is_anybody_together => _ = batch.turn.set(()),
            None => {}
        }
    }
}

impl<T, R> Queue<T, R> {
    /// Until when others are waited for before the next flush; none: they are not.
    fn gathers_until(&self, now: Instant) -> Option<Instant> {
        self.gathering.as_ref()?.lasts_until(self.waiting.len(), now)
    }
}

/// Whose flush ended.
enum Turn {
    /// The flush of so many who came together, which took this long.
    Together { count: usize, took: Duration },
    /// The flush of one that waits apart.
    Apart,
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
    fn all_who_wait_for_a_flush_that_panics_are_told() {
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
    fn one_apart_is_flushed_by_itself_and_in_turn_with_those_who_come_together() {
        let group = Arc::new(GroupCommit::<&str, ()>::default());
        let flushes = Arc::new(Mutex::new(Vec::new()));
        let submit = |item, is_apart: bool| {
            let (group, flushes) = (group.clone(), flushes.clone());
            thread::spawn(move || {
                let flush = |items: Vec<&'static str>| {
                    lock(&flushes).push(items.concat());
                    vec![(); items.len()]
                };
                if is_apart { group.submit_apart(item, flush) } else { group.submit(item, flush) }
            })
        };
        let waiting = || {
            let queue = lock(&group.queue);
            (queue.waiting.len(), queue.apart.len())
        };
        let (release, released) = mpsc::channel::<()>();
        let first = {
            let group = group.clone();
            thread::spawn(move || group.submit_apart("", |_| vec![released.recv().unwrap()]))
        };
        while !lock(&group.queue).flushing {
            thread::yield_now();
        }
        let mut others = Vec::new();
        for (n, (item, is_apart)) in [("A", true), ("b", false), ("C", true), ("d", false)].into_iter().enumerate() {
            others.push(submit(item, is_apart));
            while waiting() != (n.div_ceil(2), n / 2 + 1) {
                thread::yield_now();
            }
        }
        release.send(()).unwrap();
        first.join().unwrap();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(*lock(&flushes), ["bd", "A", "C"]);
        assert!(!lock(&group.queue).flushing);
        group.submit("again", |items| vec![(); items.len()]);
    }

    #[test]
    fn a_panic_of_one_apart_ends_nobody_else() {
        let group = Arc::new(GroupCommit::<u8, u8>::default());
        let broken = group.clone();
        assert!(thread::spawn(move || broken.submit_apart(1, |_| panic!("disk on fire"))).join().is_err());
        assert_eq!(group.submit_apart(2, |items| items), 2);
        assert_eq!(group.submit(3, |items| items), 3);
    }

    #[test]
    fn every_item_of_many_threads_gets_its_own_answer() {
        for group in [GroupCommit::default(), GroupCommit::gathering()] {
            let start = Barrier::new(8);
            let submit = |thread: u64| {
                start.wait();
                for n in 0..500 {
                    let item = thread * 1000 + n;
                    let flush = |items: Vec<u64>| items.iter().map(|i| i * 3).collect();
                    let is_apart = n % 5 == 0;
                    let answer = if is_apart { group.submit_apart(item, flush) } else { group.submit(item, flush) };
                    assert_eq!(answer, item * 3);
                }
            };
            thread::scope(|scope| (0..8).for_each(|thread| _ = scope.spawn(move || submit(thread))));
            assert!(lock(&group.queue).waiting.is_empty());
        }
    }
}
