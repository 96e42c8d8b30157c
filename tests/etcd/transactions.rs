//! Conditions, operations and leases.

use std::time::Duration;

use jarvis_secretsd::etcd::{Condition, Error, Etcd, Keys, Operation, Range, Txn, TxnAnswer};

use crate::is_there;
use crate::members::{Members, Options, late};
use crate::patience::eventually;

fn put(key: &str, value: &str) -> Operation {
    Operation::Put { key: key.into(), value: value.into(), lease: None }
}

fn keys(prefix: &str) -> Range {
    Range::of(Keys::prefix(prefix.as_bytes()))
}

fn do_put(etcd: &Etcd, key: &str, value: &str) -> u64 {
    etcd.txn(&Txn { then: vec![put(key, value)], ..Txn::default() }, late()).unwrap().revision
}

#[test]
fn each_condition_holds_and_does_not() {
    if !is_there() {
        return;
    }
    let members = Members::start("conditions", 1, Options::default());
    let etcd = members.client();
    do_put(&etcd, "r/1", "v");
    let revision = do_put(&etcd, "r/2", "v");
    let value_is = |key: &str, value: &str| Condition::ValueIs { key: key.into(), value: value.into() };
    let is_absent = |key: &str| Condition::IsAbsent { key: key.into() };
    let unchanged =
        |prefix: &str, revision| Condition::UnchangedSince { keys: Keys::prefix(prefix.as_bytes()), revision };
    for (condition, holds) in [
        (value_is("r/1", "v"), true),
        (value_is("r/1", "w"), false),
        (value_is("r/1", ""), false),
        // A key that is not there has no value, not even an empty one.
        (value_is("none", ""), false),
        (is_absent("none"), true),
        (is_absent("r/1"), false),
        (unchanged("r/", revision), true),
        (unchanged("r/", revision - 1), false),
        (unchanged("none/", 1), true),
    ] {
        let txn =
            Txn { conditions: vec![condition.clone()], then: vec![Operation::Range(keys("r/"))], otherwise: vec![] };
        let answer = etcd.txn(&txn, late()).unwrap();
        assert_eq!((answer.succeeded, answer.ranges.len()), (holds, usize::from(holds)), "{condition:?}");
    }
    let one_fails = Txn { conditions: vec![is_absent("none"), is_absent("r/1")], ..Txn::default() };
    assert!(!etcd.txn(&one_fails, late()).unwrap().succeeded);
}

#[test]
fn a_transaction_does_all_of_one_branch_and_nothing_of_the_other() {
    if !is_there() {
        return;
    }
    let members = Members::start("branches", 1, Options::default());
    let etcd = members.client();
    let txn = Txn {
        conditions: vec![Condition::IsAbsent { key: b"a".to_vec() }],
        then: vec![put("a", "1"), put("b", "2"), Operation::Range(keys(""))],
        otherwise: vec![Operation::Delete(Keys::One(b"a".to_vec())), Operation::Range(keys(""))],
    };
    let names = |answer: &TxnAnswer| {
        answer.ranges[0].pairs.iter().map(|pair| String::from_utf8(pair.key.clone()).unwrap()).collect::<Vec<_>>()
    };
    let first = etcd.txn(&txn, late()).unwrap();
    assert!(first.succeeded);
    assert_eq!(names(&first), ["a", "b"]);
    let second = etcd.txn(&txn, late()).unwrap();
    assert!(!second.succeeded && second.revision > first.revision);
    assert_eq!(names(&second), ["b"]);
}

#[test]
fn a_range_can_be_read_in_pages_from_its_end_and_by_revision() {
    if !is_there() {
        return;
    }
    let members = Members::start("ranges", 1, Options::default());
    let etcd = members.client();
    let revisions: Vec<_> = (0..5).map(|number| do_put(&etcd, &format!("k/{number}"), "v")).collect();
    do_put(&etcd, "l", "v");
    let names = |range: &Range| {
        let answer = etcd.range(range, late()).unwrap();
        let names: Vec<_> = answer.pairs.iter().map(|pair| pair.key[2]).collect();
        (String::from_utf8(names).unwrap(), answer.more)
    };
    assert_eq!(names(&keys("k/")), ("01234".to_owned(), false));
    assert_eq!(names(&Range { limit: 2, ..keys("k/") }), ("01".to_owned(), true));
    assert_eq!(names(&Range { limit: 1, descending: true, ..keys("k/") }), ("4".to_owned(), true));
    assert_eq!(names(&Range { min_mod_revision: revisions[3], ..keys("k/") }), ("34".to_owned(), false));
    let from = Keys::From { first: b"k/2".to_vec(), end: b"k/4".to_vec() };
    assert_eq!(names(&Range::of(from)), ("23".to_owned(), false));
    let pair = &etcd.range(&Range { keys_only: true, ..keys("k/") }, late()).unwrap().pairs[0];
    assert_eq!((&pair.value[..], pair.mod_revision, pair.create_revision), (&b""[..], revisions[0], revisions[0]));
    etcd.delete_range(Keys::prefix(b"k/"), late()).unwrap();
    assert_eq!(names(&keys("k/")), (String::new(), false));
}

#[test]
fn what_is_under_a_lease_goes_with_it() {
    if !is_there() {
        return;
    }
    let members = Members::start("leases", 1, Options::default());
    let etcd = members.client();
    let mine = || Range::of(Keys::One(b"mine".to_vec()));
    let under = |lease| Txn {
        then: vec![Operation::Put { key: b"mine".to_vec(), value: Vec::new(), lease: Some(lease) }],
        ..Txn::default()
    };
    let (lease, ttl) = etcd.grant(Duration::from_secs(600), late()).unwrap();
    assert_eq!(ttl, Duration::from_secs(600));
    etcd.txn(&under(lease), late()).unwrap();
    assert_eq!(etcd.range(&mine(), late()).unwrap().pairs[0].lease, Some(lease));
    assert_eq!(etcd.keep_alive(lease, late()).unwrap(), Some(Duration::from_secs(600)));
    etcd.revoke(lease, late()).unwrap();
    assert!(etcd.range(&mine(), late()).unwrap().pairs.is_empty());
    assert_eq!(etcd.keep_alive(lease, late()).unwrap(), None);
    assert_eq!(etcd.txn(&under(lease), late()), Err(Error::LeaseGone));
    etcd.revoke(lease, late()).unwrap();

    // One that nobody keeps alive goes by itself. Etcd gives it a least time.
    let (lease, ttl) = etcd.grant(Duration::from_millis(100), late()).unwrap();
    assert!(ttl >= Duration::from_secs(1));
    etcd.txn(&under(lease), late()).unwrap();
    eventually("the lease has ended", || etcd.range(&mine(), late()).unwrap().pairs.is_empty().then_some(()));
}
