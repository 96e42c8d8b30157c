//! One flush serves all who wait for it.
//!
//! Whoever comes while a flush is under way queues up; when it ends, the first one in the queue takes the whole
//! queue and flushes it in one go. Alone, nobody waits: the flush starts at once.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, PoisonError};

use super::lock;

/// A queue of `T` that is flushed batch by batch, each item getting an `R` back.
pub struct GroupCommit<T, R> {
    queue: Mutex<Queue<T, R>>,
    flushed: Condvar,
}

struct Queue<T, R> {
    next_ticket: u64,
    waiting: Vec<(u64, T)>,
    answers: HashMap<u64, R>,
    /// Every ticket below this one has been through a flush.
    done: u64,
    flushing: bool,
}

impl<T, R> Default for GroupCommit<T, R> {
    fn default() -> Self {
        let queue = Queue { next_ticket: 0, waiting: Vec::new(), answers: HashMap::new(), done: 0, flushing: false };
        Self { queue: Mutex::new(queue), flushed: Condvar::new() }
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
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.waiting.push((ticket, item));
        while queue.flushing && queue.done <= ticket {
            queue = self.flushed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.done <= ticket {
            queue.flushing = true;
            let batch = std::mem::take(&mut queue.waiting);
            let turn = Turn { group: self, through: queue.next_ticket };
            drop(queue);
            let (tickets, items): (Vec<u64>, Vec<T>) = batch.into_iter().unzip();
            let answers = flush(items);
            assert_eq!(answers.len(), tickets.len(), "a flush answers every item once");
            lock(&self.queue).answers.extend(tickets.into_iter().zip(answers));
            drop(turn);
            queue = lock(&self.queue);
        }
        queue.answers.remove(&ticket).expect("the flush that this item was in panicked")
    }
}

/// Ends a flush, also one that panicked: its followers must not wait for ever.
struct Turn<'a, T, R> {
    group: &'a GroupCommit<T, R>,
    through: u64,
}

impl<T, R> Drop for Turn<'_, T, R> {
    fn drop(&mut self) {
        let mut queue = lock(&self.group.queue);
        queue.flushing = false;
        queue.done = self.through;
        self.group.flushed.notify_all();
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
        assert!(lock(&group.queue).answers.is_empty());
    }
}
