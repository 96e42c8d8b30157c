//! Members that die or freeze.

use jarvis_secretsd::etcd::{Condition, Etcd, Keys, Operation, Range, Txn};

use crate::is_there;
use crate::members::{Members, Options, late};

/// Counts `head` up, whose value is `from`, as one who has to know whether it was done: it is sent until it is answered, and
/// if an earlier attempt got through, the value is there.
fn count(etcd: &Etcd, from: u32) {
    let value = |number: u32| number.to_string().into_bytes();
    let key = || b"head".to_vec();
    let condition = match from {
        0 => Condition::IsAbsent { key: key() },
        from => Condition::ValueIs { key: key(), value: value(from) },
    };
    let txn = Txn {
        conditions: vec![condition],
        then: vec![Operation::Put { key: key(), value: value(from + 1), lease: None }],
        otherwise: vec![Operation::Range(Range::of(Keys::One(key())))],
    };
    let answer = etcd.txn(&txn, late()).unwrap();
    assert!(answer.succeeded || answer.ranges[0].pairs[0].value == value(from + 1), "{from}: {answer:?}");
}

#[test]
fn with_its_first_endpoint_dead_or_frozen_all_calls_succeed() {
    if !is_there() {
        return;
    }
    let mut members = Members::start("faults", 3, Options { tls: true, ..Options::default() });
    let long = members.client();
    count(&long, 0);
    members.freeze(0);
    // One that has a connection to it, and one that has to make one.
    count(&long, 1);
    count(&members.client(), 2);
    members.thaw(0);
    members.kill(0);
    count(&long, 3);
    let new = members.client();
    for from in 4..20 {
        count(&new, from);
    }
    members.restart(0);
    count(&members.client(), 20);
}

#[test]
fn a_leader_that_freezes_or_dies_makes_calls_wait_and_not_fail() {
    if !is_there() {
        return;
    }
    let mut members = Members::start("leaders", 3, Options::default());
    let etcd = members.client();
    for from in 0..3 {
        let leader = members.leader();
        members.freeze(leader);
        count(&etcd, from);
        members.thaw(leader);
    }
    let leader = members.leader();
    members.kill(leader);
    count(&etcd, 3);
}
