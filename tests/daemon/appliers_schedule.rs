//! The schedule and the external system: what is due, what is tried again, and what is retired, by a clock that the test turns.

use std::time::Duration;

use jarvis_secretsd::audit::{Entry, Event};
use serde_json::json;

use crate::calendar::Calendar;
use crate::client::Client;
use crate::external_system::{ExternalSystem, OLD, pending, rotate};

const MINUTE: Duration = Duration::from_secs(60);

/// A calendar whose secret `db_main`, of the schedule's to replace, is accepted by the external system.
fn calendar(external: &ExternalSystem) -> (Calendar, Client) {
    let calendar = Calendar::at(external.site.clone());
    let mut admin = calendar.client("admin");
    admin.make(&json!({ "name": "db_main", "value": OLD, "rotation": "auto" }));
    (calendar, admin)
}

#[test]
fn when_it_is_due_it_is_rotated_through_its_appliers() {
    let external = ExternalSystem::with(&["apply", "verify"]);
    let (calendar, mut admin) = calendar(&external);
    admin.make(&json!({ "name": "other", "generate": true, "rotation": "auto" }));
    let other = admin.value("other");
    calendar.daily_round();
    assert!(external.calls().is_empty(), "not due yet");
    calendar.pass_days(90);
    calendar.daily_round();
    assert_ne!(admin.value("other"), other);
    assert_ne!(admin.value("db_main"), OLD);
    assert_eq!(admin.value("db_main"), external.read("accepted"));
    assert_eq!(external.calls(), ["apply", "verify"]);
    let [prepared] = &calendar.audited("prepare_rotation")[..] else { panic!() };
    assert_eq!((prepared[0].as_str(), prepared[2].as_str()), ("db_main", "scheduled"));
    assert_eq!(calendar.audited("rotate").iter().filter(|line| line[2] == "scheduled").count(), 2);
    calendar.daily_round();
    assert_eq!(external.calls().len(), 2);
}

#[test]
fn a_dry_run_of_what_is_due_passes_over_what_is_being_rotated_as_the_rotation_does() {
    let external = ExternalSystem::with(&["apply", "verify"]);
    let (calendar, mut admin) = calendar(&external);
    calendar.pass_days(90);
    let mut would_rotate = || admin.post("/rotate?dry_run=true", r#"{"names":[]}"#).json()["would_rotate"].clone();
    assert_eq!(would_rotate()[0]["name"], "db_main");
    let claim = calendar.daemon.rotator().claim("db_main").expect("nobody rotates it");
    assert_eq!(would_rotate(), json!([]));
    drop(claim);
    assert_eq!(would_rotate()[0]["name"], "db_main");
}

#[test]
fn what_has_failed_is_tried_again_after_a_minute_and_then_after_twice_as_long() {
    let external = ExternalSystem::with(&["apply", "verify"]);
    let (calendar, mut admin) = calendar(&external);
    external.on("apply", "exit 3");
    calendar.pass_days(90);
    calendar.daily_round();
    let tries = || external.calls().iter().filter(|call| *call == "apply").count();
    assert_eq!(tries(), 1);
    calendar.tend();
    calendar.daily_round();
    assert_eq!(tries(), 1, "too early");
    calendar.dial.advance(MINUTE);
    calendar.tend();
    assert_eq!(tries(), 2);
    calendar.dial.advance(MINUTE);
    calendar.tend();
    assert_eq!(tries(), 2, "too early");
    calendar.dial.advance(MINUTE);
    external.remove("on-apply");
    calendar.tend();
    assert_eq!(tries(), 3);
    assert_eq!(admin.value("db_main"), external.read("accepted"));
    let ends: Vec<_> = calendar.audited("rotate").into_iter().map(|[_, _, detail]| detail).collect();
    assert_eq!(ends, ["scheduled; apply: exit status 3", "scheduled; apply: exit status 3", "scheduled"]);
    calendar.dial.advance(MINUTE * 60);
    calendar.tend();
    assert_eq!(tries(), 3, "it is done");
}

#[test]
fn what_has_failed_is_tried_again_too_after_the_clock_was_ahead_and_is_put_right() {
    let external = ExternalSystem::with(&["apply", "verify"]);
    let (calendar, mut admin) = calendar(&external);
    let right = calendar.daemon.vault().now();
    calendar.pass_days(3650);
    external.on("verify", "exit 2");
    assert_eq!(rotate(&mut admin).status, 502);
    external.remove("on-verify");
    calendar.tend();
    assert_eq!(admin.value("db_main"), OLD, "too early");
    calendar.dial.set(right);
    calendar.tend();
    assert_eq!(admin.value("db_main"), external.read("accepted"));
}

#[test]
fn what_verify_could_not_decide_is_verified_again_until_it_can() {
    let external = ExternalSystem::with(&["apply", "verify"]);
    let (calendar, mut admin) = calendar(&external);
    external.on("verify", "exit 2");
    assert_eq!(rotate(&mut admin).status, 502);
    for _ in 0..3 {
        calendar.dial.advance(MINUTE * 60);
        calendar.tend();
    }
    assert_eq!(admin.value("db_main"), OLD);
    assert_eq!(calendar.audited("rotate").len(), 1, "it is written down once");
    external.remove("on-verify");
    calendar.tend();
    assert_eq!(admin.value("db_main"), OLD, "too early");
    calendar.dial.advance(MINUTE * 60);
    calendar.tend();
    assert_eq!(admin.value("db_main"), external.read("accepted"));
    assert_eq!(external.calls().iter().filter(|call| *call == "apply").count(), 1, "it was applied once");
}

#[test]
fn a_rotation_by_name_that_failed_is_not_tried_again_by_the_schedule() {
    let external = ExternalSystem::with(&["apply", "verify"]);
    let (calendar, mut admin) = calendar(&external);
    external.on("apply", "exit 3");
    assert_eq!(rotate(&mut admin).status, 502);
    let calls = external.calls().len();
    calendar.dial.advance(MINUTE * 60);
    calendar.tend();
    assert_eq!(external.calls().len(), calls, "it is not due");
}

#[test]
fn a_secret_that_is_deleted_meanwhile_is_not_tried_again() {
    let external = ExternalSystem::with(&["apply", "verify"]);
    let (calendar, mut admin) = calendar(&external);
    external.on("apply", "exit 3");
    calendar.pass_days(90);
    calendar.daily_round();
    admin.delete("/secret/db_main");
    let calls = external.calls().len();
    calendar.dial.advance(MINUTE * 60);
    calendar.tend();
    assert_eq!(external.calls().len(), calls);
    assert_eq!(calendar.audited("rotate").len(), 1);
}

#[test]
fn a_version_is_retired_before_it_is_destroyed_and_stays_while_that_fails() {
    let external = ExternalSystem::with(&["apply", "verify", "retire"]);
    let (calendar, mut admin) = calendar(&external);
    let old = admin.get("/secret/db_main").text("kid");
    assert_eq!(rotate(&mut admin).status, 200);
    external.on("retire", "exit 3");
    calendar.pass_days(14);
    calendar.daily_round();
    let versions = || calendar.daemon.vault().census(&mut |_| {}).versions;
    let tries = || external.calls().iter().filter(|call| *call == "retire").count();
    assert_eq!((versions(), tries()), (2, 1));
    let gone = (410, "gone".to_owned());
    assert_eq!(admin.get(&format!("/secret/db_main?kid={old}")).refusal(), gone, "nobody gets it any more");
    let failed = ["db_main", old.as_str(), "scheduled; retire: exit status 3"];
    assert_eq!(calendar.audited("destroy_version"), [failed]);

    assert_eq!(calendar.daemon.vault().destroy_expired("compaction", || false), Ok(0), "no other way around it");
    calendar.tend();
    assert_eq!((versions(), tries()), (2, 1), "too early");
    external.remove("on-retire");
    calendar.dial.advance(MINUTE);
    calendar.tend();
    assert_eq!((versions(), tries()), (1, 2));
    assert_eq!(calendar.audited("destroy_version"), [failed, ["db_main", old.as_str(), "scheduled"]]);
    let current = admin.get("/secret/db_main");
    let told = json!({
        "action": "retire",
        "name": "db_main",
        "old": { "kid": old, "value": OLD },
        "current": { "kid": current.text("kid"), "value": current.text("value") },
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&external.read("retired")).unwrap(), told);
    calendar.tend();
    assert_eq!(tries(), 2);
}

#[test]
fn a_value_that_is_the_current_one_too_is_not_retired() {
    let external = ExternalSystem::with(&["apply", "verify", "retire"]);
    let (calendar, mut admin) = calendar(&external);
    admin.store("db_main", OLD);
    calendar.pass_days(14);
    calendar.daily_round();
    assert_eq!(calendar.daemon.vault().census(&mut |_| {}).versions, 1);
    assert!(external.calls().is_empty());
}

#[test]
fn a_value_that_can_still_be_read_under_another_kid_is_not_retired_before_that_ends() {
    let external = ExternalSystem::with(&["apply", "verify", "retire"]);
    let (calendar, mut admin) = calendar(&external);
    let mut set_grace = |days: u32| {
        let body = format!(r#"{{"grace_days":{days}}}"#);
        assert_eq!(admin.ask("PATCH", "/secret/db_main", &[], &body).status, 200);
    };
    set_grace(0);
    let again = calendar.client("admin").store("db_main", OLD);
    set_grace(14);
    admin.store("db_main", "another");
    let versions = || calendar.daemon.vault().census(&mut |_| {}).versions;
    let retired = || external.calls().iter().filter(|call| *call == "retire").count();
    calendar.daily_round();
    assert_eq!((versions(), retired()), (2, 0), "the first one is destroyed, and its value still used");
    assert_eq!(admin.get(&format!("/secret/db_main?kid={again}")).text("value"), OLD);
    calendar.pass_days(14);
    calendar.daily_round();
    assert_eq!((versions(), retired()), (1, 1));
    assert!(external.read("retired").contains(&again), "{}", external.read("retired"));
}

#[test]
fn a_value_that_is_pending_is_not_retired_before_that_is_decided() {
    let external = ExternalSystem::with(&["prepare", "apply", "verify", "retire"]);
    let (calendar, mut admin) = calendar(&external);
    admin.store("db_main", "another");
    // As where two users take turns, and one value comes again.
    external.on("prepare", &format!("echo {OLD}; exit 0"));
    external.on("verify", "exit 2");
    assert_eq!(rotate(&mut admin).status, 502);
    assert!(pending(&mut admin).is_some());
    let forced = admin.post("/secret/db_main/retire", r#"{"force":true}"#);
    assert_eq!(forced.refusal(), (409, "rotation_pending".to_owned()));
    calendar.pass_days(14);
    calendar.daily_round();
    let versions = || calendar.daemon.vault().census(&mut |_| {}).versions;
    let retired = || external.calls().iter().filter(|call| *call == "retire").count();
    assert_eq!((versions(), retired()), (2, 0));

    // The pending one is discarded, and what nothing else has is retired.
    external.on("verify", r#"[ "$value" = another ]; exit"#);
    for _ in 0..2 {
        calendar.dial.advance(MINUTE * 60);
        calendar.tend();
    }
    assert_eq!((pending(&mut admin), versions(), retired()), (None, 1, 1));
}

#[test]
fn all_old_versions_are_retired_in_the_external_system_before_they_are_destroyed_on_request() {
    let external = ExternalSystem::with(&["apply", "verify", "retire"]);
    let (calendar, mut admin) = calendar(&external);
    let old = [admin.get("/secret/db_main").text("kid"), admin.store("db_main", "second")];
    admin.store("db_main", "third");
    external.on("retire", "echo \"$input\" >>$D/all; grep -q second $D/all && exit 3");
    let retire = |admin: &mut Client| admin.post("/secret/db_main/retire", r#"{"force":true}"#);
    let refused = retire(&mut admin);
    assert_eq!(refused.refusal(), (502, "apply_failed".to_owned()));
    let message = "not retired, the older versions stay: db_main (retire: exit status 3)";
    assert_eq!(refused.text("message"), message);
    let told = external.read("all");
    assert_eq!(told.lines().count(), 2);
    assert!(told.lines().next().unwrap().contains(OLD), "the oldest first");
    assert_eq!(calendar.daemon.vault().census(&mut |_| {}).versions, 3);
    let [[_, kid, detail]] = &calendar.audited("retire")[..] else { panic!("{:?}", calendar.audited("retire")) };
    assert_eq!(kid, &old[1]);
    assert!(detail.ends_with("; retire: exit status 3"), "{detail}");

    external.remove("on-retire");
    assert_eq!(retire(&mut admin).json()["retired"], json!(old));
    assert_eq!(calendar.daemon.vault().census(&mut |_| {}).versions, 1);
}

#[test]
fn nobody_rotates_a_secret_whose_old_versions_are_being_retired() {
    let external = ExternalSystem::with(&["apply", "verify", "retire"]);
    let (calendar, _admin) = calendar(&external);
    let (rotator, entry) = (calendar.daemon.rotator(), Entry::new(Event::Retire));
    let claim = rotator.retire_old("db_main", &entry).unwrap().expect("it has appliers");
    assert!(rotator.claim("db_main").is_err());
    drop(claim);
    assert!(rotator.claim("db_main").is_ok());
    assert!(rotator.retire_old("other", &entry).unwrap().is_none());
}
