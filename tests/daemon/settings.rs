//! The settings of a secret: set with a version or by `PATCH /secret/{name}`, shown by `GET /secret/{name}/versions`.

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::running::Daemon;
use crate::site::audit_fields;

fn patch(client: &mut Client, name: &str, body: &Value) -> Answer {
    client.ask("PATCH", &format!("/secret/{name}"), &[], &body.to_string())
}

fn shown(client: &mut Client, name: &str) -> Value {
    client.get(&format!("/secret/{name}/versions")).json()["settings"].clone()
}

#[test]
fn a_secret_has_the_settings_that_it_was_made_with_and_the_defaults_for_the_rest() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.make(&json!({
        "name": "db_main", "value": "v", "rotation": "auto", "generator": { "type": "hex", "bytes": 20 },
        "rotation_days": 30.0, "description": "Die Datenbank", "owner": "ops", "labels": { "env": "prod" },
    }));
    let expected = json!({
        "rotation": "auto", "rotation_days": 30, "grace_days": 14, "generator": { "type": "hex", "bytes": 20 },
        "description": "Die Datenbank", "owner": "ops", "labels": { "env": "prod" },
    });
    assert_eq!(shown(&mut daemon.client("reader"), "db_main"), expected);
    assert_eq!(admin.post("/rotate", r#"{"names":["db_main"]}"#).status, 200);
    let value = admin.get("/secret/db_main").text("value");
    assert!(value.len() == 40 && value.bytes().all(|byte| byte.is_ascii_hexdigit()), "{value}");
    assert_eq!(shown(&mut admin, "db_main"), expected);
}

#[test]
fn a_patch_changes_what_it_names_and_neither_the_value_nor_the_kid() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let kid = admin.make(&json!({ "name": "db_main", "value": "v", "owner": "ops", "labels": { "a": "1", "b": "2" } }));
    let body = json!({ "rotation": "off", "grace_days": 0, "owner": null, "labels": { "a": null, "c": "3" } });
    let answer = patch(&mut admin, "db_main", &body);
    assert_eq!((answer.status, answer.text("kid")), (200, kid.clone()));
    let settings = answer.json()["settings"].clone();
    let expected = json!({
        "rotation": "off", "rotation_days": 90, "grace_days": 0, "generator": { "type": "base64", "bytes": 32 },
        "labels": { "b": "2", "c": "3" },
    });
    assert_eq!(settings, expected);
    let line = daemon.site.audited(answer.header("X-Request-Id").unwrap());
    let what = "rotation, grace_days, owner, labels";
    assert_eq!(audit_fields(&line), ["configure_secret", "admin", "db_main", "success", what].map(Some));

    let again = patch(&mut admin, "db_main", &body);
    let line = daemon.site.audited(again.header("X-Request-Id").unwrap());
    assert_eq!(audit_fields(&line), ["configure_secret", "admin", "db_main", "success", "no change"].map(Some));
    assert_eq!(admin.get("/secret/db_main").text("value"), "v");
    admin.store("db_main", "w");
    assert_eq!(admin.get(&format!("/secret/db_main?kid={kid}")).status, 410, "its grace is over at once");
}

#[test]
fn rotation_days_count_from_when_the_version_was_made() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "v");
    let days = |answer: &Answer| {
        let moment = |field| humantime::parse_rfc3339(&answer.text(field)).unwrap();
        moment("expires_at").duration_since(moment("created_at")).unwrap().as_secs() / 86_400
    };
    assert_eq!(days(&patch(&mut admin, "db_main", &json!({ "rotation_days": 1 }))), 1);
    assert_eq!(days(&patch(&mut admin, "db_main", &json!({ "rotation_days": null }))), 90);
    let stored = admin.post("/secret", r#"{"name":"db_main","value":"w","rotation_days":7}"#);
    assert_eq!(days(&stored), 7, "the answer tells of the day by the settings that came with the value");
}

#[test]
fn a_patch_needs_the_right_to_change_the_secret_and_holds_to_its_condition() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let kid = admin.store("db_main", "v");
    let body = json!({ "owner": "ops" });
    assert_eq!(patch(&mut daemon.client("reader"), "db_main", &body).refusal(), (403, "not_authorized".to_owned()));
    assert_eq!(patch(&mut admin, "db_none", &body).refusal(), (404, "not_found".to_owned()));
    let text = body.to_string();
    let stale = admin.ask("PATCH", "/secret/db_main", &[("If-Match", "\"db_main-20200101-000000\"")], &text);
    assert_eq!(stale.refusal(), (412, "precondition_failed".to_owned()));
    assert_eq!(shown(&mut admin, "db_main").get("owner"), None);
    assert_eq!(admin.ask("PATCH", "/secret/db_main", &[("If-Match", &kid)], &text).status, 200);
}

#[test]
fn settings_that_are_none_are_refused_whole() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "v");
    let before = shown(&mut admin, "db_main");
    let many: serde_json::Map<_, _> = (0..33).map(|n| (format!("l{n}"), json!("v"))).collect();
    for wrong in [
        json!({ "rotation": "never" }),
        json!({ "rotation_days": 0 }),
        json!({ "rotation_days": 1.5 }),
        json!({ "rotation_days": "30" }),
        json!({ "grace_days": 36_501 }),
        json!({ "grace_days": -1 }),
        json!({ "generator": { "type": "hex", "bytes": 1 } }),
        json!({ "description": "x".repeat(1025) }),
        json!({ "owner": "two\nlines" }),
        json!({ "owner": "" }),
        json!({ "labels": { "a b": "v" } }),
        json!({ "labels": { "a": "" } }),
        json!({ "labels": many }),
        json!({ "owner": "ops", "lables": {} }),
        json!([]),
    ] {
        for (name, body) in [("db_main", wrong.clone()), ("db_new", with_value(&wrong))] {
            let answer = if name == "db_new" {
                admin.post("/secret", &body.to_string())
            } else {
                patch(&mut admin, name, &body)
            };
            assert_eq!(answer.refusal(), (400, "bad_request".to_owned()), "{body}");
        }
    }
    for value in [json!({ "value": "w" }), json!({ "generate": true }), json!({ "name": "db_main" })] {
        assert_eq!(patch(&mut admin, "db_main", &value).refusal(), (400, "bad_request".to_owned()), "{value}");
    }
    let twice = json!({ "name": "db_new", "generate": true, "generator": { "type": "uuid" } });
    assert_eq!(admin.post("/secret", &twice.to_string()).refusal(), (400, "bad_request".to_owned()));
    assert_eq!(shown(&mut admin, "db_main"), before);
    assert_eq!(admin.get("/secret/db_new").status, 404);
}

/// The same as the body of `POST /secret`.
fn with_value(settings: &Value) -> Value {
    let mut body = settings.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.extend([("name".to_owned(), json!("db_new")), ("value".to_owned(), json!("v"))]);
    }
    body
}

#[test]
fn a_list_is_filtered_by_owner_and_labels_page_by_page_and_shows_settings_on_request() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    for (number, name) in ["db_a", "db_b", "db_c", "db_d", "web"].into_iter().enumerate() {
        let owner = if number % 2 == 0 { "Ops & Co" } else { "a=b" };
        let labels = json!({ "env": "prod", "n": number.to_string() });
        admin.make(&json!({ "name": name, "value": "v", "owner": owner, "labels": labels }));
    }
    admin.store("db_z", "v");
    let mut names = |query: &str| {
        let list = admin.get(&format!("/secrets?{query}")).json();
        let names = list["secrets"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned());
        (names.collect::<Vec<_>>().join(" "), list["next"].as_str().map(str::to_owned))
    };
    assert_eq!(names("owner=Ops%20%26%20Co").0, "db_a db_c web");
    assert_eq!(names("owner=Ops+%26+Co&prefix=db_&limit=1"), ("db_a".into(), Some("db_a".into())));
    assert_eq!(names("owner=Ops+%26+Co&prefix=db_&limit=1&after=db_a"), ("db_c".into(), None));
    assert_eq!(names("owner=a=b").0, "db_b db_d");
    assert_eq!(names("owner=").0, "db_z", "that nobody answers for");
    assert_eq!(names("label=env=prod&label=n%3D3"), ("db_d".into(), None));
    assert_eq!(names("label=env=prod&owner=nobody").0, "");
    // A client that may not read a secret learns nothing of it by its labels.
    let list = daemon.client("reader").get("/secrets?label=n=4").json();
    assert_eq!(list["secrets"], json!([]));

    let list = admin.get("/secrets?settings=true&label=n=1").json();
    let settings = &list["secrets"][0]["settings"];
    assert_eq!(*settings, admin.get("/secret/db_b/versions").json()["settings"]);
    assert_eq!(settings["owner"], "a=b");
    assert!(admin.get("/secrets").json()["secrets"][0].get("settings").is_none());
    for wrong in ["label=env", "label==x", "label=a%20b=c", "settings=yes", "owner=a&owner=b", "labels=a=b"] {
        assert_eq!(admin.get(&format!("/secrets?{wrong}")).refusal(), (400, "bad_request".into()), "{wrong}");
    }
}
