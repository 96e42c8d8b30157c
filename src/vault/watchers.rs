//! Who sleeps until a secret changes.
//!
//! Whoever begins to watch does so before looking at the secret, and whoever changes it looks for watchers after: so no
//! change falls between the look and the sleep.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::sync::lock;

/// All who watch a secret.
#[derive(Default)]
pub struct Watchers {
    /// How many there are. While it is 0, a change costs one look at it.
    count: AtomicUsize,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    /// In the order of the secrets' names. There is none that nobody watches.
    bells: Vec<Bell>,
    is_over: bool,
}

impl Watched {
    /// Where the bell of a secret is, or else where it belongs.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.bells.binary_search_by(|bell| bell.name.as_str().cmp(name))
    }
}

/// What wakes those who watch one secret.
struct Bell {
    name: String,
    watchers: usize,
    /// How often it has rung.
    rung: u64,
    wake: Arc<Condvar>,
}

/// One who watches a secret, until it is dropped.
pub struct Watch<'a> {
    watchers: &'a Watchers,
    name: &'a str,
    /// How often the bell had rung when it was last heard.
    heard: u64,
    wake: Arc<Condvar>,
}

impl Watchers {
    /// Begins to watch the secret `name`, which need not be there. None if `most` are watching already.
    pub fn watch<'a>(&'a self, name: &'a str, most: usize) -> Option<Watch<'a>> {
        let mut watched = lock(&self.watched);
        if self.count() >= most {
            return None;
        }
        self.count.fetch_add(1, Ordering::SeqCst);
        let place = watched.place(name).unwrap_or_else(|place| {
            let bell = Bell { name: name.to_owned(), watchers: 0, rung: 0, wake: Arc::default() };
            watched.bells.insert(place, bell);
            place
        });
        let bell = &mut watched.bells[place];
        bell.watchers += 1;
        Some(Watch { watchers: self, name, heard: bell.rung, wake: bell.wake.clone() })
    }

    /// Wakes those who watch one of these secrets, which have changed.
    pub fn wake<'a>(&self, changed: impl Iterator<Item = &'a str>) {
        if self.count() == 0 {
            return;
        }
        let mut watched = lock(&self.watched);
        for name in changed {
            if let Ok(place) = watched.place(name) {
                let bell = &mut watched.bells[place];
                bell.rung += 1;
                bell.wake.notify_all();
            }
        }
    }

    /// Wakes all, and lets nobody sleep any more.
    pub fn dismiss(&self) {
        let mut watched = lock(&self.watched);
        watched.is_over = true;
        watched.bells.iter().for_each(|bell| bell.wake.notify_all());
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

impl Watch<'_> {
    /// Sleeps until the secret changes: true if it has, since it is watched or since this was last said. False at the
    /// moment `deadline`, or when all are [dismissed](Watchers::dismiss).
    pub fn sleep(&mut self, deadline: Instant) -> bool {
        let mut watched = lock(&self.watchers.watched);
        loop {
            let rung = watched.place(self.name).map_or(self.heard, |place| watched.bells[place].rung);
            if rung != self.heard {
                self.heard = rung;
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || watched.is_over {
                return false;
            }
            watched = self.wake.wait_timeout(watched, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut watched = lock(&self.watchers.watched);
        self.watchers.count.fetch_sub(1, Ordering::SeqCst);
        if let Ok(place) = watched.place(self.name) {
            watched.bells[place].watchers -= 1;
            if watched.bells[place].watchers == 0 {
                watched.bells.remove(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(600)
    }

    #[test]
    fn a_change_between_the_look_and_the_sleep_is_not_missed() {
        let watchers = Watchers::default();
        let mut watch = watchers.watch("a", 1).unwrap();
        watchers.wake(["a"].into_iter());
        assert!(watch.sleep(later()));
        assert!(!watch.sleep(Instant::now()), "it is told once");
    }

    #[test]
    fn a_change_wakes_all_who_watch_that_secret_and_nobody_else() {
        let watchers = Watchers::default();
        let mut other = watchers.watch("b", 9).unwrap();
        thread::scope(|scope| {
            let (ready, all_ready) = mpsc::channel();
            let sleepers = [(); 4].map(|()| {
                let (ready, watchers) = (ready.clone(), &watchers);
                scope.spawn(move || {
                    let mut watch = watchers.watch("a", 9).unwrap();
                    ready.send(()).unwrap();
                    watch.sleep(later())
                })
            });
            sleepers.iter().for_each(|_| all_ready.recv().unwrap());
            watchers.wake(["c", "a"].into_iter());
            assert!(sleepers.into_iter().all(|sleeper| sleeper.join().unwrap()));
        });
        assert!(!other.sleep(Instant::now()));
        assert_eq!(watchers.count(), 1);
    }

    #[test]
    fn no_more_watch_than_may_and_who_leaves_makes_room() {
        let watchers = Watchers::default();
        let (first, second) = (watchers.watch("a", 2), watchers.watch("b", 2));
        assert!(first.is_some() && second.is_some() && watchers.watch("a", 2).is_none());
        drop(first);
        assert!(watchers.watch("a", 2).is_some());
        drop(second);
        assert_eq!((watchers.count(), lock(&watchers.watched).bells.len()), (0, 0), "nothing is left of them");
    }

    #[test]
    fn when_all_are_dismissed_nobody_sleeps_any_more() {
        let watchers = Watchers::default();
        thread::scope(|scope| {
            let (ready, is_ready) = mpsc::channel();
            let watchers = &watchers;
            let sleeper = scope.spawn(move || {
                let mut watch = watchers.watch("a", 1).unwrap();
                ready.send(()).unwrap();
                watch.sleep(later())
            });
            is_ready.recv().unwrap();
            watchers.dismiss();
            assert!(!sleeper.join().unwrap());
        });
        assert!(!watchers.watch("a", 1).unwrap().sleep(later()));
    }
}
