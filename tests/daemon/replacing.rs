//! A version is replaced: until when the one before can be read, and what it takes to have it gone at once.

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::external_system::{ExternalSystem, OLD, pending};
use crate::running::Daemon;
use crate::site::Site;

/// Days between two moments.
fn days(from: &str, until: &str) -> u64 {
    let moment = |text: &str| humantime::parse_rfc3339(text).unwrap();
    moment(until).duration_since(moment(from)).unwrap().as_secs() / 86_400
}

/// How a version is answered that is asked for by its kid.
fn status(client: &mut Client, kid: &str) -> u16 {
    let name = kid.split_once('-').unwrap().0;
    client.get(&format!("/secret/{name}?kid={kid}")).status
}

fn post(client: &mut Client, path: &str, body: &Value) -> Answer {
    let answer = client.post(path, &body.to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

/// The audit lines of a request: event, kid, result and detail.
fn lines(site: &Site, answer: &Answer) -> Vec<[Value; 4]> {
    let id = answer.header("X-Request-Id").unwrap();
    let lines = site.audit(1).into_iter().filter(|line| line["request_id"] == id);
    lines.map(|line| ["event", "kid", "result", "detail"].map(|field| line[field].clone())).collect()
}

#[test]
fn grace_days_beside_a_value_hold_for_the_version_that_it_replaces() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let first = admin.store("db_main", "one");
    let second = post(&mut admin, "/secret", &json!({ "name": "db_main", "value": "two", "grace_days": 0 }));
    assert_eq!(status(&mut admin, &first), 410, "at once");
    assert_eq!(second.text("previous_readable_until"), second.text("created_at"));

    let long = json!({ "name": "db_main", "value": "three", "grace_days": 30 });
    let third = post(&mut admin, "/secret", &long);
    assert_eq!(status(&mut admin, &second.text("kid")), 200);
    assert_eq!(days(&third.text("created_at"), &third.text("previous_readable_until")), 30);

    let body = json!({ "secrets": [{ "name": "db_main", "value": "four" }, { "name": "db_new", "value": "v" }] });
    let together = post(&mut admin, "/secrets", &body).json();
    let until = |made: &Value| made.get("previous_readable_until").map(|until| until.as_str().unwrap().to_owned());
    let made_at = together["secrets"][0]["created_at"].as_str().unwrap();
    assert_eq!(days(made_at, &until(&together["secrets"][0]).unwrap()), 30, "it is the rule from then on");
    assert_eq!(until(&together["secrets"][1]), None, "there was none before");

    let default = post(&mut admin, "/secret", &json!({ "name": "db_main", "value": "five", "grace_days": null }));
    assert_eq!(days(&default.text("created_at"), &default.text("previous_readable_until")), 14);
}

#[test]
fn the_answer_to_a_replacement_says_until_when_the_old_version_can_be_read() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let first = post(&mut admin, "/secret", &json!({ "name": "db_main", "value": "one" }));
    assert_eq!(first.json().get("previous_readable_until"), None);
    let second = post(&mut admin, "/secret", &json!({ "name": "db_main", "value": "two" }));
    let rotated = post(&mut admin, "/rotate", &json!({ "names": ["db_main"] })).json();
    let third = &rotated["versions"][0];
    assert_eq!((&rotated["rotated"], &third["name"]), (&json!(["db_main"]), &json!("db_main")));

    let listed = admin.get("/secret/db_main/versions").json();
    let told = [&third["kid"], &third["previous_readable_until"], &second.json()["previous_readable_until"]];
    let versions = &listed["versions"];
    let expected = [&versions[0]["kid"], &versions[1]["readable_until"], &versions[2]["readable_until"]];
    assert_eq!(told, expected, "{listed}");
}

#[test]
fn a_value_is_replaced_and_revoked_in_one_call() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let old = ["one", "two"].map(|value| admin.store("db_main", value));
    let body = json!({ "name": "db_main", "value": "three", "revoke_previous": true, "owner": "ops" });
    let answer = post(&mut admin, "/secret", &body);
    let kid = answer.text("kid");
    assert_eq!(answer.text("previous_readable_until"), answer.text("created_at"));
    assert_eq!(answer.json()["retired"], json!(old));
    assert_eq!(old.each_ref().map(|kid| status(&mut admin, kid)), [410, 410]);
    let line = |event: &str, kid: Value| [json!(event), kid, json!("success"), json!("revoke_previous")];
    let [first, second] = &old;
    let expected = [
        line("create_secret", json!(kid)),
        line("retire", json!(first)),
        line("retire", json!(second)),
        line("configure_secret", Value::Null),
    ];
    assert_eq!(lines(&daemon.site, &answer), expected);

    // It is not the rule for what comes next.
    let next = post(&mut admin, "/secret", &json!({ "name": "db_main", "value": "four" }));
    assert_eq!(days(&next.text("created_at"), &next.text("previous_readable_until")), 14);
    assert_eq!(next.json().get("retired"), None);

    let rotated = post(&mut admin, "/rotate", &json!({ "names": ["db_main"], "revoke_previous": true }));
    assert_eq!(rotated.json()["versions"][0]["retired"], json!([kid, next.text("kid")]));
    let page = admin.metrics();
    assert!(page.contains("\njarvis_secretsd_versions 1\n"), "they are destroyed: {page}");
    let site = daemon.stop();
    let again = site.start();
    let mut admin = again.client("admin");
    assert_eq!([kid, next.text("kid")].map(|kid| status(&mut admin, &kid)), [410, 410]);
    again.stop().verify_audit();
}

#[test]
fn several_are_revoked_or_none() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let [main, other] = ["db_main", "db_other"].map(|name| admin.store(name, "old"));
    let secrets = json!([
        { "name": "db_main", "value": "new", "revoke_previous": true },
        { "name": "db_other", "value": "new" },
        { "name": "db_new", "value": "new", "revoke_previous": true },
    ]);
    let body = json!({ "secrets": secrets });
    let stale = admin.ask("POST", "/secrets", &[("If-None-Match", "*")], &body.to_string());
    assert_eq!(stale.refusal(), (412, "precondition_failed".to_owned()));
    assert_eq!([&main, &other].map(|kid| status(&mut admin, kid)), [200, 200]);
    let made = post(&mut admin, "/secrets", &body).json();
    let retired = |index: usize| made["secrets"][index].get("retired").cloned();
    assert_eq!([retired(0), retired(1), retired(2)], [Some(json!([main])), None, None]);
    assert_eq!([&main, &other].map(|kid| status(&mut admin, kid)), [410, 200]);
}

#[test]
fn what_is_due_is_not_revoked_as_a_whole_and_settings_alone_revoke_nothing() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let kid = admin.store("db_main", "v");
    for (method, path, body) in [
        ("POST", "/rotate", json!({ "names": [], "revoke_previous": true })),
        ("PATCH", "/secret/db_main", json!({ "owner": "ops", "revoke_previous": true })),
        ("POST", "/secret", json!({ "name": "db_main", "value": "w", "revoke_previous": "yes" })),
    ] {
        let answer = admin.ask(method, path, &[], &body.to_string());
        assert_eq!(answer.refusal(), (400, "bad_request".to_owned()), "{body}");
    }
    assert_eq!(admin.get("/secret/db_main").text("kid"), kid);
    let body = json!({ "name": "db_main", "value": "w", "revoke_previous": true });
    let refused = daemon.client("reader").post("/secret", &body.to_string());
    assert_eq!(refused.refusal(), (403, "not_authorized".to_owned()), "it is for who may retire");
    let dry = post(&mut admin, "/rotate?dry_run=true", &json!({ "names": ["db_main"], "revoke_previous": true }));
    let would = dry.json()["would_rotate"][0].clone();
    assert_eq!(would["previous_readable_until"], would["created_at"]);
    assert_eq!(admin.get("/secret/db_main").text("kid"), kid);
}

/// How often the external system was to accept a value no more.
fn retired(external: &ExternalSystem) -> usize {
    external.calls().iter().filter(|call| *call == "retire").count()
}

#[test]
fn what_is_revoked_is_retired_in_the_external_system_too() {
    let external = ExternalSystem::with(&["apply", "verify", "retire"]);
    let daemon = external.start();
    let mut admin = daemon.client("admin");
    let old = admin.get("/secret/db_main").text("kid");
    let body = json!({ "name": "db_main", "value": "leaked no more", "revoke_previous": true });
    let answer = post(&mut admin, "/secret", &body);
    assert_eq!((answer.json()["retired"].clone(), retired(&external)), (json!([old]), 1));
    assert!(external.read("retired").contains(OLD));
    let line = |event: &str, kid: &str| [event, kid, "success", "revoke_previous"].map(|text| json!(text));
    assert_eq!(lines(&external.site, &answer), [line("create_secret", &answer.text("kid")), line("retire", &old)]);

    let rotated = post(&mut admin, "/rotate", &json!({ "names": ["db_main"], "revoke_previous": true })).json();
    assert_eq!((rotated["versions"][0]["retired"].clone(), retired(&external)), (json!([answer.text("kid")]), 2));
    assert_eq!(admin.value("db_main"), external.read("accepted"));

    // The same value once more: it is in use.
    let same = json!({ "name": "db_main", "value": external.read("accepted"), "revoke_previous": true });
    let kid = admin.get("/secret/db_main").text("kid");
    assert_eq!(post(&mut admin, "/secret", &same).json()["retired"], json!([kid]));
    assert_eq!(retired(&external), 2);
}

#[test]
fn a_value_that_the_external_system_cannot_retire_is_served_no_more_all_the_same() {
    let external = ExternalSystem::with(&["apply", "verify", "retire"]);
    let daemon = external.start();
    let mut admin = daemon.client("admin");
    let old = admin.get("/secret/db_main").text("kid");
    external.on("retire", "exit 3");
    let body = json!({ "name": "db_main", "value": "new", "revoke_previous": true }).to_string();
    let failed = admin.post("/secret", &body);
    assert_eq!(failed.refusal(), (502, "apply_failed".to_owned()));
    assert_eq!(failed.json()["rotated"], json!(["db_main"]));
    assert_eq!(failed.json()["failed"], json!([{ "name": "db_main", "message": "retire: exit status 3" }]));
    assert_eq!((admin.value("db_main"), status(&mut admin, &old)), ("new".to_owned(), 410));
    let told: Vec<_> =
        lines(&external.site, &failed).into_iter().map(|[event, kid, result, _]| [event, kid, result]).collect();
    let current = admin.get("/secret/db_main").text("kid");
    assert_eq!(
        told,
        [["create_secret", &current, "success"], ["retire", &old, "error"]].map(|line| line.map(|text| json!(text)))
    );

    // Whoever revokes next, or the daily round, makes good for it.
    external.remove("on-retire");
    let again = post(&mut admin, "/rotate", &json!({ "names": ["db_main"], "revoke_previous": true })).json();
    // It is run again by itself as well.
    assert_eq!(again["versions"][0]["retired"].as_array().unwrap().last(), Some(&json!(current)));
    assert!(admin.metrics().contains("\njarvis_secretsd_versions 1\n"));
}

#[test]
fn nothing_is_revoked_while_a_rotation_is_under_way() {
    let external = ExternalSystem::with(&["apply", "verify", "retire"]);
    let daemon = external.start();
    let mut admin = daemon.client("admin");
    external.on("apply", crate::external_system::HOLD);
    let rotating = external.rotating(&daemon);
    let body = json!({ "name": "db_main", "value": "new", "revoke_previous": true }).to_string();
    assert_eq!(admin.post("/secret", &body).refusal(), (409, "rotation_pending".to_owned()));
    assert_eq!(admin.value("db_main"), OLD, "nothing was changed");
    external.write("go", "");
    assert_eq!(rotating.join().unwrap().status, 200);
    assert_eq!(admin.post("/secret", &body).status, 200);
    assert_eq!((pending(&mut admin), retired(&external)), (None, 2));
}
