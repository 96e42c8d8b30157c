//! How much etcd takes, and what it says where that is too much.

use std::process::Command;
use std::time::Duration;

use jarvis_secretsd::etcd::{Error, Keys, Operation, Range, Txn};

use crate::is_there;
use crate::members::{Members, Options, late, refused};

fn put(key: &str, value: Vec<u8>) -> Txn {
    Txn { then: vec![Operation::Put { key: key.into(), value, lease: None }], ..Txn::default() }
}

#[test]
fn a_value_of_one_mebibyte_passes_and_what_is_too_large_is_told() {
    if !is_there() {
        return;
    }
    let members = Members::start("sizes", 1, Options::default());
    let etcd = members.client();
    let largest: Vec<u8> = (0..1 << 20).map(|number: u32| number.to_le_bytes()[number as usize % 3]).collect();
    etcd.txn(&put("k", largest.clone()), late()).unwrap();
    let read = etcd.range(&Range::of(Keys::One(b"k".to_vec())), late()).unwrap();
    assert!(read.pairs[0].value == largest);
    for size in [1_600_000, 3_000_000] {
        let why = refused(&etcd, &put("k", vec![0; size]));
        assert!(why.contains("too large for etcd"), "{size}: {why}");
    }
    let operations = |count: u32| Txn {
        then: (0..count).flat_map(|number| put(&number.to_string(), Vec::new()).then).collect(),
        ..Txn::default()
    };
    assert!(etcd.txn(&operations(128), late()).unwrap().succeeded);
    let why = refused(&etcd, &operations(129));
    assert!(why.contains("too large for etcd"), "{why}");
}

#[test]
fn an_answer_of_many_mebibytes_is_read() {
    if !is_there() {
        return;
    }
    let members = Members::start("answers", 1, Options::default());
    let etcd = members.client();
    for number in 0..12 {
        etcd.txn(&put(&format!("k/{number}"), vec![number; 1 << 20]), late()).unwrap();
    }
    let read = etcd.range(&Range::of(Keys::prefix(b"k/")), late()).unwrap();
    assert_eq!(read.pairs.iter().map(|pair| pair.value.len()).sum::<usize>(), 12 << 20);
}

#[test]
fn an_etcd_without_space_says_so_and_can_still_be_read_and_cleaned_up() {
    if !is_there() {
        return;
    }
    let members = Members::start("space", 1, Options { quota_bytes: Some(4 << 20), ..Options::default() });
    let etcd = members.client();
    assert!(!etcd.has_no_space(late()).unwrap());
    let full = (0..100).find_map(|number| etcd.txn(&put(&format!("k/{number}"), vec![0; 1 << 20]), late()).err());
    let why = full.unwrap().to_string();
    assert!(why.contains("database is full"), "{why}");
    assert!(etcd.has_no_space(late()).unwrap());
    assert_eq!(etcd.grant(Duration::from_secs(60), late()), Err(Error::NoSpace));
    let all = || Keys::prefix(b"k/");
    assert!(!etcd.range(&Range::of(all()), late()).unwrap().pairs.is_empty());
    etcd.delete_range(all(), late()).unwrap();
    assert!(etcd.range(&Range::of(all()), late()).unwrap().pairs.is_empty());

    let revision = etcd.range(&Range::of(all()), late()).unwrap().revision;
    for command in [&["compact", &revision.to_string()][..], &["defrag"], &["alarm", "disarm"]] {
        members.etcdctl(0, command);
    }
    etcd.txn(&put("k/1", Vec::new()), late()).unwrap();
    assert!(!etcd.has_no_space(late()).unwrap());
}

#[test]
fn the_member_that_leads_is_found_and_says_its_version_and_how_large_its_database_is() {
    if !is_there() {
        return;
    }
    let members = Members::start("status", 3, Options::default());
    let etcd = members.client();
    let status = etcd.status(late()).unwrap();
    assert!(status.is_leader() && status.db_size_bytes > 0, "{status:?}");
    let version = etcd.member_version(late()).unwrap();
    let printed = Command::new("etcd").arg("--version").output().unwrap().stdout;
    assert!(String::from_utf8(printed).unwrap().contains(&format!("etcd Version: {version}\n")), "{version}");
}
