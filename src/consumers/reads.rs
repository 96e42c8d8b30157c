//! Who has read which version last: as small as it can be kept, and quick to note what is known already.

use std::collections::{BTreeMap, HashMap};

use crate::clock::Timestamp;
use crate::vault::Kid;

/// For each secret and each client the versions that it has read, and when it last did.
#[derive(Default)]
pub struct Reads {
    /// Each client's number. There are no more of them than policies have had.
    numbers: BTreeMap<Box<str>, u32>,
    secrets: HashMap<Box<str>, Vec<Read>>,
}

/// The last time that a client has read a version: 24 bytes, of which there may be millions.
#[derive(Clone, Copy)]
struct Read {
    second: u64,
    at: Timestamp,
    ordinal: u32,
    client: u32,
}

impl Read {
    fn new(client: u32, kid: Kid, at: Timestamp) -> Self {
        let (second, ordinal) = kid.into();
        Self { second, at, ordinal, client }
    }

    fn kid(&self) -> Kid {
        (self.second, self.ordinal).into()
    }

    /// The reads of a secret are in the order of their clients, and of versions.
    fn place(&self) -> (u32, u64, u32) {
        (self.client, self.second, self.ordinal)
    }
}

/// What a client has read last of a secret, among the versions that are readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    client: u32,
    /// The version.
    pub kid: Kid,
    /// When.
    pub read_at: Timestamp,
    /// Whether it has ever read the current version.
    pub up_to_date: bool,
}

impl Reads {
    /// Notes a read, if it is one that is only later than what is known. Whatever the order in which the same reads are noted,
    /// the same is known in the end.
    pub fn update(&mut self, name: &str, client: &str, kid: Kid, at: Timestamp) -> bool {
        let Some(number) = self.numbers.get(client) else { return false };
        let Some(reads) = self.secrets.get_mut(name) else { return false };
        let read = Read::new(*number, kid, at);
        let Ok(place) = reads.binary_search_by_key(&read.place(), Read::place) else { return false };
        reads[place].at = reads[place].at.max(at);
        true
    }

    /// Notes a read that is new in some way. Where that would take more room, what is no longer `readable` makes room.
    pub fn insert(&mut self, name: &str, client: &str, kid: Kid, at: Timestamp, readable: impl Fn(Kid) -> bool) {
        let read = Read::new(self.number(client), kid, at);
        if !self.secrets.contains_key(name) {
            // Most secrets have one client, and by itself the first would take the room of four.
            self.secrets.insert(name.into(), Vec::with_capacity(1));
        }
        let reads = self.secrets.get_mut(name).expect("inserted above");
        if reads.len() == reads.capacity() {
            reads.retain(|read| readable(read.kid()));
        }
        match reads.binary_search_by_key(&read.place(), Read::place) {
            Ok(place) => reads[place].at = reads[place].at.max(at),
            Err(place) => reads.insert(place, read),
        }
    }

    fn number(&mut self, client: &str) -> u32 {
        let next = self.numbers.len() as u32;
        match self.numbers.get(client) {
            Some(number) => *number,
            None => *self.numbers.entry(client.into()).or_insert(next),
        }
    }

    /// Forgets all about a secret.
    pub fn forget(&mut self, name: &str) {
        self.secrets.remove(name);
    }

    /// What each client has read last that has read one of the `readable` versions of a secret, of which the first is the
    /// current one.
    pub fn last(&self, name: &str, readable: &[Kid]) -> impl Iterator<Item = Last> {
        let reads = self.secrets.get(name).map_or(&[][..], Vec::as_slice);
        reads.chunk_by(|one, next| one.client == next.client).filter_map(|reads| {
            let of_readable = reads.iter().filter(|read| readable.contains(&read.kid()));
            // Of two that were written down at once, the one of the newer version.
            let last = of_readable.max_by_key(|read| (read.at, read.kid()))?;
            Some(Last {
                client: last.client,
                kid: last.kid(),
                read_at: last.at,
                up_to_date: reads.iter().any(|read| readable.first() == Some(&read.kid())),
            })
        })
    }

    /// The same with the clients' names, in their order.
    pub fn last_by_name(&self, name: &str, readable: &[Kid]) -> Vec<(String, Last)> {
        let last: Vec<Last> = self.last(name, readable).collect();
        let of = |number: &u32| last.binary_search_by_key(number, |last| last.client).ok().map(|place| last[place]);
        self.numbers.iter().filter_map(|(client, number)| Some((client.to_string(), of(number)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_nanos(1_761_565_004_549_067_206);

    /// The first, second and third version of a secret.
    fn kids() -> [Kid; 3] {
        [0, 1, 2].map(|days| Kid::first(NOW.plus_days(days)))
    }

    /// Notes a read that came so many days later.
    fn note(reads: &mut Reads, name: &str, client: &str, kid: Kid, days: u32) {
        let at = NOW.plus_days(days);
        if !reads.update(name, client, kid, at) {
            reads.insert(name, client, kid, at, |_| true);
        }
    }

    /// Client, version, days, and whether it is up to date.
    fn told(reads: &Reads, name: &str, readable: &[Kid]) -> Vec<(String, Kid, u64, bool)> {
        let days = |at: Timestamp| (at.nanos() - NOW.nanos()) / 86_400_000_000_000;
        let told = reads.last_by_name(name, readable).into_iter();
        told.map(|(client, last)| (client, last.kid, days(last.read_at), last.up_to_date)).collect()
    }

    #[test]
    fn who_has_read_the_current_version_is_up_to_date_and_who_has_not_is_behind() {
        let [old, new, _] = kids();
        let mut reads = Reads::default();
        note(&mut reads, "db", "web", old, 0);
        note(&mut reads, "db", "worker", old, 1);
        note(&mut reads, "db", "web", new, 2);
        note(&mut reads, "other", "cron", old, 2);
        let expected = [("web".to_owned(), new, 2, true), ("worker".to_owned(), old, 1, false)];
        assert_eq!(told(&reads, "db", &[new, old]), expected);
        assert_eq!(told(&reads, "none", &[new, old]), []);
        // Who looks at the older one again knows the current one all the same.
        note(&mut reads, "db", "web", old, 3);
        assert_eq!(told(&reads, "db", &[new, old])[0], ("web".to_owned(), old, 3, true));
    }

    #[test]
    fn what_can_no_longer_be_read_does_not_count() {
        let [old, new, newest] = kids();
        let mut reads = Reads::default();
        note(&mut reads, "db", "web", old, 0);
        note(&mut reads, "db", "worker", old, 0);
        note(&mut reads, "db", "worker", new, 1);
        assert_eq!(told(&reads, "db", &[newest, new]), [("worker".to_owned(), new, 1, false)]);
        assert_eq!(told(&reads, "db", &[newest]), []);
        assert_eq!(told(&reads, "db", &[]), []);
    }

    #[test]
    fn the_same_reads_in_any_order_come_to_the_same() {
        let [old, new, _] = kids();
        let all = [("b", old, 3), ("a", new, 1), ("b", new, 3), ("a", old, 2), ("c", new, 9), ("c", new, 4)];
        let mut backwards = all;
        backwards.reverse();
        let [one, other] = [all, backwards].map(|order| {
            let mut reads = Reads::default();
            // Who comes second is called another number inside.
            order.iter().for_each(|(client, kid, days)| note(&mut reads, "db", client, *kid, *days));
            told(&reads, "db", &[new, old])
        });
        assert_eq!(one, other);
        let expected = [("a", old, 2, true), ("b", new, 3, true), ("c", new, 9, true)];
        assert_eq!(one, expected.map(|(client, kid, days, current)| (client.to_owned(), kid, days, current)));
    }

    #[test]
    fn versions_that_come_and_go_take_no_more_room() {
        let mut reads = Reads::default();
        for days in 0..1000 {
            let (kid, last) = (Kid::first(NOW.plus_days(days)), Kid::first(NOW.plus_days(days.max(1) - 1)));
            for client in ["web", "worker"] {
                reads.insert("db", client, kid, NOW, |read| read == kid || read == last);
            }
        }
        assert!(reads.secrets["db"].capacity() <= 8, "{}", reads.secrets["db"].capacity());
        reads.forget("db");
        assert!(reads.secrets.is_empty());
    }

    #[test]
    fn what_is_known_is_noted_without_a_new_entry_and_never_set_back() {
        let [old, ..] = kids();
        let mut reads = Reads::default();
        note(&mut reads, "db", "web", old, 5);
        for (name, client, kid) in [("db", "worker", old), ("other", "web", old), ("db", "web", old.next())] {
            assert!(!reads.update(name, client, kid, NOW), "{name} {client}");
        }
        assert!(reads.update("db", "web", old, NOW.plus_days(3)));
        assert_eq!(told(&reads, "db", &[old]), [("web".to_owned(), old, 5, true)]);
        assert_eq!(size_of::<Read>(), 24);
    }
}
