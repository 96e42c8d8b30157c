//! Who is connected, how many may be, what they may hold, and who has to go when there is no room.

use std::cell::Cell;
use std::mem::take;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::link::{ClientsTurn, Link};
use super::standing::Standing;
use super::{ConnectionStats, Source};
use crate::base::sync::lock;
use seats::{AskedToLeave, SeatClaim, SeatedConnection, Seats};

mod seats;
#[cfg(test)]
mod tests;

/// How long a thread may take to leave a connection that was closed under it, or that it was asked for. It only has to wake
/// up, or to finish an answer that is made without waiting for anything.
const LEAVING: Duration = Duration::from_secs(1);
/// How often it is looked who can be closed while those at work are asked for a place.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes that a request or an answer may have without asking for room.
const SMALL: usize = 8 * 1024;
/// An answer counts as no more than this part of what all may hold, or the largest would be cut off for any other.
const ANSWER_PART: usize = 32;
/// The part of all places that connections keep which do not say who they are.
const PASSING_PART: usize = 4;

/// All open connections of a server.
pub struct Registry {
    /// How many connections there may be at a time.
    pub capacity: usize,
    /// How many bytes those may hold together that hold more than a few.
    max_held: usize,
    /// [`LEAVING`], except in tests.
    leaving: Duration,
    stats: Arc<ConnectionStats>,
    seats: Mutex<Seats>,
    left: Condvar,
    closing: AtomicBool,
    /// How many connections there are that were answered and do not say who they are.
    passing: AtomicUsize,
}

/// A connection that was let in. When it is dropped, its socket is closed, and then its place is free.
pub struct Visit {
    /// The connection's socket. It stands before the seat, which thus drops, and closes, the last reference to it.
    pub link: Arc<Link>,
    seat: Seat,
    held: Cell<usize>,
    /// Bytes of the answer that it is going to hold.
    answer: Cell<usize>,
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

    /// Notes that a request of the connection is being answered. Returns whether another one may follow on it: a client that
    /// does not say who it is keeps its connection only while few do, and its place goes to one that waits for it. So does
    /// that of a source that has more than half of all.
    pub fn may_stay(&self) -> bool {
        let registry = &self.seat.registry;
        let is_passing = self.link.peer.answered() == Standing::Passing;
        self.seat.set_passing(is_passing);
        if is_passing && registry.passing.load(Ordering::Relaxed) > (registry.capacity / PASSING_PART).max(1) {
            return false;
        }
        !(self.link.was_asked_for_place() && registry.lets_go(&self.link, is_passing))
    }

    /// Notes that the connection ends as soon as its client has read the last answer. Until then it is the first to make room.
    pub fn part(&self) {
        self.link.peer.parts();
        self.seat.set_passing(true);
    }

    /// Lets go of the request, and notes that an answer of so many bytes takes its place. It does not count as long as the
    /// client takes what it is sent: then it is gone before anybody could make room.
    pub fn expect_answer(&self, bytes: usize) {
        self.answer.set(count(bytes.min(self.seat.registry.max_held / ANSWER_PART)));
        self.set_held(0);
    }

    /// Notes that the client does not take the answer at once, so that the connection holds it. If that is more than there is
    /// room for, one that keeps us waiting has to go.
    pub fn hold_answer(&self) {
        if self.answer.get() > 0 {
            self.set_held(self.answer.get());
        }
    }

    fn set_held(&self, bytes: usize) {
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
    /// It is among the registry's `passing`.
    is_passing: Cell<bool>,
}

impl Seat {
    fn set_passing(&self, is_passing: bool) {
        if self.is_passing.replace(is_passing) != is_passing {
            match is_passing {
                true => self.registry.passing.fetch_add(1, Ordering::Relaxed),
                false => self.registry.passing.fetch_sub(1, Ordering::Relaxed),
            };
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.set_passing(false);
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
    pub fn new(capacity: usize, max_held: usize, stats: Arc<ConnectionStats>) -> Self {
        let (seats, left, closing) = (Mutex::default(), Condvar::new(), AtomicBool::new(false));
        let passing = AtomicUsize::new(0);
        Self { capacity, max_held, leaving: LEAVING, stats, seats, left, closing, passing }
    }

    /// Lets a connection in. If all places are taken, another one has to make room.
    ///
    /// The first are those that were answered and do not say who they are: one whose client keeps us waiting is closed, and
    /// where all of them are at work, the first that is done leaves. Then newcomers, as long as they have more than a quarter
    /// of all places, and else those whose client is known. Of these, it is the one that has kept us waiting for the longest
    /// time, of the source that has the most. A source that has more than half of all places gets none of the others', and
    /// leaves one where nobody else can. If there is no room, `link` is given back.
    pub fn enter(self: &Arc<Self>, link: Link) -> Result<Visit, Link> {
        let source = link.peer.source();
        let mut seats = self.make_room(lock(&self.seats), source);
        if seats.taken.len() >= self.capacity {
            return Err(link);
        }
        let link = Arc::new(link);
        let number = seats.take(link.clone(), source);
        self.stats.set_open(seats.taken.len());
        let seat = Seat { registry: self.clone(), number, is_passing: Cell::new(false) };
        Ok(Visit { link, seat, held: Cell::default(), answer: Cell::default() })
    }

    /// Makes a connection leave its place to a newcomer of `source`, if all are taken, and waits until the place is free.
    fn make_room<'a>(&'a self, mut seats: MutexGuard<'a, Seats>, source: Source) -> MutexGuard<'a, Seats> {
        let is_full = |seats: &Seats| seats.taken.len() >= self.capacity && !self.is_closing();
        let deadline = Instant::now() + self.leaving;
        // Where those at work do not come to an end, not every newcomer finds that out anew.
        let is_patient = seats.in_vain.is_none_or(|when| when.elapsed() >= self.leaving);
        while is_full(&seats) {
            let may_ask = is_patient && Instant::now() < deadline;
            let claim = SeatClaim::of(Some(source), &seats, self.capacity);
            let wanted = if self.close(|| claim.first_passing()) {
                None
            } else if may_ask && claim.ask_passing() {
                Some(AskedToLeave::Passing)
            } else if self.close(|| claim.first_of_others()) {
                None
            } else if may_ask && claim.ask_greedy() {
                Some(AskedToLeave::Greedy)
            } else {
                break;
            };
            if wanted.is_none() {
                return self.wait_while(seats, self.leaving, is_full);
            }
            seats.wanted = wanted;
            seats = self.wait_while(seats, LOOK, is_full);
            seats.wanted = None;
            if is_full(&seats) && Instant::now() >= deadline {
                seats.in_vain = Some(Instant::now());
            }
        }
        seats
    }

    /// Whether this connection, whose place was asked for, leaves it: somebody still wants it, and it is of those that are to
    /// leave one.
    fn lets_go(&self, link: &Link, is_passing: bool) -> bool {
        let mut seats = lock(&self.seats);
        let is_meant = match seats.wanted {
            None => false,
            Some(AskedToLeave::Passing) => is_passing,
            Some(AskedToLeave::Greedy) => seats.is_greedy(link.peer.source(), self.capacity),
        };
        is_meant && take(&mut seats.wanted).is_some()
    }

    /// How many clients keep us waiting at this moment.
    pub fn waiting(&self) -> usize {
        lock(&self.seats).waiting().count()
    }

    /// Closes a connection, as if another one had to be let in, and waits until one has ended, for at most `wait`.
    pub fn evict_one(&self, wait: Duration) {
        let seats = lock(&self.seats);
        let before = seats.taken.len();
        let claim = SeatClaim::of(None, &seats, self.capacity);
        let _ = self.close(|| claim.first_passing()) || self.close(|| claim.first_of_others());
        drop(self.wait_while(seats, wait, |seats| seats.taken.len() >= before && !self.is_closing()));
    }

    /// Closes the connection that `first` picks. The turn of its client may end meanwhile; then it is not the one any more.
    fn close<'a>(&self, first: impl Fn() -> Option<(ClientsTurn, &'a SeatedConnection)>) -> bool {
        std::iter::from_fn(first).any(|(turn, place)| self.close_during(turn, place))
    }

    fn close_during(&self, turn: ClientsTurn, place: &SeatedConnection) -> bool {
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
            match seats.slowest(number, bytes, self.max_held) {
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
            && let Some((turn, _, place)) = seats.slowest(number, bytes, self.max_held)
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
    pub fn close_all(&self, grace: Duration) -> usize {
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
