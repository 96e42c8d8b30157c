//! One flush serves all who wait for it.
//!
//! Whoever comes while a flush is under way queues up; when it ends, the first one in the queue takes the whole
//! queue and flushes it in one go. Those who are ready to come are let in first (see [`Courtesy`]). Alone, nobody waits: the
//! flush starts at once.

use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};
use std::time::Instant;

use super::courtesy::Courtesy;
use super::lock;

/// A queue of `T` that is flushed batch by batch, each item getting an `R` back.
pub struct GroupCommit<T, R> {
    queue: Mutex<Queue<T, R>>,
}

struct Queue<T, R> {
    waiting: Vec<(T, Ticket<R>)>,
    /// Somebody leads.
    flushing: bool,
    courtesy: Courtesy,
}

impl<T, R> Default for GroupCommit<T, R> {
    fn default() -> Self {
        let queue = Queue { waiting: Vec::new(), flushing: false, courtesy: Courtesy::default() };
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
        let seat = Arc::new(Seat { thread: thread::current(), call: Mutex::new(None) });
        let mut queue = lock(&self.queue);
        queue.waiting.push((item, Ticket(Some(seat.clone()))));
        let leads = !std::mem::replace(&mut queue.flushing, true);
        drop(queue);
        if !leads {
            match seat.wait() {
                Call::Lead => {}
                Call::Answer(answer) => return answer,
                Call::Lost => lost(),
            }
        }
        self.lead(flush);
        match seat.wait() {
            Call::Answer(answer) => answer,
            Call::Lead | Call::Lost => lost(),
        }
    }

    /// Flushes all who wait, and then has the next one lead if there is one.
    fn lead(&self, flush: impl FnOnce(Vec<T>) -> Vec<R>) {
        let _turn = Turn(self);
        let batch = self.gather();
        let (items, tickets): (Vec<T>, Vec<Ticket<R>>) = batch.into_iter().unzip();
        let begun = Instant::now();
        let answers = flush(items);
        lock(&self.queue).courtesy.flushed(begun.elapsed());
        assert_eq!(answers.len(), tickets.len(), "a flush answers every item once");
        for (ticket, answer) in tickets.into_iter().zip(answers) {
            ticket.call(Call::Answer(answer));
        }
    }

    fn gather(&self) -> Vec<(T, Ticket<R>)> {
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
        std::mem::take(&mut queue.waiting)
    }
}

fn lost() -> ! {
    panic!("the flush that this item was in panicked")
}

/// Ends the lead, also of a flush that panicked: whoever came meanwhile must not wait for ever.
struct Turn<'a, T, R>(&'a GroupCommit<T, R>);

impl<T, R> Drop for Turn<'_, T, R> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        let next = queue.waiting.first().and_then(|(_, ticket)| ticket.0.clone());
        queue.flushing = next.is_some();
        drop(queue);
        if let Some(next) = next {
            next.call(Call::Lead);
        }
    }
}

/// Where one waits for the answer to its item.
struct Seat<R> {
    thread: Thread,
    call: Mutex<Option<Call<R>>>,
}

/// What somebody who waits is told.
enum Call<R> {
    /// The flush is theirs to make.
    Lead,
    /// The item was flushed.
    Answer(R),
    /// The flush panicked.
    Lost,
}

impl<R> Seat<R> {
    fn call(&self, call: Call<R>) {
        *lock(&self.call) = Some(call);
        self.thread.unpark();
    }

    fn wait(&self) -> Call<R> {
        loop {
            if let Some(call) = lock(&self.call).take() {
                return call;
            }
            thread::park();
        }
    }
}

/// The duty to answer somebody who waits. They are told when it is dropped instead.
struct Ticket<R>(Option<Arc<Seat<R>>>);

impl<R> Ticket<R> {
    fn call(mut self, call: Call<R>) {
        if let Some(seat) = self.0.take() {
            seat.call(call);
        }
    }
}

impl<R> Drop for Ticket<R> {
    fn drop(&mut self) {
        if let Some(seat) = self.0.take() {
            seat.call(Call::Lost);
        }
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
