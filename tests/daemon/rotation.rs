//! Rotation and grace by a clock that the test turns.

use std::time::Duration;

use jarvis_secretsd::base::clock::Clock;
use jarvis_secretsd::rotation;
use jarvis_secretsd::vault::Rotation;
use serde_json::{Value, json};

use crate::calendar::{Calendar, START, start};
use crate::client::Client;

/// What the list says of the secret called `name`.
fn listed(client: &mut Client, name: &str) -> Value {
    let list = client.get("/secrets").json();
    list["secrets"].as_array().unwrap().iter().find(|item| item["name"] == name).unwrap().clone()
}

#[test]
fn versions_of_the_same_second_are_numbered() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    let kids = ["one", "two", "three"].map(|value| admin.store("db_main", value));
    assert_eq!(kids, ["db_main-20251027-113644", "db_main-20251027-113644-2", "db_main-20251027-113644-3"]);
    assert_eq!(admin.get("/secret/db_main?kid=db_main-20251027-113644-2").text("value"), "two");
    admin.delete("/secret/db_main");
    assert_eq!(admin.store("db_main", "four"), "db_main-20251027-113644-4", "an id never comes twice");
    calendar.dial.advance(Duration::from_secs(1));
    assert_eq!(admin.store("db_main", "five"), "db_main-20251027-113645");
}

#[test]
fn times_are_exact_to_the_nanosecond() {
    let calendar = Calendar::start();
    let answer = calendar.client("admin").post("/secret", r#"{"name":"db_main","value":"v"}"#);
    assert_eq!(answer.text("created_at"), "2025-10-27T11:36:44.549067206Z");
    assert_eq!(answer.text("expires_at"), "2026-01-25T11:36:44.549067206Z", "90 days later");
}

#[test]
fn when_it_is_due_an_auto_value_is_replaced_and_a_manual_one_is_reported() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    admin.make(&json!({ "name": "db_auto", "generate": { "type": "hex", "bytes": 16 }, "rotation": "auto" }));
    admin.make(&json!({ "name": "db_asked", "value": "supplied", "rotation": "auto" }));
    admin.store("db_manual", "supplied");
    let generated = admin.value("db_auto");

    calendar.pass_days(89);
    calendar.daily_round();
    assert_eq!(admin.value("db_auto"), generated, "not due yet");

    calendar.pass_days(1);
    for name in ["db_auto", "db_asked", "db_manual"] {
        assert_eq!(listed(&mut admin, name)["is_expired"], true, "{name}");
    }
    assert_eq!(admin.value("db_auto"), generated, "what is due is still served");
    calendar.daily_round();

    assert_ne!(admin.value("db_auto"), generated);
    assert_eq!(admin.value("db_auto").len(), 32, "of the same kind");
    assert_ne!(admin.value("db_asked"), "supplied");
    assert_eq!(admin.value("db_manual"), "supplied", "never overwritten by the schedule");
    for (name, rotation, is_expired) in
        [("db_auto", "auto", false), ("db_asked", "auto", false), ("db_manual", "manual", true)]
    {
        let item = listed(&mut admin, name);
        assert_eq!((&item["rotation"], &item["is_expired"]), (&json!(rotation), &json!(is_expired)), "{name}");
    }
    let expected = ["db_asked", "db_auto"]
        .map(|name| [name.to_owned(), format!("{name}-20260125-113644"), "scheduled".to_owned()]);
    assert_eq!(calendar.audited("rotate"), expected);

    calendar.daily_round();
    assert_eq!(calendar.audited("rotate").len(), 2, "the next is due in 90 days");
}

#[test]
fn the_metrics_distinguish_who_is_to_rotate_what_is_due() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    admin.make(&json!({ "name": "db_auto", "generate": true, "rotation": "auto" }));
    admin.store("db_manual", "supplied");
    let due = || {
        let due = |rotation| rotation::due(calendar.daemon.vault(), rotation).map(|listed| listed.name).collect();
        let (auto, manual): (Vec<_>, Vec<_>) = (due(Rotation::Auto), due(Rotation::Manual));
        let census = calendar.daemon.vault().census(&mut |_| {});
        assert_eq!((auto.len() as u64, manual.len() as u64), (census.due_auto, census.due_manual));
        (auto, manual)
    };
    assert_eq!(due(), (vec![], vec![]));
    calendar.pass_days(90);
    assert_eq!(due(), (vec!["db_auto".to_owned()], vec!["db_manual".to_owned()]));
    calendar.daily_round();
    assert_eq!(due(), (vec![], vec!["db_manual".to_owned()]));
    admin.store("db_manual", "by a person");
    assert_eq!(due(), (vec![], vec![]));
}

#[test]
fn a_supplied_value_that_is_rotated_by_name_stays_a_persons_to_replace() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    admin.store("db_main", "supplied");
    assert_eq!(admin.post("/rotate", r#"{"names":["db_main"]}"#).json()["rotated_count"], 1);
    let rotated = admin.value("db_main");
    assert_ne!(rotated, "supplied");
    assert_eq!(listed(&mut admin, "db_main")["rotation"], "manual");
    calendar.pass_days(90);
    calendar.daily_round();
    assert_eq!(admin.value("db_main"), rotated);
}

#[test]
fn a_value_that_a_person_gives_to_an_auto_secret_is_theirs_from_then_on() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    admin.make(&json!({ "name": "db_main", "generate": true, "rotation": "auto" }));
    admin.store("db_main", "by a person");
    assert_eq!(listed(&mut admin, "db_main")["rotation"], "manual");
    calendar.pass_days(90);
    calendar.daily_round();
    assert_eq!(admin.value("db_main"), "by a person");
}

#[test]
fn rotating_all_that_is_due_leaves_out_what_a_person_supplied_and_what_the_client_may_not_change() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    for name in ["db_main", "db_root", "api_key"] {
        admin.make(&json!({ "name": name, "generate": true, "rotation": "auto" }));
    }
    admin.store("db_manual", "supplied");
    calendar.pass_days(45);
    admin.make(&json!({ "name": "db_young", "generate": true, "rotation": "auto" }));
    calendar.pass_days(45);

    let rotate = |client: &str| calendar.client(client).post("/rotate", r#"{"names":[]}"#).body;
    assert_eq!(rotate("keeper"), r#"{"rotated_count":1,"rotated":["db_main"]}"#);
    assert_eq!(rotate("admin"), r#"{"rotated_count":2,"rotated":["api_key","db_root"]}"#);
    assert_eq!(rotate("admin"), r#"{"rotated_count":0,"rotated":[]}"#);
    assert_eq!(admin.value("db_manual"), "supplied");
}

#[test]
fn a_version_that_was_replaced_is_readable_during_its_grace_and_then_gone() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    let kid = admin.store("db_main", "before");
    calendar.pass_days(10);
    let current = admin.store("db_main", "after");
    let old = format!("/secret/db_main?kid={kid}");

    let during = admin.get(&old);
    assert_eq!((during.text("value"), during.text("kid")), ("before".to_owned(), kid.clone()));
    assert_eq!(during.text("expires_at"), "2025-11-20T11:36:44.549067206Z", "the end of its grace");
    calendar.dial.advance(Duration::from_secs(14 * 86_400 - 1));
    calendar.daily_round();
    assert_eq!(admin.get(&old).text("value"), "before", "to the last second");

    calendar.dial.advance(Duration::from_secs(1));
    let gone = (410, "gone".to_owned());
    assert_eq!(admin.get(&old).refusal(), gone, "also before it is destroyed");
    assert_eq!(calendar.audited("destroy_version"), [[""; 3]; 0]);
    assert_eq!(calendar.daemon.vault().census(&mut |_| {}).versions, 2);
    calendar.daily_round();
    assert_eq!(calendar.daemon.vault().census(&mut |_| {}).versions, 1);
    assert_eq!(calendar.audited("destroy_version"), [["db_main", kid.as_str(), "scheduled"]]);
    assert_eq!(admin.get(&old).refusal(), gone, "and after it");

    let answer = admin.get("/secret/db_main");
    assert_eq!((answer.text("value"), answer.text("kid")), ("after".to_owned(), current), "the current one stays");
}

#[test]
fn what_was_rotated_and_destroyed_is_so_after_a_restart() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    let kid = admin.make(&json!({ "name": "db_main", "generate": true, "rotation": "auto" }));
    calendar.pass_days(90);
    calendar.daily_round();
    calendar.pass_days(14);
    calendar.daily_round();
    let value = admin.value("db_main");
    drop(admin);

    let Calendar { daemon, dial, site } = calendar;
    daemon.stop().unwrap();
    let now = START.plus_days(104);
    dial.set(now);
    let again = start(&site.path("config.toml"), &Clock::manual(now).0);
    let mut admin = Client::named("admin", again.local_addr().unwrap());
    assert_eq!(admin.value("db_main"), value);
    assert_eq!(admin.get(&format!("/secret/db_main?kid={kid}")).refusal(), (410, "gone".to_owned()));
    assert_eq!(listed(&mut admin, "db_main")["is_expired"], false);
}
