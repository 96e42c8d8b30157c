//! What the schedule replaces while nothing tells those who use it: never by surprise, and said wherever one would look.

use serde_json::{Value, json};

use crate::calendar::Calendar;
use crate::client::Client;
use crate::client_program::{ServingDaemon, fed, printed};
use crate::external_system::ExternalSystem;
use crate::site::Site;

const AUTO: &str = "\njarvis_secretsd_secrets_auto_without_applier ";

/// The warning that an answer holds.
fn warning(answer: &Value) -> Option<&str> {
    answer["warning"].as_str()
}

#[track_caller]
fn warns(answer: &Value) {
    let told = warning(answer).unwrap_or_else(|| panic!("no warning: {answer}"));
    let when = told.strip_prefix("will be replaced on ").and_then(|rest| rest.split_once("; ")).expect(told);
    assert!(when.0 >= &answer["expires_at"].as_str().unwrap()[..19], "not before the day on which it is due: {answer}");
    assert_eq!(when.1, "whoever uses it must read it again");
}

/// What `field` says of each secret of a list.
fn by_name(list: &Value, field: &str) -> Vec<(String, Value)> {
    let items = list.as_array().unwrap().iter();
    items.map(|item| (item["name"].as_str().unwrap().to_owned(), item[field].clone())).collect()
}

#[test]
fn a_generated_value_is_auto_where_an_applier_makes_the_next_one_accepted() {
    let external = ExternalSystem::with(&["apply", "verify"]);
    let daemon = external.site.start();
    let mut admin = daemon.client("admin");
    let make = |admin: &mut Client, body: Value| admin.post("/secret", &body.to_string()).json();
    let applied = make(&mut admin, json!({ "name": "db_main", "generate": true }));
    assert_eq!((applied["rotation"].as_str(), warning(&applied)), (Some("auto"), None));
    let other = make(&mut admin, json!({ "name": "db_other", "generate": true }));
    assert_eq!((other["rotation"].as_str(), warning(&other)), (Some("manual"), None));
    let said = make(&mut admin, json!({ "name": "db_main", "generate": true, "rotation": "manual" }));
    assert_eq!(said["rotation"], "manual");
    let supplied = make(&mut admin, json!({ "name": "db_main", "value": "v" }));
    assert_eq!(supplied["rotation"], "manual", "a person's value is a person's to replace");
}

#[test]
fn what_is_auto_without_an_applier_is_said_by_the_answer_the_list_the_schedule_and_the_metrics() {
    let external = ExternalSystem::with(&["apply", "verify"]);
    let daemon = external.site.start();
    let mut admin = daemon.client("admin");
    for (name, rotation) in [("db_main", "auto"), ("db_manual", "manual"), ("db_off", "off")] {
        let body = json!({ "name": name, "generate": true, "rotation": rotation });
        assert_eq!(warning(&admin.post("/secret", &body.to_string()).json()), None, "{name}");
    }
    assert!(admin.metrics().contains(&format!("{AUTO}0\n")));

    warns(&admin.post("/secret", r#"{"name":"db_key","generate":true,"rotation":"auto"}"#).json());
    let several = r#"{"secrets":[{"name":"db_salt","value":"v","rotation":"auto"}]}"#;
    warns(&admin.post("/secrets", several).json()["secrets"][0]);
    warns(&admin.post("/rotate", r#"{"names":["db_key"]}"#).json()["versions"][0]);
    let patch = |admin: &mut Client, rotation: &str| {
        admin.ask("PATCH", "/secret/db_manual", &[], &json!({ "rotation": rotation }).to_string()).json()
    };
    warns(&patch(&mut admin, "auto"));

    assert!(admin.metrics().contains(&format!("{AUTO}3\n")));
    let has_appliers =
        [("db_key", false), ("db_main", true), ("db_manual", false), ("db_off", false), ("db_salt", false)];
    let expected = has_appliers.map(|(name, has)| (name.to_owned(), json!(has)));
    assert_eq!(by_name(&admin.get("/secrets").json()["secrets"], "has_appliers"), expected);
    let mut scheduled = by_name(&admin.get("/rotation/schedule").json()["schedule"], "has_appliers");
    scheduled.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(scheduled, expected.into_iter().filter(|(name, _)| name != "db_off").collect::<Vec<_>>());

    assert_eq!(warning(&patch(&mut admin, "manual")), None);
    assert!(admin.metrics().contains(&format!("{AUTO}2\n")));
}

#[test]
fn a_configuration_can_leave_generated_values_to_the_schedule() {
    let site = Site::new();
    let config = format!("{}[rotation]\ndefault = \"auto\"\n", site.read("config.toml"));
    site.write("config.toml", &config);
    let daemon = site.start();
    let mut admin = daemon.client("admin");
    let made = admin.post("/secret", r#"{"name":"db_main","generate":true}"#).json();
    assert_eq!(made["rotation"], "auto");
    warns(&made);
    assert_eq!(admin.post("/secret", r#"{"name":"db_own","value":"v"}"#).text("rotation"), "manual");
    drop(admin);

    // What was stored so stays so, also where the configuration no longer says it.
    let site = daemon.stop();
    site.edit("config.toml", "default = \"auto\"", "default = \"manual\"");
    let daemon = site.start();
    let list = daemon.client("admin").get("/secrets").json();
    let expected = [("db_main", "auto"), ("db_own", "manual")].map(|(name, how)| (name.to_owned(), json!(how)));
    assert_eq!(by_name(&list["secrets"], "rotation"), expected);
}

#[test]
fn the_commands_say_so_too_and_what_is_never_due() {
    let asked = ServingDaemon::plain();
    let run = |arguments: &[&str]| printed(asked.local(arguments).output().unwrap());
    let told =
        |output: &str| output.lines().map(|line| line.split("20").next().unwrap().to_owned()).collect::<Vec<_>>();
    let set = run(&["set", "db_key", "--generate", "--rotation", "auto"]);
    assert_eq!(told(&set), ["db_key: made db_key-", "db_key: will be replaced on "]);
    assert!(
        set.contains(", rotation is due on 20") && set.ends_with("; whoever uses it must read it again\n"),
        "{set}"
    );
    assert_eq!(told(&run(&["set", "db_main", "--generate"])), ["db_main: made db_main-"]);
    let configured = run(&["configure", "db_main", "--rotation", "auto"]);
    assert_eq!(told(&configured), ["db_main: configured; db_main-", "db_main: will be replaced on "]);
    let off = printed(fed(asked.local(&["set", "db_off", "--rotation", "off"]), b"v"));
    assert!(off.trim_end().ends_with(", rotation is off"), "{off}");

    let rows = |table: &str| -> Vec<Vec<String>> {
        let cells =
            |row: &str| row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect();
        table.lines().skip(1).map(cells).collect()
    };
    let list = rows(&run(&["list"]));
    let shown: Vec<_> = list.iter().map(|row| (row[0].as_str(), row[2].as_str())).collect();
    assert_eq!(shown, [("db_key", "auto (no applier)"), ("db_main", "auto (no applier)"), ("db_off", "off")]);
    assert_eq!(list[2][3], "(never)");
    let scheduled = rows(&run(&["schedule"]));
    assert!(scheduled.iter().all(|row| row[1] == "auto (no applier)"), "{scheduled:?}");
    assert_eq!(scheduled.len(), 2);
    let versions = rows(&run(&["versions", "db_off"]));
    assert_eq!(versions[0][2..], ["off", "(never)", "(current)"]);
}

#[test]
fn the_log_names_what_was_rotated_and_by_whom_and_what_waits_for_a_person() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    let fleet: Vec<_> =
        (1..=30).map(|n| json!({ "name": format!("s{n:02}"), "value": "v", "rotation": "auto" })).collect();
    assert_eq!(admin.post("/secrets", &json!({ "secrets": fleet }).to_string()).status, 200);
    for name in ["db_main", "db_other"] {
        admin.store(name, "v");
    }
    drop(admin);
    let Calendar { daemon, site, .. } = calendar;
    daemon.stop().unwrap();

    // By the system's clock they are long due.
    let mut daemon = site.start();
    let due = daemon.await_log("Rotation is due");
    assert!(due.trim_end().ends_with("Rotation is due, and a person has to do it: db_main, db_other"), "{due}");
    let scheduled = daemon.await_log("Rotated as scheduled");
    assert!(scheduled.contains("Rotated as scheduled: s01, s02, s03, "), "{scheduled}");
    assert!(scheduled.trim_end().ends_with(", s20 and 10 more"), "{scheduled}");
    assert_eq!(daemon.client("keeper").post("/rotate", r#"{"names":["db_main","db_other"]}"#).status, 200);
    let asked = daemon.await_log("Rotated at the request");
    assert!(asked.trim_end().ends_with("Rotated at the request of keeper: db_main, db_other"), "{asked}");
}
