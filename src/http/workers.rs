//! Threads that do one job each and then wait for another: starting one costs more than most connections last.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use crate::base::sync::lock;

/// How many threads may wait for a job. They sleep until there is one.
const MAX_IDLE: usize = 16;
/// Address space, not memory: a thread uses as much of it as its handler needs.
const STACK: usize = 512 * 1024;

/// As many threads as there are jobs, and some that wait for the next ones.
pub struct Workers<J> {
    run: Box<dyn Fn(J) + Send + Sync>,
    state: Mutex<State<J>>,
    wake: Condvar,
}

struct State<J> {
    /// Jobs that a thread was woken or started for, and has not taken yet.
    jobs: VecDeque<J>,
    /// Threads that wait, besides those that were woken for a job.
    idle: usize,
    stopping: bool,
}

impl<J: Send + 'static> Workers<J> {
    /// Threads that call `run` for every job.
    pub fn new(run: impl Fn(J) + Send + Sync + 'static) -> Arc<Self> {
        let state = State { jobs: VecDeque::new(), idle: 0, stopping: false };
        Arc::new(Self { run: Box::new(run), state: Mutex::new(state), wake: Condvar::new() })
    }

    /// Has `job` done at once, on a thread of its own.
    ///
    /// # Errors
    /// If there is no thread for it and none can be started: the job, and why.
    pub fn submit(self: &Arc<Self>, job: J) -> Result<(), (J, io::Error)> {
        let mut state = lock(&self.state);
        if state.idle > 0 {
            state.idle -= 1;
        } else {
            let workers = self.clone();
            let thread = thread::Builder::new().name("http".to_owned()).stack_size(STACK);
            if let Err(why) = thread.spawn(move || workers.work()) {
                return Err((job, why));
            }
        }
        state.jobs.push_back(job);
        // Whoever wakes up finds the lock free.
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Ends the threads that wait for a job, and those at work when they have done it.
    pub fn stop(&self) {
        lock(&self.state).stopping = true;
        self.wake.notify_all();
    }

    fn work(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                (self.run)(job);
                state = lock(&self.state);
                if state.idle == MAX_IDLE {
                    return;
                }
                state.idle += 1;
            } else if state.stopping {
                return;
            } else {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn every_job_has_a_thread_of_its_own_even_if_none_ends() {
        let (started, all_started) = mpsc::channel();
        let workers = Workers::new(move |release: mpsc::Receiver<()>| {
            started.send(()).unwrap();
            let _ = release.recv();
        });
        let mut releases = Vec::new();
        for _ in 0..MAX_IDLE * 2 {
            let (release, released) = mpsc::channel();
            workers.submit(released).ok().unwrap();
            releases.push(release);
        }
        for _ in 0..MAX_IDLE * 2 {
            all_started.recv().unwrap();
        }
    }

    #[test]
    fn a_thread_that_is_done_takes_the_next_job() {
        let (done, finished) = mpsc::channel();
        let workers = Workers::new(move |(): ()| done.send(thread::current().id()).unwrap());
        workers.submit(()).ok().unwrap();
        let first = finished.recv().unwrap();
        while lock(&workers.state).idle == 0 {
            thread::yield_now();
        }
        workers.submit(()).ok().unwrap();
        assert_eq!(finished.recv().unwrap(), first);
    }

    #[test]
    fn stopping_ends_the_threads() {
        let workers = Workers::new(|(): ()| {});
        workers.submit(()).ok().unwrap();
        workers.stop();
        while Arc::strong_count(&workers) > 1 {
            thread::yield_now();
        }
        assert!(lock(&workers.state).jobs.is_empty(), "the job was done before");
    }
}
