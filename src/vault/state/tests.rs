//! What the state is after each kind of change.

use super::*;
use crate::vault::log::change::Metadata;
use crate::vault::log::header::Header;
use crate::vault::log::record::NO_LINK;
use crate::vault::seal::{KeyBytes, SealingKey};
use crate::vault::version::{Rotation, Version};

const NOW: Timestamp = Timestamp::from_nanos(1_761_565_004_549_067_206);

fn put(state: &mut State, at: Timestamp) -> Kid {
    let kid = state.unused_kid("db", at);
    let version =
        Version { kid, created_at: at, expires_at: at.plus_days(90), rotation: Rotation::Manual, generator: None };
    let change = Change::Put { name: "db".to_owned(), version, previous_until: at.plus_days(14), before: None };
    apply(state, change);
    kid
}

fn apply(state: &mut State, change: Change) {
    let key = Header::generate(&SealingKey::new(&KeyBytes::random().unwrap())).unwrap().1;
    let metadata = Metadata { audited: 0, by: None, more: false, change: &change };
    let record = Sealed::seal(&key, (state.seq + 1, NO_LINK), &metadata, "v").unwrap();
    state.apply(change, Arc::new(record));
}

fn delete(state: &mut State) {
    apply(state, Change::Delete { name: "db".to_owned() });
}

#[test]
fn the_last_version_is_current_and_the_one_before_has_its_grace() {
    let mut state = State::default();
    let old = put(&mut state, NOW).of("db");
    let new = put(&mut state, NOW.plus_days(1)).of("db");
    assert_eq!(state.find("db", None, NOW).unwrap().version.kid.of("db"), new);
    assert!(state.find("db", Some(&old), NOW.plus_days(14)).is_ok());
    assert_eq!(state.find("db", Some(&old), NOW.plus_days(15)).err(), Some(Missing::Gone));
    assert!(state.find("db", Some(&new), NOW.plus_days(1000)).is_ok());
    assert_eq!(state.find("db", Some("db-20200101-000000"), NOW).err(), Some(Missing::NotFound));
    assert_eq!(state.find("none", None, NOW).err(), Some(Missing::NotFound));
}

#[test]
fn a_kid_never_comes_again() {
    let mut state = State::default();
    let first = put(&mut state, NOW);
    assert_eq!(put(&mut state, NOW), first.next());
    delete(&mut state);
    assert_eq!(put(&mut state, NOW), first.next().next(), "not after the secret was deleted");
    put(&mut state, NOW.plus_days(1));
    assert_eq!(put(&mut state, NOW), first.next().next().next(), "not when the clock was set back");
}

#[test]
fn no_secret_gets_a_kid_that_is_used_up_for_all() {
    let mut state = State::default();
    let kept = put(&mut state, NOW);
    state.used.add(kept.next());
    assert_eq!(state.unused_kid("another", NOW), kept.next().next());
    assert_eq!(put(&mut state, NOW), kept.next().next());
    let later = put(&mut state, NOW.plus_days(1));
    state.used.add(kept.next().next().next());
    assert_eq!(put(&mut state, NOW), kept.next().next().next().next(), "not when the clock was set back either");
    state.used.add_all_through(later.second());
    let free = put(&mut state, NOW);
    assert_eq!(free.second(), later.second() + 1);
    assert_eq!([put(&mut state, NOW), put(&mut state, NOW.plus_days(1))], [free.next(), free.next().next()]);
    assert_eq!(put(&mut state, NOW.plus_days(2)), Kid::first(NOW.plus_days(2)));
    assert_eq!(put(&mut state, NOW), free.next().next().next());
    assert_eq!(state.unused_kid("another", NOW), free);
    assert!(state.find("db", Some(&kept.of("db")), NOW).is_ok());
    assert_eq!(state.find("db", Some(&kept.next().of("db")), NOW).err(), Some(Missing::Gone));
    assert_eq!(state.find("another", Some(&kept.of("another")), NOW).err(), Some(Missing::NotFound));
}

#[test]
fn a_destroyed_version_is_gone_and_a_deleted_secret_not_found() {
    let mut state = State::default();
    let old = put(&mut state, NOW);
    put(&mut state, NOW);
    apply(&mut state, Change::Destroy { name: "db".to_owned(), kid: old });
    assert_eq!(state.find("db", Some(&old.of("db")), NOW).err(), Some(Missing::Gone));
    assert_eq!((state.secret_count, state.version_count), (1, 1));
    delete(&mut state);
    assert_eq!(state.find("db", Some(&old.of("db")), NOW).err(), Some(Missing::NotFound));
    assert_eq!((state.secret_count, state.version_count, state.live_bytes), (0, 0, 0));
}

#[test]
fn what_is_destroyed_costs_memory_by_the_second_and_not_by_the_version() {
    let mut state = State::default();
    let kids: Vec<String> = (0..100).map(|_| put(&mut state, NOW).of("db")).collect();
    delete(&mut state);
    let survivor = put(&mut state, NOW).of("db");
    assert_eq!(state.secrets["db"].spent().len(), 1);
    for kid in kids {
        assert_eq!(state.find("db", Some(&kid), NOW).err(), Some(Missing::Gone));
    }
    assert!(state.find("db", Some(&survivor), NOW).is_ok());
    let never = state.unused_kid("db", NOW).of("db");
    assert_eq!(state.find("db", Some(&never), NOW).err(), Some(Missing::NotFound));
}

#[test]
fn a_walk_sees_every_secret_once_and_no_deleted_one() {
    let mut state = State::default();
    for n in 0..600 {
        let at = NOW;
        let name = format!("s{n:03}");
        let version =
            Version { kid: Kid::first(at), created_at: at, expires_at: at, rotation: Rotation::Auto, generator: None };
        apply(&mut state, Change::Put { name, version, previous_until: at, before: None });
    }
    apply(&mut state, Change::Delete { name: "s300".to_owned() });
    let (mut from, mut seen) = (Some(String::new()), Vec::new());
    while let Some(start) = from {
        let page = state.page(&start, usize::MAX, |name, _, items| items.push(name.to_owned()));
        seen.extend(page.items);
        from = page.next;
    }
    let expected: Vec<_> = (0..600).filter(|n| *n != 300).map(|n| format!("s{n:03}")).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_page_of_a_walk_ends_where_it_has_seen_many_versions() {
    let mut state = State::default();
    for (name, n) in ["a", "b", "c"].into_iter().flat_map(|name| (0..200).map(move |n| (name, n))) {
        let at = NOW.plus_days(n);
        let kid = state.unused_kid(name, at);
        let version = Version { kid, created_at: at, expires_at: at, rotation: Rotation::Off, generator: None };
        let (name, previous_until) = (name.to_owned(), at.plus_days(999));
        apply(&mut state, Change::Put { name, version, previous_until, before: None });
    }
    let page = |from: &str| state.page(from, usize::MAX, |name, _, items| items.push(name.to_owned()));
    let first = page("");
    assert_eq!((first.items, first.next.as_deref()), (vec!["a".to_owned(), "b".to_owned()], Some("c")));
    let second = page("c");
    assert_eq!((second.items, second.next), (vec!["c".to_owned()], None));
}
