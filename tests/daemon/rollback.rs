//! The way back: the value of an older version becomes the current one.

use std::thread;

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::external_system::{ExternalSystem, OLD, line, pending, rotate};
use crate::running::Daemon;
use crate::site::{Site, eventually};

const TARGET: &str = "/secret/db_main/rollback";

fn roll_back(client: &mut Client, kid: &str) -> Answer {
    client.post(TARGET, &json!({ "kid": kid }).to_string())
}

/// The audit lines of a request: event, kid, result and detail.
fn lines(site: &Site, answer: &Answer) -> Vec<[Value; 4]> {
    let id = answer.header("X-Request-Id").unwrap();
    let lines = site.audit(1).into_iter().filter(|line| line["request_id"] == id);
    lines.map(|line| ["event", "kid", "result", "detail"].map(|field| line[field].clone())).collect()
}

#[test]
fn an_older_value_becomes_a_new_version_and_what_it_replaces_keeps_its_grace() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let first = admin.store("db_main", "one");
    let second = admin.store("db_main", "two");
    let answer = roll_back(&mut admin, &first);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let kid = answer.text("kid");
    assert_eq!(answer.header("ETag"), Some(format!("\"{kid}\"").as_str()));
    assert_eq!((answer.text("previous_kid"), answer.text("rotation")), (second.clone(), "manual".to_owned()));
    let current = admin.get("/secret/db_main");
    assert_eq!((current.text("value"), current.text("kid")), ("one".to_owned(), kid.clone()));
    let listed = admin.get("/secret/db_main/versions").json()["versions"].clone();
    let told: Vec<_> = (0..3).map(|n| listed[n]["kid"].as_str().unwrap()).collect();
    assert_eq!(told, [&kid, &second, &first]);
    assert_eq!(listed[1]["readable_until"], answer.json()["previous_readable_until"]);

    // The same way leads back from there.
    assert_eq!(roll_back(&mut admin, &second).status, 200);
    assert_eq!(admin.value("db_main"), "two");
    let line = ["create_secret", &kid, "success", &format!("rollback to {first}")].map(Value::from);
    assert_eq!(lines(&daemon.site, &answer), [line]);
    let site = daemon.stop();
    assert_eq!(site.start().client("admin").value("db_main"), "two");
}

#[test]
fn each_reason_against_a_rollback_has_its_own_error_and_nothing_is_changed() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let first = admin.store("db_main", "one");
    let second = admin.post("/secret", r#"{"name":"db_main","value":"two","grace_days":0}"#).text("kid");
    let third = admin.store("db_main", "three");
    let refusal = |answer: Answer, status: u16, code: &str| {
        assert_eq!(answer.refusal(), (status, code.to_owned()), "{}", answer.body);
        answer
    };
    let gone = refusal(roll_back(&mut admin, &first), 410, "gone");
    refusal(roll_back(&mut admin, &second), 410, "gone");
    let line = ["create_secret", first.as_str(), "error", "gone"].map(Value::from);
    assert_eq!(lines(&daemon.site, &gone), [line], "the log says which version was wanted");
    let absent = refusal(roll_back(&mut admin, "db_main-20010101-000000"), 404, "not_found");
    assert_eq!(absent.text("message"), "there is no such version of db_main");
    // That is the first reason, whatever condition is not met.
    let condition = [("If-Match", "\"db_main-20010101-000000\"")];
    let body = json!({ "kid": "hunter2" }).to_string();
    refusal(admin.ask("POST", "/secret/db_main/rollback", &condition, &body), 404, "not_found");
    let mistaken = refusal(roll_back(&mut admin, "hunter2"), 404, "not_found");
    assert!(!lines(&daemon.site, &mistaken)[0].iter().any(|field| field == "hunter2"), "it may be a secret");
    refusal(admin.post("/secret/db_none/rollback", &json!({ "kid": first }).to_string()), 404, "not_found");
    let same = refusal(roll_back(&mut admin, &third), 409, "already_current");
    assert_eq!(same.text("message"), format!("{third} is the current version already; nothing was changed"));
    for body in ["", "{}", "[]", r#"{"kid":1}"#, r#"{"kid":"x","force":true}"#] {
        refusal(admin.post(TARGET, body), 400, "bad_request");
    }
    refusal(
        admin.post("/secret/db_main/rollback?dry_run=true", &json!({ "kid": first }).to_string()),
        400,
        "bad_request",
    );
    let denied = refusal(roll_back(&mut daemon.client("reader"), &first), 403, "not_authorized");
    assert_eq!(lines(&daemon.site, &denied)[0][0], "create_secret");
    let current = admin.get("/secret/db_main");
    assert_eq!((current.text("value"), current.text("kid")), ("three".to_owned(), third));
}

#[test]
fn check_and_set_holds_for_it_too() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let [first, second] = ["one", "two"].map(|value| admin.store("db_main", value));
    let body = json!({ "kid": first }).to_string();
    for header in [("If-Match", first.as_str()), ("If-None-Match", &second), ("If-None-Match", "*")] {
        let answer = admin.ask("POST", TARGET, &[header], &body);
        assert_eq!(answer.refusal(), (412, "precondition_failed".to_owned()), "{header:?}");
    }
    assert_eq!(admin.value("db_main"), "two");
    assert_eq!(admin.ask("POST", TARGET, &[("If-Match", &second)], &body).status, 200);
    assert_eq!(admin.value("db_main"), "one");
}

/// An external system for which `db_main` was rotated, and the kids of its version then and now.
fn rotated(actions: &[&str]) -> (ExternalSystem, Daemon, [String; 2]) {
    let external = ExternalSystem::with(actions);
    let daemon = external.start();
    let mut admin = daemon.client("admin");
    let old = admin.get("/secret/db_main").text("kid");
    assert_eq!(rotate(&mut admin).status, 200);
    let new = admin.get("/secret/db_main").text("kid");
    external.remove("calls");
    (external, daemon, [old, new])
}

/// The audit lines behind the first rotation, without those about reads.
fn audited(external: &ExternalSystem) -> Vec<[String; 3]> {
    let changes = ["create_secret", "rotate", "prepare_rotation"];
    let lines = external.site.audit(1).into_iter().filter(|line| changes.iter().any(|event| line["event"] == *event));
    let told =
        |line: Value| ["event", "result", "detail"].map(|field| line[field].as_str().unwrap_or_default().to_owned());
    lines.skip(3).map(told).collect()
}

#[test]
fn a_rollback_runs_the_appliers_as_a_rotation_does_but_prepares_no_value() {
    let (external, daemon, [old, new]) = rotated(&["prepare", "apply", "verify"]);
    let mut admin = daemon.client("admin");
    let answer = roll_back(&mut admin, &old);
    assert_eq!((answer.status, answer.text("previous_kid")), (200, new), "{}", answer.body);
    assert_eq!((admin.value("db_main").as_str(), external.read("accepted").as_str()), (OLD, OLD));
    assert_eq!(external.calls(), ["apply", "verify"]);
    let detail = format!("rollback to {old}");
    let expected = [line("prepare_rotation", "success", &detail), line("create_secret", "success", &detail)];
    assert_eq!(audited(&external), expected);
    daemon.stop().verify_audit();
}

#[test]
fn where_the_external_system_does_not_accept_a_rollback_the_current_value_stays() {
    let (external, daemon, [old, new]) = rotated(&["apply", "verify"]);
    let mut admin = daemon.client("admin");
    external.on("apply", "exit 3");
    let answer = roll_back(&mut admin, &old);
    assert_eq!(answer.refusal(), (502, "apply_failed".to_owned()), "{}", answer.body);
    assert_eq!(answer.text("message"), "not rolled back, the current value stays: db_main (apply: exit status 3)");
    let current = admin.get("/secret/db_main");
    assert_eq!((current.text("value"), current.text("kid")), (external.read("accepted"), new.clone()));
    assert_eq!(pending(&mut admin), None);
    let detail = format!("rollback to {old}");
    let failed = line("create_secret", "error", &format!("{detail}; apply: exit status 3"));
    assert_eq!(audited(&external), [line("prepare_rotation", "success", &detail), failed]);

    external.remove("calls");
    assert_eq!(roll_back(&mut admin, &new).refusal(), (409, "already_current".to_owned()));
    assert_eq!(roll_back(&mut admin, "db_main-20010101-000000").status, 404);
    assert_eq!(admin.ask("POST", TARGET, &[("If-Match", &old)], &json!({ "kid": old }).to_string()).status, 412);
    assert_eq!(roll_back(&mut admin, "hunter2").status, 404);
    assert!(!external.site.read("log").contains("hunter2"), "it may be a secret");
    assert_eq!(external.calls(), Vec::<String>::new(), "no program is run for what is refused");
}

#[test]
fn one_that_is_not_decided_on_keeps_others_away_and_becomes_current_when_it_is_accepted() {
    let (external, daemon, [old, _]) = rotated(&["apply", "verify"]);
    let mut admin = daemon.client("admin");
    external.on("verify", "exit 2");
    assert_eq!(roll_back(&mut admin, &old).refusal(), (502, "apply_failed".to_owned()));
    assert!(pending(&mut admin).is_some());
    assert_eq!(roll_back(&mut admin, &old).refusal(), (409, "rotation_pending".to_owned()));
    external.remove("on-verify");
    let site = daemon.stop();
    let daemon = site.start();
    let mut admin = daemon.client("admin");
    eventually("it is decided on", || pending(&mut admin).is_none().then_some(()));
    assert_eq!(admin.value("db_main"), OLD);
}

#[test]
fn killed_while_it_is_applied_it_is_decided_by_what_is_accepted_at_the_next_start() {
    for (before, is_done) in [("", false), ("printf %s \"$value\" >$D/accepted", true)] {
        let (external, daemon, [old, _]) = rotated(&["apply", "verify"]);
        let before_it = daemon.client("admin").value("db_main");
        external.on("apply", &format!("{before}\necho $$ >$D/at; while :; do sleep 0.01; done"));
        let mut client = daemon.client("admin");
        let body = json!({ "kid": old }).to_string();
        let asking = thread::spawn(move || client.try_ask("POST", TARGET, &[], body.as_bytes()).is_err());
        external.written("at");
        drop(daemon);
        assert!(asking.join().unwrap(), "no answer has said that it was done");
        external.remove("on-apply");
        let daemon = external.site.start();
        let mut admin = daemon.client("admin");
        eventually("it is decided on", || pending(&mut admin).is_none().then_some(()));
        let expected = if is_done { OLD } else { &before_it };
        assert_eq!((admin.value("db_main").as_str(), external.read("accepted").as_str()), (expected, expected));
        let prepared = line("prepare_rotation", "success", &format!("rollback to {old}"));
        let [first, second] = &audited(&external)[..] else { panic!("{:?}", audited(&external)) };
        let ended = if is_done { "success" } else { "error" };
        assert_eq!((first, &second[..2]), (&prepared, &["rotate", ended].map(str::to_owned)[..]));
        daemon.stop().verify_audit();
    }
}
