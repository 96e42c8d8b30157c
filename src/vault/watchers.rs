//! Who waits for a secret to change.
//!
//! Whoever begins to watch does so before looking at the secret, and whoever changes it looks for watchers after: so no
//! change falls between the look and the wait.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::event::{EventfdFlags, eventfd};

use crate::base::sync::lock;
use crate::metrics::Page;

/// All who watch a secret.
#[derive(Default)]
pub struct Watchers {
    /// How many there are. While it is 0, a change costs one look at it.
    count: AtomicUsize,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    /// What wakes those who watch a secret, by its name. There is none that nobody watches.
    bells: BTreeMap<String, Vec<Arc<OwnedFd>>>,
    /// How many each client has.
    clients: HashMap<String, usize>,
    is_over: bool,
}

/// One who watches a secret, until it is dropped. Its descriptor can be read as soon as the secret has changed, or all are
/// [dismissed](Watchers::dismiss).
pub struct Watch<'a> {
    watchers: &'a Watchers,
    name: &'a str,
    client: &'a str,
    bell: Arc<OwnedFd>,
}

/// Why somebody cannot watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// All places are taken, or the process may not open another file.
    ForAnybody,
    /// The client has so many, and not more than that are free.
    ForClient(usize),
}

impl Watchers {
    /// Has `client` watch the secret `name`, which need not be there, if less than `most` are watching.
    ///
    /// A client gets a place while more are free than it has already: alone it comes to half of them, beside another one to a
    /// third. So whatever one client does, others find a place.
    ///
    /// # Errors
    /// If there is no place.
    pub fn watch<'a>(&'a self, name: &'a str, client: &'a str, most: usize) -> Result<Watch<'a>, NoPlace> {
        let mut watched = lock(&self.watched);
        let free = most.saturating_sub(self.count());
        let has = watched.clients.get(client).copied().unwrap_or_default();
        if free == 0 {
            return Err(NoPlace::ForAnybody);
        }
        if has >= free {
            return Err(NoPlace::ForClient(has));
        }
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = Arc::new(eventfd(0, flags).map_err(|_| NoPlace::ForAnybody)?);
        self.count.fetch_add(1, Ordering::SeqCst);
        *watched.clients.entry(client.to_owned()).or_default() += 1;
        watched.bells.entry(name.to_owned()).or_default().push(bell.clone());
        if watched.is_over {
            ring(&bell);
        }
        Ok(Watch { watchers: self, name, client, bell })
    }

    /// Wakes those who watch one of these secrets, which have changed.
    pub fn wake<'a>(&self, changed: impl Iterator<Item = &'a str>) {
        if self.count() == 0 {
            return;
        }
        let watched = lock(&self.watched);
        changed.filter_map(|name| watched.bells.get(name)).flatten().for_each(ring);
    }

    /// Wakes all: any secret may have changed.
    pub fn wake_all(&self) {
        lock(&self.watched).bells.values().flatten().for_each(ring);
    }

    /// Wakes all, and lets nobody wait any more.
    pub fn dismiss(&self) {
        let mut watched = lock(&self.watched);
        watched.is_over = true;
        watched.bells.values().flatten().for_each(ring);
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub fn write(&self, page: &mut Page) {
        page.gauge("watchers", "Requests that wait for a secret to change.").value(self.count());
    }
}

impl Watch<'_> {
    /// Begins to wait for the next change, before one looks at the secret. False if all are
    /// [dismissed](Watchers::dismiss).
    pub fn rearm(&self) -> bool {
        // It fails if it has not rung.
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        !lock(&self.watchers.watched).is_over
    }
}

impl AsFd for Watch<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut watched = lock(&self.watchers.watched);
        self.watchers.count.fetch_sub(1, Ordering::SeqCst);
        if let Some(bells) = watched.bells.get_mut(self.name) {
            bells.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
            if bells.is_empty() {
                watched.bells.remove(self.name);
            }
        }
        match watched.clients.get_mut(self.client) {
            Some(count @ 2..) => *count -= 1,
            _ => drop(watched.clients.remove(self.client)),
        }
    }
}

fn ring(bell: &Arc<OwnedFd>) {
    // It fails if it has rung 2^64 times unheard.
    let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    /// Whether it has rung.
    fn is_woken(watch: &Watch) -> bool {
        poll(&mut [PollFd::new(watch, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    fn watch<'a>(watchers: &'a Watchers, name: &'a str) -> Watch<'a> {
        watchers.watch(name, "web", 100).unwrap()
    }

    #[test]
    fn those_who_wait_are_counted_in_the_metrics() {
        let watchers = Watchers { count: 31.into(), ..Watchers::default() };
        crate::metrics::assert_in_example(|page| watchers.write(page));
    }

    #[test]
    fn a_change_between_the_look_and_the_wait_is_not_missed() {
        let watchers = Watchers::default();
        let watch = watch(&watchers, "a");
        assert!(watch.rearm() && !is_woken(&watch));
        watchers.wake(["a"].into_iter());
        assert!(is_woken(&watch));
        assert!(watch.rearm() && !is_woken(&watch), "it is told once");
    }

    #[test]
    fn a_change_wakes_all_who_watch_that_secret_and_nobody_else() {
        let watchers = Watchers::default();
        let other = watch(&watchers, "b");
        thread::scope(|scope| {
            let sleepers = [(); 4].map(|()| watch(&watchers, "a"));
            let sleepers = sleepers
                .map(|watch| scope.spawn(move || poll(&mut [PollFd::new(&watch, PollFlags::IN)], None).unwrap()));
            watchers.wake(["c", "a"].into_iter());
            assert!(sleepers.into_iter().all(|sleeper| sleeper.join().unwrap() == 1));
        });
        assert!(!is_woken(&other));
        assert_eq!(watchers.count(), 1);
    }

    #[test]
    fn no_more_watch_than_may_and_who_leaves_makes_room() {
        let watchers = Watchers::default();
        let watch = |client| watchers.watch("a", client, 2);
        let (first, second) = (watch("web"), watch("worker"));
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(watch("cron").err(), Some(NoPlace::ForAnybody));
        drop(first);
        assert!(watch("cron").is_ok());
        drop(second);
        let watched = lock(&watchers.watched);
        assert_eq!(
            (watchers.count(), watched.bells.len(), watched.clients.len()),
            (0, 0, 0),
            "nothing is left of them"
        );
    }

    #[test]
    fn a_client_has_no_more_than_it_leaves_to_others() {
        let watchers = Watchers::default();
        let all = |client: &'static str| {
            let mut has = Vec::new();
            loop {
                match watchers.watch("a", client, 100) {
                    Ok(watch) => has.push(watch),
                    Err(why) => return (has, why),
                }
            }
        };
        let (first, why) = all("first");
        assert_eq!((first.len(), why), (50, NoPlace::ForClient(50)));
        let (second, why) = all("second");
        assert_eq!((second.len(), why), (25, NoPlace::ForClient(25)));
        drop(first);
        assert_eq!(all("first").0.len(), 38);
        drop(second);
        assert_eq!(watchers.watch("a", "only", 1).err(), None);
    }

    #[test]
    fn when_all_are_dismissed_nobody_waits_any_more() {
        let watchers = Watchers::default();
        let sleeper = watch(&watchers, "a");
        watchers.dismiss();
        let late = watch(&watchers, "b");
        for watch in [sleeper, late] {
            assert!(is_woken(&watch));
            assert!(!watch.rearm());
        }
    }
}
