//! Attempts, endpoints and connections.

use std::sync::Barrier;
use std::thread;

use super::gateway::{Gateway, Reply};
use super::{NOTHING, etcd, late, of, patient, some_range, soon};
use crate::etcd::{Error, Etcd, Settings, TlsFiles, Txn};

fn good() -> Gateway {
    Gateway::always(|| Reply::Json(200, NOTHING))
}

#[test]
fn an_answer_in_chunks_of_a_byte_is_read() {
    let gateway =
        Gateway::always(|| Reply::Chunked(r#"{"header":{"revision":"7"},"kvs":[{"key":"aw==","value":"dg=="}]}"#));
    let etcd = of(&gateway);
    for _ in 0..2 {
        assert_eq!(etcd.range(&some_range(), late()).unwrap().pairs[0].value, b"v");
    }
    let connections: Vec<_> = gateway.heard().iter().map(|heard| heard.connection).collect();
    assert_eq!(connections, [0, 0]);
}

#[test]
fn a_kept_connection_that_was_closed_meanwhile_is_replaced_and_nobody_notices() {
    let gateway = Gateway::always(|| Reply::ThenClose(NOTHING));
    let etcd = of(&gateway);
    for _ in 0..3 {
        etcd.range(&some_range(), late()).unwrap();
    }
    assert_eq!(gateway.heard().iter().map(|heard| heard.connection).max(), Some(2));
    assert_eq!((etcd.stats().of("range", "ok"), etcd.stats().of("range", "unavailable")), (3, 0));
}

#[test]
fn a_frozen_endpoint_is_left_for_the_next_one_and_that_one_is_kept() {
    let frozen = Gateway::always(|| Reply::Silence);
    let good = good();
    let etcd = etcd(&[&frozen.endpoint, &good.endpoint]);
    etcd.range(&some_range(), late()).unwrap();
    etcd.range(&some_range(), late()).unwrap();
    // The good one may have been slow, too, on a busy machine.
    assert!(!frozen.heard().is_empty() && good.heard().len() >= 2);
    assert!(etcd.stats().of("range", "unavailable") >= 1);
}

#[test]
fn a_dead_endpoint_is_left_for_the_next_one() {
    let good = good();
    let etcd = etcd(&[&Gateway::dead(), &Gateway::dead(), &good.endpoint]);
    etcd.range(&some_range(), late()).unwrap();
    assert!(!good.heard().is_empty());
}

#[test]
fn a_member_that_only_follows_is_left_for_the_one_that_leads() {
    let member = |id: &'static str| {
        Gateway::start(move |heard| match heard.target.as_str() {
            "/v3/maintenance/status" => {
                Reply::Made(format!(r#"{{"header":{{"member_id":"{id}"}},"version":"3.5.16","leader":"3"}}"#))
            }
            _ => Reply::Json(200, NOTHING),
        })
    };
    let members = ["1", "2", "3"].map(member);
    let etcd = patient(etcd(&members.each_ref().map(|member| &member.endpoint)));
    assert_eq!(etcd.status(late()).unwrap().member, "3");
    etcd.range(&some_range(), late()).unwrap();
    assert_eq!(members.each_ref().map(|member| member.heard().len()), [1, 1, 2]);
}

#[test]
fn each_client_begins_with_the_endpoint_that_it_is_told() {
    let gateways = [good(), good()];
    let endpoints: Vec<_> = gateways.iter().map(|gateway| gateway.endpoint.clone()).collect();
    let settings = Settings { endpoints, tls: TlsFiles::default(), login: None };
    for (first, asked) in [(0, 0), (1, 1), (5, 1)] {
        let before = gateways[asked].heard().len();
        patient(Etcd::new(&settings, first).unwrap()).range(&some_range(), late()).unwrap();
        assert!(gateways[asked].heard().len() > before, "{first}");
    }
}

#[test]
fn whatever_is_no_answer_of_etcd_makes_another_endpoint_try() {
    for reply in [
        || Reply::Json(503, r#"{"code":14,"message":"etcdserver: leader changed"}"#),
        || Reply::Json(504, r#"{"code":4,"message":"context deadline exceeded"}"#),
        || Reply::Json(500, "{}"),
        || Reply::Json(429, r#"{"code":8,"message":"etcdserver: too many requests"}"#),
        || Reply::Json(404, "404 page not found"),
        || Reply::Json(200, "{}"),
        || Reply::Json(200, r#"{"header":{"revision":"7"},"kvs":[{"key":"not base64"}]}"#),
        || Reply::Json(200, r#"{"header":{"revision":7}}"#),
        || Reply::Json(200, "<html>"),
        || Reply::Raw(""),
        || Reply::Raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        || Reply::Raw("SSH-2.0-OpenSSH_9.2\r\n"),
    ] {
        let (bad, good) = (Gateway::always(reply), good());
        let etcd = patient(etcd(&[&bad.endpoint, &good.endpoint]));
        assert_eq!(etcd.range(&some_range(), late()).unwrap().revision, 7);
        assert!(!bad.heard().is_empty() && !good.heard().is_empty());
    }
}

#[test]
fn a_request_is_repeated_byte_for_byte() {
    let mut left = 3;
    let gateway = Gateway::start(move |_| {
        left -= 1;
        if left > 0 { Reply::Json(503, "{}") } else { Reply::Json(200, NOTHING) }
    });
    of(&gateway).range(&some_range(), late()).unwrap();
    let heard = gateway.heard();
    assert!(heard.len() >= 3 && heard.iter().all(|request| request.body == heard[0].body), "{heard:?}");
}

#[test]
fn if_nobody_answers_in_time_the_last_reason_is_told() {
    let mut is_first = true;
    let gateway = Gateway::start(move |_| match std::mem::take(&mut is_first) {
        true => Reply::Json(503, r#"{"code":14,"message":"etcdserver: no leader"}"#),
        false => Reply::Silence,
    });
    let outcome = of(&gateway).range(&some_range(), soon());
    let Err(Error::Unavailable(why)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(why, format!("{}: etcdserver: no leader", gateway.endpoint));
}

#[test]
fn what_no_repetition_mends_is_told_at_once() {
    for (status, body, error) in [
        (429, r#"{"code":8,"message":"etcdserver: mvcc: database space exceeded"}"#, Error::NoSpace),
        (
            400,
            r#"{"code":3,"message":"etcdserver: request is too large"}"#,
            Error::TooLarge("etcdserver: request is too large".into()),
        ),
    ] {
        let gateway = Gateway::start(move |_| Reply::Json(status, body));
        assert_eq!(of(&gateway).range(&some_range(), late()), Err(error));
    }
}

#[test]
fn a_transaction_that_an_earlier_attempt_may_have_carried_out_is_never_said_to_be_refused() {
    const FULL: &str = r#"{"code":8,"message":"etcdserver: mvcc: database space exceeded"}"#;
    for reply in [
        || Reply::Raw(""),
        || Reply::Json(504, r#"{"code":4,"message":"context deadline exceeded"}"#),
        || Reply::Json(200, "{}"),
    ] {
        let (lost, full) = (Gateway::always(reply), Gateway::always(|| Reply::Json(429, FULL)));
        let etcd = patient(etcd(&[&lost.endpoint, &full.endpoint]));
        let outcome = etcd.txn(&Txn::default(), late());
        assert!(matches!(&outcome, Err(Error::Unavailable(why)) if why.contains("database is full")), "{outcome:?}");
    }
    // Nobody was sent anything before.
    let full = Gateway::always(|| Reply::Json(429, FULL));
    let etcd = patient(etcd(&[&Gateway::dead(), &full.endpoint]));
    assert_eq!(etcd.txn(&Txn::default(), late()), Err(Error::NoSpace));
}

#[test]
fn many_threads_may_ask_at_a_time() {
    let gateway = good();
    let (etcd, together) = (of(&gateway), Barrier::new(16));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                together.wait();
                for _ in 0..10 {
                    etcd.range(&some_range(), late()).unwrap();
                }
            });
        }
    });
    assert_eq!(etcd.stats().of("range", "ok"), 160);
}
