//! What is due when, and what would be done: the schedule, its windows, and the dry run.

use std::collections::BTreeSet;

use jarvis_secretsd::base::clock::Timestamp;
use jarvis_secretsd::rotation::{Schedule, Windows};
use serde_json::{Value, json};

use crate::calendar::{Calendar, START};
use crate::running::Daemon;
use crate::site::audit_fields;

fn names(listed: &Value) -> Vec<&str> {
    listed.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn the_schedule_lists_what_the_client_may_read_by_the_day_on_which_it_is_due() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    admin.make(&json!({ "name": "db_main", "generate": true, "rotation": "auto" }));
    admin.make(&json!({ "name": "db_root", "generate": true, "rotation": "auto", "rotation_days": 10 }));
    admin.make(&json!({ "name": "db_manual", "value": "v", "rotation_days": 30 }));
    admin.make(&json!({ "name": "db_never", "value": "v", "rotation": "off" }));
    let listed = admin.get("/rotation/schedule").json();
    assert_eq!(names(&listed["schedule"]), ["db_root", "db_manual", "db_main"]);
    assert_eq!((&listed["window"], &listed["jitter_hours"]), (&Value::Null, &json!(24)));
    let manual = &listed["schedule"][1];
    let expires_at = START.plus_days(30).to_string();
    let expected = json!({
        "name": "db_manual", "kid": "db_manual-20251027-113644", "rotation": "manual", "expires_at": expires_at,
        "scheduled_at": null, "is_due": false, "has_appliers": false,
    });
    assert_eq!(*manual, expected);
    let main = &listed["schedule"][2];
    let planned = |item: &Value| item["scheduled_at"].as_str().unwrap().to_owned();
    assert!(planned(main) >= START.plus_days(90).to_string() && planned(main) <= START.plus_days(91).to_string());

    assert_eq!(names(&admin.get("/rotation/schedule?limit=1").json()["schedule"]), ["db_root"]);
    assert_eq!(
        names(&calendar.client("reader").get("/rotation/schedule").json()["schedule"]),
        ["db_manual", "db_main"]
    );
    calendar.pass_days(10);
    assert_eq!(admin.get("/rotation/schedule").json()["schedule"][0]["is_due"], true);
    assert_eq!(admin.get("/rotation/schedule?limit=0").status, 400);
}

#[test]
fn listing_the_schedule_is_audited() {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "v");
    let answer = daemon.client("reader").get("/rotation/schedule");
    let line = daemon.site.audited(answer.header("X-Request-Id").unwrap());
    assert_eq!(audit_fields(&line), [Some("list_schedule"), Some("reader"), None, Some("success"), Some("1 names")]);
}

#[test]
fn a_fleet_of_one_day_is_rotated_over_the_day_after_it_is_due_and_each_when_the_schedule_says() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    for n in 0..20 {
        admin.make(&json!({ "name": format!("s{n:02}"), "generate": true, "rotation": "auto" }));
    }
    let listed = admin.get("/rotation/schedule").json();
    let planned: Vec<(String, String)> = listed["schedule"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["name"].as_str().unwrap().to_owned(), item["scheduled_at"].as_str().unwrap().to_owned()))
        .collect();
    calendar.pass_days(90);
    let mut moments = BTreeSet::new();
    // As the daemon's thread does, from one planned moment to the next.
    let mut rounds = 0;
    while let Some(next) = calendar.round(&Schedule::default()).filter(|next| *next <= START.plus_days(91)) {
        calendar.dial.set(next);
        moments.insert(next);
        rounds += 1;
        assert!(rounds <= 20);
    }
    assert!(moments.len() >= 15, "{moments:?}");
    let rotated: Vec<String> = calendar.audited("rotate").into_iter().map(|[name, ..]| name).collect();
    assert_eq!(rotated, planned.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    assert_eq!(
        moments.iter().map(Timestamp::to_string).collect::<BTreeSet<_>>(),
        planned.into_iter().map(|(_, at)| at).collect()
    );
}

#[test]
fn what_is_due_waits_for_the_window() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    admin.make(&json!({ "name": "db_main", "generate": true, "rotation": "auto" }));
    let value = admin.value("db_main");
    let schedule = Schedule { windows: Windows::parse("Sat 02:00-04:00"), ..Schedule::default() };
    // 2026-01-25 is a Sunday.
    calendar.pass_days(90);
    let next = calendar.round(&schedule).unwrap();
    assert!(next.to_string().starts_with("2026-01-31T0"), "{next}");
    assert_eq!(admin.value("db_main"), value);
    calendar.dial.set(next);
    calendar.round(&schedule);
    assert_ne!(admin.value("db_main"), value);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    let kid =
        admin.make(&json!({ "name": "db_main", "generate": { "type": "uuid" }, "rotation": "auto", "rotation_days": 7, "grace_days": 1 }));
    admin.store("db_manual", "v");
    let ask = |names: &str| calendar.client("admin").post("/rotate?dry_run=true", &format!(r#"{{"names":{names}}}"#));
    assert_eq!(ask("[]").body, r#"{"dry_run":true,"rotated_count":0,"rotated":[],"would_rotate":[]}"#);
    calendar.pass_days(7);
    let expected = json!({
        "name": "db_main", "kid": "db_main-20251103-113644", "created_at": START.plus_days(7).to_string(),
        "expires_at": START.plus_days(14).to_string(), "rotation": "auto", "previous_kid": kid, "previous_is_supplied": false,
        "previous_readable_until": START.plus_days(8).to_string(), "generator": { "type": "uuid" },
        "has_appliers": false,
    });
    assert_eq!(ask("[]").json()["would_rotate"], json!([expected]));
    assert_eq!(names(&ask(r#"["db_manual","db_main"]"#).json()["would_rotate"]), ["db_main", "db_manual"]);
    assert_eq!(ask(r#"["db_none","db_main"]"#).refusal(), (404, "not_found".to_owned()));
    let refused = calendar.client("reader").post("/rotate?dry_run=true", r#"{"names":["db_main"]}"#);
    assert_eq!(refused.refusal(), (403, "not_authorized".to_owned()));
    assert_eq!(admin.post("/rotate?dry_run=yes", r#"{"names":[]}"#).status, 400);
    assert_eq!(admin.get("/secret/db_main").text("kid"), kid);
    let lines = calendar.audited("rotate");
    assert_eq!(lines[1], ["", "", "dry run: 1 would be rotated"]);
    assert_eq!(admin.post("/rotate?dry_run=false", r#"{"names":[]}"#).json()["rotated"], json!(["db_main"]));
}
