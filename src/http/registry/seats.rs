//! The places of all connections: who has one, what it holds, and who gives one up for whom.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::http::Source;
use crate::http::link::{ClientsTurn, Link};
use crate::http::standing::Standing;

/// Sources that have no more than this part of what there is are alike: where each of many takes a little, it is not those who
/// have taken twice that who are to blame.
pub const FAIR_PART: usize = 8;
/// The part of all places that newcomers, who have not said who they are yet, get of the others' if they need it.
const NEW_PART: usize = 4;

/// Who has which place.
#[derive(Default)]
pub struct Seats {
    pub taken: HashMap<u64, SeatedConnection>,
    pub next: u64,
    /// Threads that wait for one to become free.
    pub awaited: usize,
    /// How many connections each source, and each site, has.
    sources: HashMap<Source, usize>,
    /// How many bytes all of them hold.
    pub held: usize,
    /// Which of those that were asked for their place is to leave it.
    pub wanted: Option<AskedToLeave>,
    /// When somebody was last asked for a place and nobody left one.
    pub in_vain: Option<Instant>,
}

/// Of those that are at work, one that leaves its place with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedToLeave {
    /// One that does not say who it is.
    Passing,
    /// One of a source that has more than half of all places.
    Greedy,
}

/// A connection that has a place.
pub struct SeatedConnection {
    pub link: Arc<Link>,
    pub source: Source,
    pub held: usize,
}

impl SeatedConnection {
    fn standing(&self) -> Standing {
        self.link.peer.standing()
    }
}

impl Seats {
    /// Gives a place to a connection of `source`, and returns its number.
    pub fn take(&mut self, link: Arc<Link>, source: Source) -> u64 {
        let number = self.next;
        self.next += 1;
        self.taken.insert(number, SeatedConnection { link, source, held: 0 });
        for source in [Some(source), source.site()].into_iter().flatten() {
            *self.sources.entry(source).or_default() += 1;
        }
        number
    }

    pub fn leave(&mut self, number: u64) {
        let Some(SeatedConnection { source, held, .. }) = self.taken.remove(&number) else { return };
        self.held -= held;
        for source in [Some(source), source.site()].into_iter().flatten() {
            match self.sources.get_mut(&source) {
                Some(count @ 2..) => *count -= 1,
                _ => drop(self.sources.remove(&source)),
            }
        }
    }

    /// The places whose client keeps us waiting, and since when.
    pub fn waiting(&self) -> impl Iterator<Item = (ClientsTurn, u64, &SeatedConnection)> {
        self.taken.iter().filter_map(|(number, place)| Some((place.link.look()?, *number, place)))
    }

    /// The connections whose request is being answered.
    fn at_work(&self) -> impl Iterator<Item = &SeatedConnection> {
        self.taken.values().filter(|place| place.link.is_at_work())
    }

    fn count(&self, source: Source) -> usize {
        self.sources.get(&source).copied().unwrap_or_default()
    }

    /// Whether `source` has more than half of `capacity` places.
    pub fn is_greedy(&self, source: Source, capacity: usize) -> bool {
        self.count(source) > capacity.div_ceil(2)
    }

    /// Who has to give way if `number` is to hold `bytes`, and may be that one itself: of those that do not say who they are,
    /// and then of the source that holds the most, the one that has kept us waiting for the longest time. Newcomers are asked
    /// before those that are known if they hold more than half of `max` bytes. Sources that hold little of it are alike.
    pub fn slowest(&self, number: u64, bytes: usize, max: usize) -> Option<(ClientsTurn, u64, &SeatedConnection)> {
        let mut shares: HashMap<Source, usize> = HashMap::new();
        let mut held_by_new = 0;
        for (other, place) in &self.taken {
            let held = if *other == number { bytes } else { place.held };
            *shares.entry(place.source).or_default() += held;
            held_by_new += if place.standing() == Standing::New { held } else { 0 };
        }
        let is_crowded = held_by_new > max / 2;
        let excess = |place: &SeatedConnection| shares[&place.source].saturating_sub(max / FAIR_PART);
        let candidates = self.waiting().filter(|(_, other, place)| *other == number || place.held > 0);
        candidates.min_by_key(|(turn, _, place)| {
            let is_known = match place.standing() {
                Standing::Passing => false,
                Standing::New => !is_crowded,
                Standing::Identified => true,
            };
            (is_known, Reverse(excess(place)), *turn)
        })
    }

    /// Whether some of what is held becomes free without the clients' doing: it is being worked on, or its connection was closed.
    pub fn is_room_coming(&self) -> bool {
        self.taken.values().any(|place| place.held > 0 && place.link.look().is_none())
    }

    /// What all would hold if this one held `bytes`.
    pub fn held_if(&self, number: u64, bytes: usize) -> usize {
        self.held - self.taken.get(&number).map_or(0, |place| place.held) + bytes
    }

    pub fn set_held(&mut self, number: u64, bytes: usize) {
        self.held = self.held_if(number, bytes);
        if let Some(place) = self.taken.get_mut(&number) {
            place.held = bytes;
        }
    }
}

/// A claim to one of `capacity` places, all of which are taken.
pub struct SeatClaim<'a> {
    seats: &'a Seats,
    capacity: usize,
    /// Whose it is; none: nobody's, any place will do.
    newcomer: Option<Source>,
    /// Whether newcomers have more places than they get of the others'.
    is_crowded: bool,
}

impl<'a> SeatClaim<'a> {
    pub fn of(newcomer: Option<Source>, seats: &'a Seats, capacity: usize) -> Self {
        let new = seats.taken.values().filter(|place| place.standing() == Standing::New).count();
        let is_crowded = new + usize::from(newcomer.is_some()) > (capacity / NEW_PART).max(1);
        Self { seats, capacity, newcomer, is_crowded }
    }

    /// Of those that do not say who they are, the one whose client is to be closed.
    pub fn first_passing(&self) -> Option<(ClientsTurn, &'a SeatedConnection)> {
        self.first(|place| (place.standing() == Standing::Passing).then_some(0))
    }

    /// The one that is to be closed where there is none of those. One that is known does not make room for newcomers that have
    /// their share.
    pub fn first_of_others(&self) -> Option<(ClientsTurn, &'a SeatedConnection)> {
        self.first(|place| match (place.standing(), self.is_crowded) {
            (Standing::Passing | Standing::New, true) | (Standing::Identified, false) => Some(0),
            (Standing::Passing | Standing::New, false) => Some(1),
            (Standing::Identified, true) => None,
        })
    }

    /// Of those with the lowest rank, and then of the source that has the most, the one that has waited for the longest time.
    fn first(&self, rank: impl Fn(&SeatedConnection) -> Option<u8>) -> Option<(ClientsTurn, &'a SeatedConnection)> {
        let waiting = self.seats.waiting().filter(|(_, _, place)| self.may_have(place));
        let ranked = waiting.filter_map(|(turn, _, place)| Some((rank(place)?, turn, place)));
        let first = ranked.min_by_key(|(rank, turn, place)| (*rank, Reverse(self.excess(place.source)), *turn));
        first.map(|(_, turn, place)| (turn, place))
    }

    /// Asks those at work for their place that do not say who they are, or will not; false if there is none.
    pub fn ask_passing(&self) -> bool {
        self.ask(|place| match place.standing() {
            Standing::Passing => self.may_have(place),
            // Nobody knows yet, but there are too many of them.
            Standing::New => self.is_crowded && self.may_have(place),
            Standing::Identified => false,
        })
    }

    /// Asks those at work for their place whose source has more than half of all, if that is not the newcomer's.
    pub fn ask_greedy(&self) -> bool {
        let is_others = |source| self.newcomer.is_some_and(|newcomer| newcomer != source);
        self.ask(|place| is_others(place.source) && self.seats.is_greedy(place.source, self.capacity))
    }

    fn ask(&self, whom: impl Fn(&SeatedConnection) -> bool) -> bool {
        let asked = self.seats.at_work().filter(|place| whom(place)).map(|place| place.link.ask_for_place());
        asked.count() > 0
    }

    /// Whether the newcomer may have this one's place: a source, or a site, that has more than half of all gets none of the
    /// others'.
    fn may_have(&self, place: &SeatedConnection) -> bool {
        let half = self.capacity.div_ceil(2);
        let Some(newcomer) = self.newcomer else { return true };
        match newcomer.site() {
            _ if self.count(newcomer) > half => place.source == newcomer,
            Some(site) if self.count(site) > half => place.source.site() == Some(site),
            _ => true,
        }
    }

    /// By how much a source has more than its part; or its site more than that of some sources.
    fn excess(&self, source: Source) -> usize {
        let fair = self.capacity / FAIR_PART;
        let of_site = source.site().map_or(0, |site| self.count(site).saturating_sub(fair * Source::OF_A_SITE));
        self.count(source).saturating_sub(fair).max(of_site)
    }

    fn count(&self, source: Source) -> usize {
        let is_newcomers = self.newcomer.is_some_and(|newcomer| newcomer == source || newcomer.site() == Some(source));
        self.seats.count(source) + usize::from(is_newcomers)
    }
}
