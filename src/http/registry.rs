//! Who is connected, how many may be, and who has to go when there is no room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Stats;
use super::link::Link;
use crate::sync::lock;

/// How long a thread may take to leave a connection that was closed under it. It only has to wake up.
const LEAVING: Duration = Duration::from_secs(1);

/// All open connections of a server.
pub struct Registry {
    /// How many connections there may be at a time.
    pub capacity: usize,
    stats: Arc<Stats>,
    seats: Mutex<Seats>,
    left: Condvar,
    closing: AtomicBool,
}

#[derive(Default)]
struct Seats {
    taken: HashMap<u64, Arc<Link>>,
    next: u64,
    /// Threads that wait for one to become free.
    awaited: usize,
}

/// A connection that was let in. When it is dropped, its socket is closed, and then its place is free.
pub struct Visit {
    /// The connection's socket. It stands before the seat, which thus drops, and closes, the last reference to it.
    pub link: Arc<Link>,
    _seat: Seat,
}

struct Seat {
    registry: Arc<Registry>,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = lock(&self.registry.seats);
        seats.taken.remove(&self.number);
        self.registry.stats.set_open(seats.taken.len());
        let is_awaited = seats.awaited > 0;
        drop(seats);
        if is_awaited {
            self.registry.left.notify_all();
        }
    }
}

impl Registry {
    /// A registry for at most `capacity` connections, which keeps `stats` up to date.
    pub fn new(capacity: usize, stats: Arc<Stats>) -> Self {
        let (seats, left, closing) = (Mutex::default(), Condvar::new(), AtomicBool::new(false));
        Self { capacity, stats, seats, left, closing }
    }

    /// Lets a connection in. If all places are taken, the client that has kept us waiting for the longest time has to
    /// make room; if we keep all of them waiting, `link` is given back.
    pub fn enter(self: &Arc<Self>, link: Link) -> Result<Visit, Link> {
        let mut seats = lock(&self.seats);
        if seats.taken.len() >= self.capacity {
            if !self.evict_one_of(&seats) {
                return Err(link);
            }
            seats = self.wait_while(seats, LEAVING, |seats| seats.taken.len() >= self.capacity && !self.is_closing());
            if seats.taken.len() >= self.capacity {
                return Err(link);
            }
        }
        let link = Arc::new(link);
        let number = seats.next;
        seats.next += 1;
        seats.taken.insert(number, link.clone());
        self.stats.set_open(seats.taken.len());
        Ok(Visit { link, _seat: Seat { registry: self.clone(), number } })
    }

    /// Closes the connection whose client has kept us waiting for the longest time, and waits until one has ended, for
    /// at most `wait`.
    pub fn evict_one(&self, wait: Duration) {
        let seats = lock(&self.seats);
        let before = seats.taken.len();
        self.evict_one_of(&seats);
        drop(self.wait_while(seats, wait, |seats| seats.taken.len() >= before && !self.is_closing()));
    }

    fn evict_one_of(&self, seats: &Seats) -> bool {
        // The turn of the one that was picked may end meanwhile; then it is not the one any more.
        loop {
            let waiting = seats.taken.values().filter_map(|link| Some((link.look()?, link)));
            let Some((turn, link)) = waiting.min_by_key(|(turn, _)| *turn) else { return false };
            if link.close_during(turn) {
                self.stats.count_evicted();
                return true;
            }
        }
    }

    /// Whether the server is about to end. A connection that begins to wait for a request has to look here after.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Wakes whoever waits for a place.
    pub fn begin_closing(&self) {
        let _seats = lock(&self.seats);
        self.closing.store(true, Ordering::SeqCst);
        self.left.notify_all();
    }

    /// Closes the connections on which no request is under way, and waits for the others, for at most `grace`; those
    /// that are left are cut off. Returns how many requests were lost by that.
    pub fn close(&self, grace: Duration) -> usize {
        let seats = lock(&self.seats);
        for link in seats.taken.values().filter(|link| !link.has_request()) {
            link.look().map(|turn| link.close_during(turn));
        }
        let seats = self.wait_while(seats, grace, |seats| !seats.taken.is_empty());
        let lost = seats.taken.values().filter(|link| link.has_request()).count();
        seats.taken.values().for_each(|link| link.cut());
        lost
    }

    fn wait_while<'a>(
        &self,
        mut seats: MutexGuard<'a, Seats>,
        timeout: Duration,
        condition: impl Fn(&Seats) -> bool,
    ) -> MutexGuard<'a, Seats> {
        seats.awaited += 1;
        let waited = self.left.wait_timeout_while(seats, timeout, |seats| condition(seats));
        let mut seats = waited.unwrap_or_else(PoisonError::into_inner).0;
        seats.awaited -= 1;
        seats
    }
}
