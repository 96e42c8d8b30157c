//! What is sent, and what is made of the answers.

use std::time::Duration;

use serde_json::{Value, json};

use super::gateway::{Gateway, Reply};
use super::{late, of, some_range};
use crate::etcd::answer;
use crate::etcd::{Condition, Error, KeyValue, Keys, LeaseId, Operation, Range, RangeAnswer, Status, Txn};

fn sent(gateway: &Gateway) -> (String, Value) {
    let heard = gateway.heard().pop().unwrap();
    (heard.target, heard.body)
}

#[test]
fn a_transaction_is_sent_as_the_gateway_reads_it() {
    let gateway = Gateway::always(|| Reply::Json(200, r#"{"header":{"revision":"7"}}"#));
    let key = || b"k\xff".to_vec();
    let keys = || Keys::prefix(b"p/");
    let txn = Txn {
        conditions: vec![
            Condition::ValueIs { key: key(), value: b"v".to_vec() },
            Condition::IsAbsent { key: key() },
            Condition::UnchangedSince { keys: keys(), revision: u64::from(u32::MAX) + 1 },
        ],
        then: vec![
            Operation::Put { key: key(), value: Vec::new(), lease: Some(LeaseId(7_587_886_870_316_953_862)) },
            Operation::Put { key: key(), value: b"w".to_vec(), lease: None },
            Operation::Delete(keys()),
            Operation::Range(Range {
                limit: 64,
                descending: true,
                keys_only: true,
                min_mod_revision: 9,
                ..Range::of(keys())
            }),
        ],
        otherwise: vec![],
    };
    let answer = of(&gateway).txn(&txn, late()).unwrap();
    assert_eq!((answer.succeeded, answer.revision, answer.ranges), (false, 7, vec![]));
    let expected = json!({
        "compare": [
            {"key": "a/8=", "result": "EQUAL", "target": "VALUE", "value": "dg=="},
            {"key": "a/8=", "result": "EQUAL", "target": "VERSION", "version": "0"},
            {"key": "cC8=", "range_end": "cDA=", "result": "LESS", "target": "MOD", "mod_revision": "4294967297"},
        ],
        "success": [
            {"request_put": {"key": "a/8=", "value": "", "lease": "7587886870316953862"}},
            {"request_put": {"key": "a/8=", "value": "dw=="}},
            {"request_delete_range": {"key": "cC8=", "range_end": "cDA="}},
            {"request_range": {
                "key": "cC8=", "range_end": "cDA=", "limit": "64", "sort_order": "DESCEND", "keys_only": true,
                "min_mod_revision": "9",
            }},
        ],
        "failure": [],
    });
    assert_eq!(sent(&gateway), ("/v3/kv/txn".to_owned(), expected));
}

#[test]
fn the_answer_has_what_the_ranges_of_the_branch_have_found_that_was_taken() {
    const ANSWER: &str = r#"{"header":{"cluster_id":"1","revision":"31"},"succeeded":true,"responses":[
        {"response_put":{"header":{"revision":"31"}}},
        {"response_range":{"header":{"revision":"31"},"kvs":[
            {"key":"aw==","create_revision":"3","mod_revision":"30","version":"2","value":"dg==","lease":"5"},
            {"key":"bA==","create_revision":"4","mod_revision":"4","version":"1"}],"more":true,"count":"3"}},
        {"response_range":{"header":{"revision":"31"}}}]}"#;
    let gateway = Gateway::always(|| Reply::Json(200, ANSWER));
    let put = Operation::Put { key: b"k".to_vec(), value: b"v".to_vec(), lease: None };
    let range = || Operation::Range(some_range());
    let txn = Txn { then: vec![put, range(), range()], ..Txn::default() };
    let answer = of(&gateway).txn(&txn, late()).unwrap();
    let pair = |key: &[u8], value: &[u8], mod_revision, create_revision, lease| KeyValue {
        key: key.to_vec(),
        value: value.to_vec(),
        mod_revision,
        create_revision,
        lease,
    };
    let pairs = vec![pair(b"k", b"v", 30, 3, Some(LeaseId(5))), pair(b"l", b"", 4, 4, None)];
    let found = RangeAnswer { pairs, more: true, revision: 31 };
    let nothing = RangeAnswer { pairs: vec![], more: false, revision: 31 };
    assert!(answer.succeeded);
    assert_eq!(answer.ranges, [found, nothing]);
}

#[test]
fn an_answer_to_another_transaction_is_none() {
    let txn = Txn { then: vec![Operation::Range(some_range())], ..Txn::default() };
    for answer in [
        r#"{"header":{"revision":"7"},"succeeded":true}"#,
        r#"{"header":{"revision":"7"},"succeeded":true,"responses":[{"response_put":{}}]}"#,
        r#"{"header":{"revision":"7"},"responses":[{"response_range":{"header":{"revision":"7"}}}]}"#,
        r#"{"succeeded":true,"responses":[{"response_range":{"header":{"revision":"7"}}}]}"#,
        "{}",
    ] {
        assert!(answer::txn(answer.as_bytes(), &txn).is_none(), "{answer}");
    }
}

#[test]
fn keys_are_deleted_by_a_call_of_its_own() {
    let gateway = Gateway::always(|| Reply::Json(200, r#"{"header":{"revision":"7"},"deleted":"2"}"#));
    of(&gateway).delete_range(Keys::One(b"k".to_vec()), late()).unwrap();
    assert_eq!(sent(&gateway), ("/v3/kv/deleterange".to_owned(), json!({"key": "aw=="})));
}

#[test]
fn a_prefix_ends_before_the_first_key_that_does_not_begin_with_it() {
    for (prefix, first, end) in [
        (&b"p/"[..], &b"p/"[..], &b"p0"[..]),
        (b"p\xff\xff", b"p\xff\xff", b"q"),
        (b"\xff", b"\xff", b"\0"),
        (b"", b"\0", b"\0"),
    ] {
        assert_eq!(Keys::prefix(prefix), Keys::From { first: first.to_vec(), end: end.to_vec() });
    }
}

#[test]
fn a_lease_is_granted_kept_and_revoked_by_its_number() {
    let gateway = Gateway::start(|heard| match heard.target.as_str() {
        "/v3/lease/grant" => Reply::Json(200, r#"{"header":{},"ID":"5","TTL":"3"}"#),
        "/v3/lease/keepalive" => Reply::Chunked(r#"{"result":{"header":{},"ID":"5","TTL":"3"}}"#),
        _ => Reply::Json(200, r#"{"header":{"revision":"7"}}"#),
    });
    let etcd = of(&gateway);
    let (lease, granted) = etcd.grant(Duration::from_millis(1_500), late()).unwrap();
    assert_eq!((lease, granted), (LeaseId(5), Duration::from_secs(3)));
    assert_eq!(sent(&gateway), ("/v3/lease/grant".to_owned(), json!({"TTL": "2"})));
    assert_eq!(etcd.keep_alive(lease, late()).unwrap(), Some(Duration::from_secs(3)));
    assert_eq!(sent(&gateway), ("/v3/lease/keepalive".to_owned(), json!({"ID": "5"})));
    etcd.revoke(lease, late()).unwrap();
    assert_eq!(sent(&gateway), ("/v3/lease/revoke".to_owned(), json!({"ID": "5"})));
}

#[test]
fn a_lease_that_is_gone_is_told_from_one_that_lives() {
    let gateway = Gateway::start(|heard| match heard.target.as_str() {
        "/v3/lease/keepalive" => Reply::Chunked(r#"{"result":{"header":{},"ID":"5"}}"#),
        _ => Reply::Json(404, r#"{"code":5,"message":"etcdserver: requested lease not found"}"#),
    });
    let etcd = of(&gateway);
    assert_eq!(etcd.keep_alive(LeaseId(5), late()), Ok(None));
    assert_eq!(etcd.revoke(LeaseId(5), late()), Ok(()));
    let put = Operation::Put { key: b"k".to_vec(), value: Vec::new(), lease: Some(LeaseId(5)) };
    let txn = Txn { then: vec![put], ..Txn::default() };
    assert_eq!(etcd.txn(&txn, late()), Err(Error::LeaseGone));
}

#[test]
fn a_stream_that_fails_after_it_has_begun_fails_as_it_says() {
    let gateway = Gateway::always(|| {
        Reply::Json(200, r#"{"error":{"grpc_code":7,"http_code":403,"message":"etcdserver: permission denied"}}"#)
    });
    let Err(Error::Refused(why)) = of(&gateway).keep_alive(LeaseId(5), late()) else { panic!() };
    assert!(why.starts_with("etcdserver: permission denied"), "{why}");
}

#[test]
fn what_a_member_says_of_itself_is_read() {
    const SAID: &str = r#"{"header":{"member_id":"10276657743932975437","revision":"7"},"version":"3.5.16","dbSize":"20480","dbSizeInUse":"16384",
        "leader":"10276657743932975437","raftIndex":"4","raftTerm":"2"}"#;
    let gateway = Gateway::start(|heard| match heard.target.as_str() {
        "/version" => Reply::Json(200, r#"{"etcdserver":"3.5.16","etcdcluster":"3.5.0"}"#),
        "/v3/maintenance/status" => Reply::Json(200, SAID),
        _ => Reply::Json(200, r#"{"alarms":[{"memberID":"1","alarm":"NOSPACE"}]}"#),
    });
    let etcd = of(&gateway);
    assert_eq!(etcd.member_version(late()).unwrap(), "3.5.16");
    assert_eq!(sent(&gateway), ("/version".to_owned(), Value::Null));
    let status = etcd.status(late()).unwrap();
    let member = "10276657743932975437".to_owned();
    assert_eq!(status, Status { leader: Some(member.clone()), member, db_size_bytes: 20_480 });
    assert!(etcd.has_no_space(late()).unwrap());
    assert_eq!(sent(&gateway), ("/v3/maintenance/alarm".to_owned(), json!({"action": "GET"})));
}

#[test]
fn an_etcd_without_alarm_has_space() {
    let gateway = Gateway::always(|| Reply::Json(200, "{}"));
    assert!(!of(&gateway).has_no_space(late()).unwrap());
}
