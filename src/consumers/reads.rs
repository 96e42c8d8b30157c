//! Who has read which version last: as small as it can be kept, and quick to note what is known already.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use crate::base::clock::Timestamp;
use crate::base::sync::{Breaks, lock};
use crate::vault::Kid;

/// How many reads, or clients, are looked at under one lock. Others want to note theirs meanwhile.
pub const PAGE: usize = 512;

const NANOS_OF_MINUTE: u64 = 60 * 1_000_000_000;

/// For each secret and each of its versions the clients that have read it, and when each last did.
#[derive(Default)]
pub struct Reads {
    /// Each client's number. There are no more of them than policies have had.
    numbers: BTreeMap<Arc<str>, u32>,
    /// The clients by their numbers.
    clients: Vec<Arc<str>>,
    /// In the order of the versions.
    secrets: HashMap<Box<str>, Vec<OfVersion>>,
}

/// The reads of a version. What is noted costs what these are, and not what all of the secret's are.
pub struct OfVersion {
    kid: Kid,
    /// In the order of the clients.
    reads: Vec<Read>,
}

/// The last time that a client has read a version: 16 bytes, of which there may be millions.
#[derive(Clone, Copy)]
pub struct Read {
    at: Timestamp,
    client: u32,
    /// In which minute since the Unix epoch the daemons that share the vault were told of it last; 0: never.
    told: u32,
}

/// Some of a secret's reads.
struct Page {
    /// Each with its version.
    reads: Vec<(Kid, Read)>,
    /// Where the next page begins; none: this is the last one.
    next: Option<(Kid, u32)>,
}

/// What a client has read last of a secret, among the versions that are readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    pub kid: Kid,
    pub read_at: Timestamp,
    /// Whether it has ever read the current version.
    pub up_to_date: bool,
}

impl Reads {
    /// Notes a read of a version of which one is known already. Whatever the order in which the same reads are noted, the same
    /// is known in the end.
    pub fn update(&mut self, name: &str, client: &str, kid: Kid, at: Timestamp) -> bool {
        let Some(versions) = self.secrets.get_mut(name) else { return false };
        let Ok(place) = place_of(versions, kid) else { return false };
        let version = &mut versions[place];
        version.note(number(&mut self.numbers, &mut self.clients, client), at);
        true
    }

    /// Notes a read, also the first one of a version. Where that would take more room, versions that are no longer `readable`
    /// make room; that is asked of each once.
    pub fn insert(&mut self, name: &str, client: &str, kid: Kid, at: Timestamp, readable: impl Fn(Kid) -> bool) {
        if self.update(name, client, kid, at) {
            return;
        }
        if !self.secrets.contains_key(name) {
            // Most secrets have one version and one client, and by itself the first of each would take the room of four.
            self.secrets.insert(name.into(), Vec::with_capacity(1));
        }
        let versions = self.secrets.get_mut(name).expect("inserted above");
        if versions.len() == versions.capacity() {
            versions.retain(|version| readable(version.kid));
        }
        let mut version = OfVersion { kid, reads: Vec::with_capacity(1) };
        version.note(number(&mut self.numbers, &mut self.clients, client), at);
        let (Ok(place) | Err(place)) = place_of(versions, kid);
        versions.insert(place, version);
    }

    /// When the daemons that share the vault were told last, to the minute, that a client has read a version; none: never.
    pub fn told(&self, name: &str, client: &str, kid: Kid) -> Option<Timestamp> {
        let client = self.numbers.get(client)?;
        let versions = self.secrets.get(name)?;
        let version = &versions[place_of(versions, kid).ok()?];
        let place = version.reads.binary_search_by_key(client, |read| read.client).ok()?;
        let minute = u64::from(version.reads[place].told);
        (minute > 0).then(|| Timestamp::from_nanos(minute * NANOS_OF_MINUTE))
    }

    /// Notes that they were told at this time, if the read is noted.
    pub fn tell(&mut self, name: &str, client: &str, kid: Kid, at: Timestamp) {
        let (Some(client), Some(versions)) = (self.numbers.get(client), self.secrets.get_mut(name)) else { return };
        let Ok(version) = place_of(versions, kid) else { return };
        let reads = &mut versions[version].reads;
        if let Ok(place) = reads.binary_search_by_key(client, |read| read.client) {
            let minute = (at.nanos() / NANOS_OF_MINUTE) as u32;
            reads[place].told = reads[place].told.max(minute.max(1));
        }
    }

    /// Forgets all about a secret. What is returned is to be dropped outside of the lock.
    pub fn forget(&mut self, name: &str) -> Option<Vec<OfVersion>> {
        let forgotten = self.secrets.remove(name);
        // As seldom as it grows: each time to half of the room, or less.
        if self.secrets.len() < self.secrets.capacity() / 4 {
            self.secrets.shrink_to(self.secrets.len() * 2);
        }
        forgotten
    }

    /// The reads of a secret from this version and client on (none: from the first), as many as are looked at under one lock.
    fn page(&self, name: &str, from: Option<(Kid, u32)>) -> Page {
        let versions = self.secrets.get(name).map_or(&[][..], Vec::as_slice);
        let begun = |version: &OfVersion, client| version.reads.partition_point(|read| read.client < client);
        let first = from.map_or(0, |(kid, _)| versions.partition_point(|version| version.kid < kid));
        let mut page = Page { reads: Vec::new(), next: None };
        for version in &versions[first..] {
            let begun = from.filter(|(kid, _)| *kid == version.kid).map_or(0, |(_, client)| begun(version, client));
            for read in &version.reads[begun..] {
                if page.reads.len() == PAGE {
                    page.next = Some((version.kid, read.client));
                    return page;
                }
                page.reads.push((version.kid, *read));
            }
        }
        page
    }

    pub fn names<'a>(&self, numbers: impl Iterator<Item = &'a u32>) -> Vec<Arc<str>> {
        numbers.map(|number| self.clients[*number as usize].clone()).collect()
    }
}

/// Gets one page of a secret's reads after the other, each under a short lock, and calls `take` outside of it.
pub fn turn_pages(reads: &Mutex<Reads>, name: &str, mut take: impl FnMut(Vec<(Kid, Read)>)) {
    let mut breaks = Breaks::begin();
    let mut from = None;
    loop {
        let page = lock(reads).page(name, from);
        take(page.reads);
        from = page.next;
        if from.is_none() {
            return;
        }
        breaks.take_if_due();
    }
}

/// The client's number, which it is given if it has none.
fn number(numbers: &mut BTreeMap<Arc<str>, u32>, clients: &mut Vec<Arc<str>>, client: &str) -> u32 {
    if let Some(number) = numbers.get(client) {
        return *number;
    }
    let (number, client) = (clients.len() as u32, Arc::<str>::from(client));
    numbers.insert(client.clone(), number);
    clients.push(client);
    number
}

/// Where the reads of a version are, or else would be.
fn place_of(versions: &[OfVersion], kid: Kid) -> Result<usize, usize> {
    versions.binary_search_by_key(&kid, |version| version.kid)
}

impl OfVersion {
    fn note(&mut self, client: u32, at: Timestamp) {
        match self.reads.binary_search_by_key(&client, |read| read.client) {
            Ok(place) => self.reads[place].at = self.reads[place].at.max(at),
            Err(place) => self.reads.insert(place, Read { at, client, told: 0 }),
        }
    }
}

/// What each client has read last, by the clients' numbers.
#[derive(Default)]
pub struct Summary(BTreeMap<u32, Last>);

impl Summary {
    /// Takes a read of a version that can be read into account.
    pub fn add(&mut self, kid: Kid, read: Read, is_current: bool) {
        let found = Last { kid, read_at: read.at, up_to_date: is_current };
        let last = self.0.entry(read.client).or_insert(found);
        let up_to_date = last.up_to_date || is_current;
        // Of two that were written down at once, the one of the newer version.
        if (found.read_at, found.kid) > (last.read_at, last.kid) {
            *last = found;
        }
        last.up_to_date = up_to_date;
    }

    /// The clients' numbers and what each has read.
    pub fn into_last(self) -> Vec<(u32, Last)> {
        self.0.into_iter().collect()
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
        let (mut summary, page) = (Summary::default(), reads.page(name, None));
        assert!(page.next.is_none());
        for (kid, read) in page.reads.into_iter().filter(|(kid, _)| readable.contains(kid)) {
            summary.add(kid, read, readable.first() == Some(&kid));
        }
        let name = |number: u32| reads.names([number].iter())[0].to_string();
        let last = summary.into_last().into_iter();
        let mut told: Vec<_> =
            last.map(|(client, last)| (name(client), last.kid, days(last.read_at), last.up_to_date)).collect();
        told.sort();
        told
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
        assert!(reads.secrets["db"].capacity() <= 4, "{}", reads.secrets["db"].capacity());
        assert!(reads.secrets["db"].iter().all(|version| version.reads.capacity() <= 4));
        reads.forget("db");
        assert!(reads.secrets.is_empty());
    }

    #[test]
    fn secrets_that_were_forgotten_leave_no_room_behind() {
        let [kid, ..] = kids();
        let mut reads = Reads::default();
        (0..10_000).for_each(|n| note(&mut reads, &format!("db-{n}"), "web", kid, 0));
        (0..9_990).for_each(|n| drop(reads.forget(&format!("db-{n}"))));
        assert!(reads.secrets.capacity() < 100, "{}", reads.secrets.capacity());
        assert_eq!(told(&reads, "db-9999", &[kid]), [("web".to_owned(), kid, 0, true)]);
    }

    #[test]
    fn what_is_noted_is_never_set_back_and_a_version_begins_with_an_insertion() {
        let [old, ..] = kids();
        let mut reads = Reads::default();
        note(&mut reads, "db", "web", old, 5);
        for (name, kid) in [("other", old), ("db", old.next())] {
            assert!(!reads.update(name, "web", kid, NOW), "{name}");
        }
        assert!(reads.update("db", "web", old, NOW.plus_days(3)));
        assert_eq!(told(&reads, "db", &[old]), [("web".to_owned(), old, 5, true)]);
        assert_eq!(size_of::<Read>(), 16);
    }

    #[test]
    fn of_each_read_it_is_known_whether_others_were_told() {
        let [old, new, _] = kids();
        let mut reads = Reads::default();
        note(&mut reads, "db", "web", old, 0);
        note(&mut reads, "db", "worker", old, 0);
        assert_eq!(reads.told("db", "web", old), None);
        reads.tell("db", "web", old, NOW.plus_days(1));
        reads.tell("db", "web", old, NOW);
        let told = reads.told("db", "web", old).unwrap();
        assert!(told <= NOW.plus_days(1) && NOW.plus_days(1).nanos() - told.nanos() < NANOS_OF_MINUTE);
        // What is not noted cannot be told.
        for (name, client, kid) in [("db", "web", new), ("other", "web", old), ("db", "cron", old)] {
            reads.tell(name, client, kid, NOW);
            assert_eq!(reads.told(name, client, kid), None, "{name} {client}");
        }
        assert_eq!(reads.told("db", "worker", old), None);
        note(&mut reads, "db", "web", old, 2);
        assert_eq!(reads.told("db", "web", old), Some(told));
    }

    #[test]
    fn to_make_room_costs_a_look_up_for_each_version_and_not_for_each_read() {
        const VERSIONS: u32 = 1000;
        let mut reads = Reads::default();
        let lookups = std::cell::Cell::new(0);
        let readable = |_| {
            lookups.set(lookups.get() + 1);
            true
        };
        for version in 0..VERSIONS {
            for client in 0..40 {
                let kid = Kid::first(NOW.plus_days(version));
                reads.insert("db", &format!("client-{client}"), kid, NOW, readable);
            }
        }
        // The room doubles each time: 1 + 2 + 4 + … + 512.
        assert!(lookups.get() <= 2 * VERSIONS, "{} look-ups", lookups.get());
    }

    #[test]
    fn the_reads_of_a_secret_are_told_page_by_page_and_others_are_noted_in_between() {
        let mut reads = Reads::default();
        let all: Vec<(Kid, u32)> = (0..50)
            .flat_map(|version| (0..70).map(move |client| (Kid::first(NOW.plus_days(version)), client)))
            .collect();
        for (kid, client) in &all {
            reads.insert("db", &format!("client-{client}"), *kid, NOW, |_| true);
        }
        let reads = Mutex::new(reads);
        let (mut seen, mut sizes) = (Vec::new(), Vec::new());
        turn_pages(&reads, "db", |page| {
            let mut reads = reads.try_lock().expect("whoever notes a read meanwhile need not wait");
            assert!(reads.update("db", "client-0", all[0].0, NOW));
            sizes.push(page.len());
            seen.extend(page.iter().map(|(kid, read)| (*kid, read.client)));
        });
        assert_eq!(seen, all);
        assert_eq!(sizes, [PAGE, PAGE, PAGE, PAGE, PAGE, PAGE, 428]);
        turn_pages(&reads, "none", |page| assert!(page.is_empty()));
    }
}
