//! `ETag`, `If-Match` and `If-None-Match`: a client that changes a secret can say which version it expects.

use crate::client::{Answer, Client};
use crate::running::Daemon;

fn quoted(kid: &str) -> String {
    format!("\"{kid}\"")
}

fn precondition_failed(answer: &Answer) -> bool {
    answer.refusal() == (412, "precondition_failed".to_owned())
}

fn store_if(client: &mut Client, header: (&str, &str), value: &str) -> Answer {
    client.ask("POST", "/secret", &[header], &format!(r#"{{"name":"db_main","value":"{value}"}}"#))
}

#[test]
fn the_etag_is_the_kid_where_there_is_one() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let stored = admin.post("/secret", r#"{"name":"db_main","value":"one"}"#);
    let first = stored.text("kid");
    assert_eq!(stored.header("ETag"), Some(quoted(&first).as_str()));
    let second = admin.store("db_main", "two");
    assert_eq!(admin.get("/secret/db_main").header("ETag"), Some(quoted(&second).as_str()));
    let older = admin.get(&format!("/secret/db_main?kid={first}"));
    assert_eq!(older.header("ETag"), Some(quoted(&first).as_str()));
}

#[test]
fn a_client_that_has_the_version_gets_304_without_a_body() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let kid = admin.store("db_main", "v");
    for tag in [quoted(&kid), kid.clone(), format!("W/\"{kid}\""), format!("\"other\", \"{kid}\""), "*".to_owned()] {
        for method in ["GET", "HEAD"] {
            let answer = admin.ask(method, "/secret/db_main", &[("If-None-Match", &tag)], "");
            assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{method} {tag}");
            assert_eq!(answer.header("ETag"), Some(quoted(&kid).as_str()));
            assert_eq!(answer.header("Content-Length"), None);
        }
    }
    let other = admin.ask("GET", "/secret/db_main", &[("If-None-Match", "\"db_main-20010101-000000\"")], "");
    assert_eq!((other.status, other.text("value")), (200, "v".to_owned()));
}

#[test]
fn a_version_that_was_replaced_is_no_longer_the_one_that_is_known() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let first = admin.store("db_main", "one");
    admin.store("db_main", "two");
    let answer = admin.ask("GET", "/secret/db_main", &[("If-None-Match", &quoted(&first))], "");
    assert_eq!((answer.status, answer.text("value")), (200, "two".to_owned()));
}

#[test]
fn a_client_that_may_not_read_does_not_learn_the_version_either() {
    let daemon = Daemon::start();
    let kid = daemon.client("admin").store("db_root", "v");
    let answer = daemon.client("reader").ask("GET", "/secret/db_root", &[("If-None-Match", &quoted(&kid))], "");
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("ETag"), None);
}

#[test]
fn a_secret_is_created_only_if_there_is_none_when_that_is_asked_for() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    assert_eq!(store_if(&mut admin, ("If-None-Match", "*"), "one").status, 200);
    assert!(precondition_failed(&store_if(&mut admin, ("If-None-Match", "*"), "two")));
    assert_eq!(admin.value("db_main"), "one");
    admin.delete("/secret/db_main");
    assert_eq!(store_if(&mut admin, ("If-None-Match", "*"), "three").status, 200);
}

#[test]
fn a_secret_is_replaced_only_if_it_is_still_the_version_that_was_read() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    assert!(precondition_failed(&store_if(&mut admin, ("If-Match", "*"), "none")), "there is no secret yet");
    let first = admin.store("db_main", "one");
    let replaced = store_if(&mut admin, ("If-Match", &quoted(&first)), "two");
    assert_eq!(replaced.status, 200);
    assert!(precondition_failed(&store_if(&mut admin, ("If-Match", &quoted(&first)), "three")));
    assert_eq!(admin.value("db_main"), "two");
    let either = format!("\"{first}\", \"{}\"", replaced.text("kid"));
    assert_eq!(store_if(&mut admin, ("If-Match", &either), "four").status, 200);
    assert_eq!(store_if(&mut admin, ("If-Match", "*"), "five").status, 200);
}

#[test]
fn a_secret_is_deleted_only_if_the_condition_holds() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let first = admin.store("db_main", "one");
    let second = admin.store("db_main", "two");
    let mut delete = |header, tag: &str| admin.ask("DELETE", "/secret/db_main", &[(header, tag)], "");
    assert!(precondition_failed(&delete("If-Match", &quoted(&first))));
    assert!(precondition_failed(&delete("If-None-Match", "*")));
    assert_eq!(delete("If-Match", &quoted(&second)).status, 200);
    assert!(precondition_failed(&delete("If-Match", "*")), "there is nothing left to match");
}

#[test]
fn of_many_clients_that_replace_the_same_version_exactly_one_succeeds() {
    let daemon = Daemon::start();
    let kid = quoted(&daemon.client("admin").store("db_main", "first"));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let rivals: Vec<_> = (0..8)
            .map(|rival| {
                let (daemon, kid) = (&daemon, &kid);
                scope.spawn(move || {
                    store_if(&mut daemon.client("admin"), ("If-Match", kid), &format!("r{rival}")).status
                })
            })
            .collect();
        rivals.into_iter().map(|rival| rival.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 7, "{statuses:?}");
}

#[test]
fn a_malformed_condition_is_refused_and_changes_nothing() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "one");
    for wrong in ["\"open", "", "a b", "\"\""] {
        for header in ["If-Match", "If-None-Match"] {
            let answer = store_if(&mut admin, (header, wrong), "two");
            assert_eq!(answer.refusal(), (400, "bad_request".to_owned()), "{header}: {wrong}");
        }
    }
    assert_eq!(admin.value("db_main"), "one");
}
