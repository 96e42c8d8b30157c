//! Who is connected, how many may be, what they may hold, and who has to go when there is no room.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::link::{ClientsTurn, Link};
use super::{Source, Stats};
use crate::sync::lock;

#[cfg(test)]
mod tests;

/// How long a thread may take to leave a connection that was closed under it. It only has to wake up.
const LEAVING: Duration = Duration::from_secs(1);
/// Bytes that a request or an answer may have without asking for room.
const SMALL: usize = 8 * 1024;
/// Sources that have no more than this part of what there is are alike: where each of many takes a little, it is not those who
/// have taken twice that who are to blame.
const FAIR_PART: usize = 8;
/// An answer counts as no more than this part of what all may hold, or the largest would be cut off for any other.
const ANSWER_PART: usize = 32;

/// All open connections of a server.
pub struct Registry {
    /// How many connections there may be at a time.
    pub capacity: usize,
    /// How many bytes those may hold together that hold more than a few.
    max_held: usize,
    /// [`LEAVING`], except in tests.
    leaving: Duration,
    stats: Arc<Stats>,
    seats: Mutex<Seats>,
    left: Condvar,
    closing: AtomicBool,
}

#[derive(Default)]
struct Seats {
    taken: HashMap<u64, Place>,
    next: u64,
    /// Threads that wait for one to become free.
    awaited: usize,
    /// How many connections each source has.
    sources: HashMap<Source, usize>,
    /// How many bytes all of them hold.
    held: usize,
}

struct Place {
    link: Arc<Link>,
    source: Source,
    held: usize,
}

impl Seats {
    /// The places whose client keeps us waiting, and since when.
    fn waiting(&self) -> impl Iterator<Item = (ClientsTurn, u64, &Place)> {
        self.taken.iter().filter_map(|(number, place)| Some((place.link.look()?, *number, place)))
    }

    /// Who has to give way if `number` is to hold `bytes`, and may be that one itself: of the source that holds the most, the
    /// one that has kept us waiting for the longest time. Sources that hold no more than `fair` are alike.
    fn slowest(&self, number: u64, bytes: usize, fair: usize) -> Option<(ClientsTurn, u64, &Place)> {
        let mut shares: HashMap<Source, usize> = HashMap::new();
        for (other, place) in &self.taken {
            *shares.entry(place.source).or_default() += if *other == number { bytes } else { place.held };
        }
        let candidates = self.waiting().filter(|(_, other, place)| *other == number || place.held > 0);
        candidates.min_by_key(|(turn, _, place)| (Reverse(shares[&place.source].saturating_sub(fair)), *turn))
    }

    /// Whether some of what is held becomes free without the clients' doing: it is being worked on, or its connection was closed.
    fn is_room_coming(&self) -> bool {
        self.taken.values().any(|place| place.held > 0 && place.link.look().is_none())
    }

    /// What all would hold if this one held `bytes`.
    fn held_if(&self, number: u64, bytes: usize) -> usize {
        self.held - self.taken.get(&number).map_or(0, |place| place.held) + bytes
    }

    fn set_held(&mut self, number: u64, bytes: usize) {
        self.held = self.held_if(number, bytes);
        if let Some(place) = self.taken.get_mut(&number) {
            place.held = bytes;
        }
    }

    fn count(&self, source: Source) -> usize {
        self.sources.get(&source).copied().unwrap_or_default()
    }

    fn leave(&mut self, number: u64) {
        let Some(Place { source, held, .. }) = self.taken.remove(&number) else { return };
        self.held -= held;
        match self.sources.get_mut(&source) {
            Some(count @ 2..) => *count -= 1,
            _ => drop(self.sources.remove(&source)),
        }
    }
}

/// A connection that was let in. When it is dropped, its socket is closed, and then its place is free.
pub struct Visit {
    /// The connection's socket. It stands before the seat, which thus drops, and closes, the last reference to it.
    pub link: Arc<Link>,
    seat: Seat,
    held: Cell<usize>,
}

impl Visit {
    /// Lets the connection hold a request of that many bytes. If there is no room, the client that has kept us waiting for
    /// the longest time, of those that hold something, has to make it; false if that is this one, or we keep all of them
    /// waiting, or it was closed.
    pub fn hold(&self, bytes: usize) -> bool {
        let bytes = count(bytes);
        let holds = bytes == self.held.get() || self.seat.registry.hold(self, bytes);
        if holds {
            self.held.set(bytes);
        }
        holds
    }

    /// Notes that the connection holds an answer of that many bytes now, or nothing. If that is more than there is room for,
    /// one that keeps us waiting has to go.
    pub fn hold_answer(&self, bytes: usize) {
        let bytes = count(bytes.min(self.seat.registry.max_held / ANSWER_PART));
        if bytes != self.held.replace(bytes) {
            self.seat.registry.hold_anyway(self.seat.number, bytes);
        }
    }
}

/// What counts of so many bytes.
fn count(bytes: usize) -> usize {
    if bytes > SMALL { bytes } else { 0 }
}

struct Seat {
    registry: Arc<Registry>,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = lock(&self.registry.seats);
        seats.leave(self.number);
        self.registry.stats.set_open(seats.taken.len());
        let is_awaited = seats.awaited > 0;
        drop(seats);
        if is_awaited {
            self.registry.left.notify_all();
        }
    }
}

impl Registry {
    /// A registry for at most `capacity` connections, which may hold `max_held` bytes of large requests and answers. It
    /// keeps `stats` up to date.
    pub fn new(capacity: usize, max_held: usize, stats: Arc<Stats>) -> Self {
        let (seats, left, closing) = (Mutex::default(), Condvar::new(), AtomicBool::new(false));
        Self { capacity, max_held, leaving: LEAVING, stats, seats, left, closing }
    }

    /// Lets a connection in. If all places are taken, one whose client keeps us waiting has to make room: of the source
    /// that has the most, the one that has done so for the longest time. A source that has more than half of all places
    /// gets none of the others'. If there is no such one, `link` is given back.
    pub fn enter(self: &Arc<Self>, link: Link) -> Result<Visit, Link> {
        let mut seats = lock(&self.seats);
        let source = link.peer.source();
        if seats.taken.len() >= self.capacity {
            if !self.evict_one_of(&seats, Some(source)) {
                return Err(link);
            }
            seats =
                self.wait_while(seats, self.leaving, |seats| seats.taken.len() >= self.capacity && !self.is_closing());
            if seats.taken.len() >= self.capacity {
                return Err(link);
            }
        }
        let link = Arc::new(link);
        let number = seats.next;
        seats.next += 1;
        seats.taken.insert(number, Place { link: link.clone(), source, held: 0 });
        *seats.sources.entry(source).or_default() += 1;
        self.stats.set_open(seats.taken.len());
        Ok(Visit { link, seat: Seat { registry: self.clone(), number }, held: Cell::new(0) })
    }

    /// How many clients keep us waiting at this moment.
    pub fn waiting(&self) -> usize {
        lock(&self.seats).waiting().count()
    }

    /// Closes a connection, as if another one had to be let in, and waits until one has ended, for at most `wait`.
    pub fn evict_one(&self, wait: Duration) {
        let seats = lock(&self.seats);
        let before = seats.taken.len();
        self.evict_one_of(&seats, None);
        drop(self.wait_while(seats, wait, |seats| seats.taken.len() >= before && !self.is_closing()));
    }

    fn evict_one_of(&self, seats: &Seats, newcomer: Option<Source>) -> bool {
        let count = |source| seats.count(source) + usize::from(newcomer == Some(source));
        let greedy = newcomer.filter(|source| count(*source) > self.capacity.div_ceil(2));
        // The turn of the one that was picked may end meanwhile; then it is not the one any more.
        loop {
            let candidates = seats.waiting().filter(|(_, _, place)| greedy.is_none_or(|source| source == place.source));
            let excess = |source| count(source).saturating_sub(self.capacity / FAIR_PART);
            let first = candidates.min_by_key(|(turn, _, place)| (Reverse(excess(place.source)), *turn));
            let Some((turn, _, place)) = first else { return false };
            if self.close_during(turn, place) {
                return true;
            }
        }
    }

    fn close_during(&self, turn: ClientsTurn, place: &Place) -> bool {
        let is_closed = place.link.close_during(turn);
        if is_closed {
            self.stats.count_evicted();
            // It may be waiting for room itself.
            self.left.notify_all();
        }
        is_closed
    }

    /// See [`Visit::hold`].
    fn hold(&self, visit: &Visit, bytes: usize) -> bool {
        let (link, number) = (&visit.link, visit.seat.number);
        let deadline = Instant::now() + self.leaving;
        let mut seats = lock(&self.seats);
        while !link.is_closed() {
            let (held, then) = (seats.held, seats.held_if(number, bytes));
            if then < held || then <= self.max_held {
                seats.set_held(number, bytes);
                return true;
            }
            match seats.slowest(number, bytes, self.max_held / FAIR_PART) {
                Some((_, slowest, _)) if slowest == number && !seats.is_room_coming() => return false,
                Some((_, slowest, _)) if slowest == number => {}
                Some((turn, _, place)) if !self.close_during(turn, place) => continue,
                _ => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let is_to_wait = |seats: &Seats| seats.held >= held && !self.is_closing() && !link.is_closed();
            seats = self.wait_while(seats, left, is_to_wait);
            if seats.held >= held {
                return false;
            }
        }
        false
    }

    /// See [`Visit::hold_answer`].
    fn hold_anyway(&self, number: u64, bytes: usize) {
        let mut seats = lock(&self.seats);
        let before = seats.held;
        seats.set_held(number, bytes);
        if seats.held < before {
            self.left.notify_all();
        } else if seats.held > self.max_held
            && let Some((turn, _, place)) = seats.slowest(number, bytes, self.max_held / FAIR_PART)
        {
            self.close_during(turn, place);
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
        for (turn, _, place) in seats.waiting().filter(|(_, _, place)| !place.link.has_request()) {
            place.link.close_during(turn);
        }
        let seats = self.wait_while(seats, grace, |seats| !seats.taken.is_empty());
        let lost = seats.taken.values().filter(|place| place.link.has_request()).count();
        seats.taken.values().for_each(|place| place.link.cut());
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
