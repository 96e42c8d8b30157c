//! Which clients have read which version of a secret, and the end of its grace before its time.

use std::fs;
use std::net::SocketAddr;

use jarvis_secretsd::base::clock::Clock;
use jarvis_secretsd::http::{Exchange, Handler, Peer};
use rouille::Request;
use serde_json::{Value, json};

use crate::calendar::{Calendar, prepared};
use crate::client::{Answer, Client};
use crate::client_program::{ServingDaemon, failure, printed};
use crate::credentials::{self, end_of, fetched};
use crate::external_system::{ExternalSystem, OLD};
use crate::needs;
use crate::running::Daemon;
use crate::site::{AUDIT, Site, audit_fields, eventually};
use crate::waiting::await_asleep_by;

/// Waits until the daemon has read its log back.
pub fn await_past(client: &mut Client) {
    eventually("the audit log is read back", || {
        let page = client.get("/metrics").body;
        page.contains("stale_consumers").then_some(())
    })
}

/// What the daemon knows of the secret's clients.
fn consumers(admin: &mut Client, name: &str) -> Value {
    await_past(admin);
    let answer = admin.get(&format!("/secret/{name}/consumers"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// Of each client the version that it has read last, and whether it is up to date.
fn standing(admin: &mut Client, name: &str) -> Vec<(String, String, bool)> {
    let known = consumers(admin, name);
    let of = |item: &Value| {
        let text = |field: &str| item[field].as_str().unwrap().to_owned();
        (text("client"), text("kid"), item["up_to_date"].as_bool().unwrap())
    };
    known["consumers"].as_array().unwrap().iter().map(of).collect()
}

fn stands(client: &str, kid: &str, up_to_date: bool) -> (String, String, bool) {
    (client.to_owned(), kid.to_owned(), up_to_date)
}

fn retire(client: &mut Client, name: &str, body: &str) -> Answer {
    client.post(&format!("/secret/{name}/retire"), body)
}

/// A secret of two versions, of which `keeper` has read the newer one and `reader` has not.
fn one_behind(daemon: &Daemon) -> [String; 2] {
    let mut admin = daemon.client("admin");
    let old = admin.store("db_main", "old");
    let mut reader = daemon.client("reader");
    reader.value("db_main");
    let new = admin.store("db_main", "new");
    daemon.client("keeper").value("db_main");
    [old, new]
}

#[test]
fn a_client_is_behind_from_a_new_version_on_until_it_reads_that() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let old = admin.store("db_main", "old");
    assert_eq!(standing(&mut admin, "db_main"), []);
    let (mut reader, mut keeper) = (daemon.client("reader"), daemon.client("keeper"));
    keeper.value("db_main");
    let read = reader.get("/secret/db_main");
    assert_eq!(standing(&mut admin, "db_main"), [stands("keeper", &old, true), stands("reader", &old, true)]);

    admin.post("/rotate", r#"{"names":["db_main"]}"#);
    let new = keeper.get("/secret/db_main").text("kid");
    assert_eq!(standing(&mut admin, "db_main"), [stands("keeper", &new, true), stands("reader", &old, false)]);
    reader.get(&format!("/secret/db_main?kid={old}"));
    assert_eq!(standing(&mut admin, "db_main")[1], stands("reader", &old, false), "it has read the old one again");
    reader.value("db_main");
    assert_eq!(standing(&mut admin, "db_main")[1], stands("reader", &new, true));

    let known = consumers(&mut admin, "db_main");
    assert_eq!((&known["name"], &known["kid"], &known["is_complete"]), (&json!("db_main"), &json!(new), &json!(true)));
    let made = admin.get("/secret/db_main/versions").json()["versions"][1]["created_at"].clone();
    assert_eq!(known["complete_since"], made);
    let line = daemon.site.audited(read.header("X-Request-Id").unwrap());
    keeper.get(&format!("/secret/db_main?kid={old}"));
    let again = consumers(&mut admin, "db_main");
    assert_ne!(again["consumers"][1]["read_at"], line["timestamp"], "the last read counts");
    assert_eq!(again["consumers"][1], known["consumers"][1]);
    assert_eq!(standing(&mut admin, "db_main")[0], stands("keeper", &old, true), "it knows the new one all the same");
}

#[test]
fn every_way_to_get_a_version_is_a_read_and_nothing_else_is() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let kid = admin.store("db_main", "v");
    let mut reader = daemon.client("reader");
    let nothing = [
        reader.get("/secret/db_main/versions"),
        reader.get("/secrets"),
        reader.get("/secret/db_main?kid=db_main-20200101-000000"),
        reader.get("/secret/db_main?unknown=1"),
        daemon.client("idle").get("/secret/db_main"),
    ];
    assert_eq!(nothing.map(|answer| answer.status), [200, 200, 404, 400, 403]);
    assert_eq!(standing(&mut admin, "db_main"), []);
    for (client, target, headers, status) in [
        ("reader", "/secret/db_main".to_owned(), vec![("If-None-Match", kid.as_str())], 304),
        ("keeper", format!("/secret/db_main?kid={kid}"), vec![], 200),
        ("admin", "/secret/db_main".to_owned(), vec![], 200),
    ] {
        let answer = daemon.client(client).ask("GET", &target, &headers, "");
        assert_eq!(answer.status, status, "{}", answer.body);
        let line = daemon.site.audited(answer.header("X-Request-Id").unwrap());
        let known = consumers(&mut admin, "db_main");
        let known = known["consumers"].as_array().unwrap();
        let expected = json!({ "client": client, "kid": kid, "read_at": line["timestamp"], "up_to_date": true });
        assert!(known.contains(&expected), "{known:?}");
    }
}

/// What the audit log says of an answer.
fn detail(daemon: &Daemon, answer: &Answer) -> Value {
    daemon.site.audited(answer.header("X-Request-Id").unwrap())["detail"].clone()
}

#[test]
fn a_client_that_was_sent_no_value_and_names_no_version_has_read_none() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let old = admin.store("db_main", "old");
    let mut reader = daemon.client("reader");
    reader.value("db_main");
    admin.store("db_main", "new");
    let none = "not modified, no version named";
    for (method, headers, expected) in [
        ("HEAD", vec![], (200, json!("head only"))),
        ("HEAD", vec![("If-None-Match", old.as_str())], (200, json!("head only"))),
        ("HEAD", vec![("If-None-Match", "*")], (304, json!(none))),
        ("GET", vec![("If-None-Match", "*")], (304, json!(none))),
    ] {
        let answer = reader.ask(method, "/secret/db_main", &headers, "");
        assert_eq!((answer.status, detail(&daemon, &answer)), expected, "{method} {headers:?}");
        assert_eq!(standing(&mut admin, "db_main"), [stands("reader", &old, false)], "{method} {headers:?}");
    }
    let waited = reader.ask("GET", "/secret/db_main?wait=1s", &[("If-None-Match", "*")], "");
    assert_eq!((waited.status, detail(&daemon, &waited)), (304, json!(none)));
    let refused = retire(&mut admin, "db_main", "{}");
    assert_eq!(refused.refusal(), (409, "consumers_behind".to_owned()));

    let daemon = daemon.stop().start();
    let mut admin = daemon.client("admin");
    assert_eq!(standing(&mut admin, "db_main"), [stands("reader", &old, false)], "after a restart");
    assert_eq!(retire(&mut admin, "db_main", "{}").status, 409);
    let head = daemon.client("reader").ask("HEAD", &format!("/secret/db_main?kid={old}"), &[], "");
    assert_eq!(head.status, 200, "nothing was destroyed");
}

#[test]
fn a_client_that_gets_304_for_the_version_it_names_has_read_that() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let first = admin.store("db_main", "v");
    daemon.client("keeper").ask("GET", &format!("/secret/db_main?kid={first}"), &[("If-None-Match", &first)], "");
    assert_eq!(standing(&mut admin, "db_main"), [stands("keeper", &first, true)]);
    let mut reader = daemon.client("reader");
    let forms: [fn(&str) -> String; 4] = [
        |kid| kid.to_owned(),
        |kid| format!("\"{kid}\""),
        |kid| format!("W/\"{kid}\""),
        |kid| format!("\"db_main-20200101-000000\", \"{kid}\", other"),
    ];
    let mut last = String::new();
    for (method, form) in ["GET", "HEAD"].into_iter().flat_map(|method| forms.map(|form| (method, form))) {
        last = admin.store("db_main", "v");
        let answer = reader.ask(method, "/secret/db_main", &[("If-None-Match", &form(&last))], "");
        assert_eq!((answer.status, detail(&daemon, &answer)), (304, json!("not modified")));
        assert_eq!(standing(&mut admin, "db_main")[1], stands("reader", &last, true), "{method} {}", form(&last));
    }
    // It names the version that it asks for, which is not the current one.
    let keeps = reader.ask("GET", &format!("/secret/db_main?kid={first}"), &[("If-None-Match", &first)], "");
    assert_eq!(keeps.status, 304);
    let known = [stands("keeper", &first, false), stands("reader", &first, true)];
    assert_eq!(standing(&mut admin, "db_main"), known);
    assert_eq!(reader.ask("GET", &format!("/secret/db_main?kid={first}"), &[("If-None-Match", &last)], "").status, 200);
    let daemon = daemon.stop().start();
    assert_eq!(standing(&mut daemon.client("admin"), "db_main"), known, "after a restart");
}

#[test]
fn a_client_that_disconnects_before_the_change_it_waits_for_has_not_read_it() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let old = admin.store("db_main", "old");
    let mut reader = daemon.client("reader");
    reader.value("db_main");
    let waits = format!(
        "GET /secret/db_main?wait=60s HTTP/1.1\r\nHost: localhost\r\nX-Jarvis-Client: reader\r\nIf-None-Match: {old}\r\n\r\n"
    );
    reader.send(waits).unwrap();
    await_asleep_by(&mut admin, 1);
    drop(reader);
    admin.store("db_main", "new");
    await_asleep_by(&mut admin, 0);
    let reads = || daemon.site.audit(1).iter().filter(|line| line["event"] == "get_secret").count();
    eventually("its wait is audited", || (reads() == 2).then_some(()));
    assert_eq!(standing(&mut admin, "db_main"), [stands("reader", &old, false)]);
    assert_eq!(retire(&mut admin, "db_main", "{}").status, 409);
}

#[test]
fn a_unit_that_is_given_a_credential_is_a_client_that_has_read_it() {
    if !needs::to_be_root() {
        return;
    }
    let daemon = credentials::start();
    let mut admin = daemon.client("admin");
    assert_eq!(standing(&mut admin, "web_key"), []);
    let path = daemon.site.path("cred");
    fetched(&path, Some(&end_of("web.service", "db_key")));
    fetched(&path, Some(&end_of("web.service", "web_key")));
    let kid = admin.get("/secret/web_key").text("kid");
    assert_eq!(standing(&mut admin, "web_key"), [stands("admin", &kid, true), stands("web", &kid, true)]);
    assert_eq!(standing(&mut admin, "db_key"), []);
}

#[test]
fn a_restart_changes_nothing_of_what_is_known() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    one_behind(&daemon);
    let many: Vec<String> = (0..5).map(|n| admin.store("db_many", &n.to_string())).collect();
    let mut reader = daemon.client("reader");
    for kid in &many {
        reader.get(&format!("/secret/db_many?kid={kid}"));
    }
    daemon.client("keeper").get(&format!("/secret/db_many?kid={}", many[2]));
    let known = |daemon: &Daemon| ["db_main", "db_many"].map(|name| consumers(&mut daemon.client("admin"), name));
    let before = known(&daemon);
    assert_eq!(before[1]["consumers"].as_array().unwrap().len(), 2);
    let site = daemon.stop();
    let daemon = site.start();
    assert_eq!(known(&daemon), before);
    drop(daemon);
    let daemon = site.start();
    assert_eq!(known(&daemon), before, "killed, and not stopped");
    // What is not in the vault any more is not in the answer either, whatever the log says.
    assert_eq!(retire(&mut daemon.client("admin"), "db_many", r#"{"force":true}"#).status, 200);
    let after = known(&daemon);
    assert_eq!(standing(&mut daemon.client("admin"), "db_many"), [stands("reader", &many[4], true)]);
    let site = daemon.stop();
    assert_eq!(known(&site.start()), after);
}

/// Has `admin` read a secret until `count` more segments of the log are closed.
fn fill(daemon: &Daemon, count: usize) {
    let mut admin = daemon.client("admin");
    let wanted = daemon.site.audit_files().len() + count;
    while daemon.site.audit_files().len() < wanted {
        for _ in 0..50 {
            admin.get("/secret/filler");
        }
    }
}

/// A daemon whose log is closed at 64 KiB, and has four segments since `reader` has read `db_main`.
fn in_segments() -> (Daemon, Value) {
    let site = Site::new();
    site.edit("config.toml", "[security]\n", "[audit]\nsegment_bytes = 65536\n[security]\n");
    let daemon = site.start();
    let mut admin = daemon.client("admin");
    admin.store("filler", "v");
    fill(&daemon, 1);
    one_behind(&daemon);
    fill(&daemon, 4);
    let known = consumers(&mut admin, "db_main");
    (daemon, known)
}

#[test]
fn the_log_is_read_back_through_its_segments_as_far_as_a_version_goes() {
    let (daemon, before) = in_segments();
    let site = daemon.stop();
    // What is older than all versions is not needed. (The vault has seen a later line.)
    let admin = |daemon: &Daemon| daemon.client("admin");
    let daemon = site.start();
    assert_eq!(consumers(&mut admin(&daemon), "db_main"), before);
    assert_eq!(consumers(&mut admin(&daemon), "filler")["is_complete"], true);
    admin(&daemon).delete("/secret/filler");
    let site = daemon.stop();
    fs::remove_file(&site.audit_files()[0]).unwrap();
    let daemon = site.start();
    assert_eq!(consumers(&mut admin(&daemon), "db_main"), before);
}

#[test]
fn after_a_retirement_that_failed_the_log_is_read_back_as_far_as_the_version_was_made() {
    let external = ExternalSystem::with(&["apply", "verify", "retire"]);
    external.site.edit("config.toml", "[security]\n", "[audit]\nsegment_bytes = 65536\n[security]\n");
    let daemon = external.start();
    let mut admin = daemon.client("admin");
    let old = admin.get("/secret/db_main").text("kid");
    daemon.client("reader").value("db_main");
    fill(&daemon, 2);
    admin.store("db_main", "new");
    external.on("retire", "exit 3");
    let failed = retire(&mut admin, "db_main", r#"{"force":true}"#);
    assert_eq!(failed.refusal(), (502, "apply_failed".to_owned()));
    let line = external.site.audit(1).pop().unwrap();
    assert_eq!((&line["event"], &line["result"], &line["kid"]), (&json!("retire"), &json!("error"), &json!(old)));
    let before = consumers(&mut admin, "db_main");
    assert_eq!(before["consumers"].as_array().unwrap().len(), 2);
    drop(daemon);

    external.remove("on-retire");
    let daemon = external.site.start();
    let mut admin = daemon.client("admin");
    assert_eq!(consumers(&mut admin, "db_main"), before);
    assert_eq!(retire(&mut admin, "db_main", "{}").refusal(), (409, "consumers_behind".to_owned()));
    assert_eq!(daemon.client("reader").get(&format!("/secret/db_main?kid={old}")).text("value"), OLD);
}

#[test]
fn a_version_that_a_crash_left_without_its_line_is_made_by_the_one_about_its_recovery() {
    let site = Site::new();
    let daemon = site.start();
    let before = site.read(AUDIT);
    daemon.client("admin").store("db_main", "v");
    drop(daemon);
    site.write(AUDIT, &before);
    let daemon = site.start();
    assert!(site.audit(1).iter().any(|line| line["event"] == "recovered"));
    let kid = daemon.client("reader").get("/secret/db_main").text("kid");
    let known = consumers(&mut daemon.client("admin"), "db_main");
    let daemon = daemon.stop().start();
    let mut admin = daemon.client("admin");
    assert_eq!(standing(&mut admin, "db_main"), [stands("reader", &kid, true)]);
    let again = consumers(&mut admin, "db_main");
    assert_eq!((&again["is_complete"], &again["consumers"]), (&json!(true), &known["consumers"]));
}

#[test]
fn what_the_log_does_not_tell_any_more_is_said_to_be_unknown_and_nothing_is_retired_on_a_guess() {
    let (daemon, before) = in_segments();
    let site = daemon.stop();
    let files = site.audit_files();
    fs::remove_file(&files[2]).unwrap();
    let daemon = site.start();
    let mut admin = daemon.client("admin");
    let known = consumers(&mut admin, "db_main");
    assert_eq!(known["consumers"], json!([]), "it was read before that");
    let first: Value = serde_json::from_str(fs::read_to_string(&files[3]).unwrap().lines().next().unwrap()).unwrap();
    assert_eq!((&known["is_complete"], &known["complete_since"]), (&json!(false), &first["timestamp"]));
    assert_eq!((&before["is_complete"], before["consumers"].as_array().unwrap().len()), (&json!(true), 2));
    let refused = retire(&mut admin, "db_main", "{}");
    assert_eq!(refused.refusal(), (409, "consumers_behind".to_owned()));
    assert_eq!(refused.json()["consumers"], json!([]));
    let since = first["timestamp"].as_str().unwrap();
    assert!(refused.text("message").contains(&format!("who read an older version of db_main before {since}")));

    // With new versions that passes.
    let forced = retire(&mut admin, "db_main", r#"{"force":true}"#);
    let line = daemon.site.audited(forced.header("X-Request-Id").unwrap());
    assert_eq!(line["detail"], "forced; behind, as far as known: nobody");
    for _ in 0..2 {
        admin.store("db_main", "v");
    }
    assert_eq!(retire(&mut admin, "db_main", r#"{"force":true}"#).status, 200);
    assert_eq!(consumers(&mut admin, "db_main")["is_complete"], true);
}

#[test]
fn a_line_that_cannot_be_read_hides_no_other() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.get("/secret/db_other");
    one_behind(&daemon);
    let before = consumers(&mut admin, "db_main");
    // A start checks the end of the log, and refuses if that is not as it was written.
    for _ in 0..100 {
        admin.get("/secret/db_other");
    }
    let site = daemon.stop();
    let mut lines: Vec<String> = site.audit_lines();
    lines[0] = "no line".to_owned();
    site.write(AUDIT, &(lines.join("\n") + "\n"));
    let daemon = site.start();
    assert_eq!(consumers(&mut daemon.client("admin"), "db_main"), before);
}

#[test]
fn of_a_deleted_secret_nothing_is_known() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    one_behind(&daemon);
    admin.delete("/secret/db_main");
    let missing = admin.get("/secret/db_main/consumers");
    assert_eq!(missing.refusal(), (404, "not_found".to_owned()));
    assert_eq!(retire(&mut admin, "db_main", "{}").refusal(), (404, "not_found".to_owned()));
    admin.store("db_main", "v");
    assert_eq!(standing(&mut admin, "db_main"), []);
    let site = daemon.stop();
    assert_eq!(standing(&mut site.start().client("admin"), "db_main"), []);
}

#[test]
fn the_clients_that_use_a_secret_are_listed_only_for_those_that_may_change_it() {
    let daemon = Daemon::start();
    let [_, new] = one_behind(&daemon);
    daemon.client("admin").store("db_root", "v");
    for (client, name) in [("reader", "db_main"), ("keeper", "db_root"), ("idle", "db_main"), ("reader", "db_none")] {
        let mut client = daemon.client(client);
        let list = client.get(&format!("/secret/{name}/consumers"));
        assert_eq!(list.refusal(), (403, "not_authorized".to_owned()));
        for body in ["{}", r#"{"force":true}"#] {
            assert_eq!(retire(&mut client, name, body).refusal(), (403, "not_authorized".to_owned()));
        }
    }
    let mut keeper = daemon.client("keeper");
    assert_eq!(standing(&mut keeper, "db_main")[0], stands("keeper", &new, true));
    let answer = keeper.get("/secret/db_main/consumers");
    let line = daemon.site.audited(answer.header("X-Request-Id").unwrap());
    let expected = ["list_consumers", "keeper", "db_main", "success", "2 consumers, 1 behind"].map(Some);
    assert_eq!(audit_fields(&line), expected);
    assert_eq!(keeper.get("/secret/db_main/consumers?kid=x").status, 400);
    let head = keeper.ask("HEAD", "/secret/db_main/consumers", &[], "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    for (method, path, allow) in [("POST", "consumers", "GET, HEAD"), ("GET", "retire", "POST")] {
        let other = keeper.ask(method, &format!("/secret/db_main/{path}"), &[], "");
        assert_eq!((other.status, other.header("Allow")), (405, Some(allow)));
    }
}

#[test]
fn nothing_is_retired_while_a_client_is_behind() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let [old, new] = one_behind(&daemon);
    await_past(&mut admin);
    for body in ["", "{}", r#"{"force":false}"#] {
        let refused = retire(&mut admin, "db_main", body);
        assert_eq!(refused.refusal(), (409, "consumers_behind".to_owned()));
        let message = refused.text("message");
        assert!(message.contains(&format!("and not yet {new}: reader; nothing was changed")), "{message}");
        let behind = refused.json()["consumers"].clone();
        assert_eq!(
            (&behind[0]["client"], &behind[0]["kid"], &behind[1]),
            (&json!("reader"), &json!(old), &Value::Null)
        );
        let line = daemon.site.audited(refused.header("X-Request-Id").unwrap());
        let expected = ["retire", "admin", "db_main", "error", "consumers_behind"].map(Some);
        assert_eq!(audit_fields(&line), expected);
    }
    for body in ["[]", "true", r#"{"force":1}"#, r#"{"forced":true}"#] {
        assert_eq!(retire(&mut admin, "db_main", body).refusal(), (400, "bad_request".to_owned()), "{body}");
    }
    let mut reader = daemon.client("reader");
    assert_eq!(reader.get(&format!("/secret/db_main?kid={old}")).text("value"), "old");

    reader.value("db_main");
    let retired = retire(&mut admin, "db_main", "");
    assert_eq!(retired.json(), json!({ "name": "db_main", "kid": new, "retired": [old] }));
    assert_eq!(reader.get(&format!("/secret/db_main?kid={old}")).refusal(), (410, "gone".to_owned()));
    assert_eq!(reader.value("db_main"), "new");
    let line = daemon.site.audited(retired.header("X-Request-Id").unwrap());
    assert_eq!(audit_fields(&line), [Some("retire"), Some("admin"), Some("db_main"), Some("success"), None]);
    assert_eq!(line["kid"], json!(old));

    let again = retire(&mut admin, "db_main", "{}");
    assert_eq!(again.json(), json!({ "name": "db_main", "kid": new, "retired": [] }));
    let line = daemon.site.audited(again.header("X-Request-Id").unwrap());
    assert_eq!(audit_fields(&line), ["retire", "admin", "db_main", "success", "there was no older version"].map(Some));
    let site = daemon.stop();
    assert_eq!(site.start().client("reader").get(&format!("/secret/db_main?kid={old}")).status, 410);
    site.verify_audit();
}

#[test]
fn what_is_forced_is_done_and_the_audit_log_says_at_whose_cost() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let [old, middle] = one_behind(&daemon);
    let new = admin.store("db_main", "newest");
    await_past(&mut admin);
    let retired = retire(&mut daemon.client("keeper"), "db_main", r#"{"force":true}"#);
    assert_eq!(retired.json(), json!({ "name": "db_main", "kid": new, "retired": [old, middle] }));
    let id = retired.header("X-Request-Id").unwrap();
    let lines: Vec<Value> = daemon.site.audit(1).into_iter().filter(|line| line["request_id"] == id).collect();
    for (line, kid) in lines.iter().zip([&old, &middle]) {
        let expected = ["retire", "keeper", "db_main", "success", "forced; behind: keeper, reader"].map(Some);
        assert_eq!((audit_fields(line), &line["kid"]), (expected, &json!(kid)));
    }
    assert_eq!(lines.len(), 2);
    assert_eq!(standing(&mut admin, "db_main"), [], "nobody has read what is left");
}

#[test]
fn a_condition_holds_for_a_retirement_as_for_a_deletion() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let [old, new] = one_behind(&daemon);
    await_past(&mut admin);
    daemon.client("reader").value("db_main");
    let mut ask = |name: &str, header, kid: &str| {
        admin.ask("POST", &format!("/secret/{name}/retire"), &[(header, kid)], "{}").status
    };
    for (name, header, kid) in [("db_main", "If-Match", old.as_str()), ("db_main", "If-None-Match", &new)] {
        assert_eq!(ask(name, header, kid), 412);
    }
    assert_eq!((ask("db_none", "If-Match", "*"), ask("db_none", "If-None-Match", "*")), (412, 404));
    assert_eq!(ask("db_main", "If-Match", &new), 200);
    assert_eq!(daemon.client("reader").get(&format!("/secret/db_main?kid={old}")).status, 410);
}

#[test]
fn the_metrics_count_the_clients_that_use_an_old_version_and_name_none() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    let samples = || {
        let mut idle = calendar.client("idle");
        await_past(&mut idle);
        let page = idle.metrics();
        assert!(!page.contains("db_main") && !page.contains("keeper"), "{page}");
        ["last_day", "longer"].map(|grace| {
            let sample = format!("jarvis_secretsd_stale_consumers{{grace=\"{grace}\"}} ");
            page.lines().find_map(|line| line.strip_prefix(&sample)).unwrap().to_owned()
        })
    };
    for name in ["db_main", "db_other"] {
        admin.store(name, "old");
        for client in ["reader", "keeper"] {
            calendar.client(client).value(name);
        }
    }
    assert_eq!(samples(), ["0", "0"]);
    admin.store("db_main", "new");
    assert_eq!(samples(), ["0", "2"], "of one secret");
    calendar.pass_days(7);
    admin.store("db_other", "new");
    calendar.client("keeper").value("db_other");
    assert_eq!(samples(), ["0", "3"]);
    calendar.pass_days(6);
    assert_eq!(samples(), ["2", "1"], "a day is left");
    calendar.client("reader").value("db_main");
    assert_eq!(samples(), ["1", "1"]);
    calendar.pass_days(1);
    assert_eq!(samples(), ["0", "1"], "its grace is over, and it is too late");
    assert_eq!(standing(&mut admin, "db_main").len(), 1);
}

#[test]
fn while_the_log_is_read_back_all_else_is_served_and_what_is_read_counts() {
    let site = Site::new();
    let daemon = site.start();
    let [old, _] = one_behind(&daemon);
    let site = daemon.stop();
    let daemon = prepared(&site.path("config.toml"), &Clock::system());
    let api = daemon.api();
    let ask = |client: &str, method: &str, target: &str, body: &str| {
        let headers = vec![
            ("Host".to_owned(), "localhost".to_owned()),
            ("X-Jarvis-Client".to_owned(), client.to_owned()),
            ("X-Request-Id".to_owned(), "id".to_owned()),
        ];
        let peer = Peer::at("127.0.0.1:1".parse::<SocketAddr>().unwrap());
        let response = api.handle(
            &Request::fake_http(method, target, headers, Vec::new()),
            body.as_bytes(),
            &mut Exchange::detached(&peer),
        );
        let mut text = String::new();
        std::io::Read::read_to_string(&mut response.data.into_reader_and_size().0, &mut text).unwrap();
        (response.status_code, text)
    };
    assert_eq!(ask("admin", "GET", "/healthz", "").0, 200);
    let (status, page) = ask("admin", "GET", "/metrics", "");
    assert!(status == 200 && !page.contains("stale_consumers"), "{page}");
    for (method, target) in [("GET", "/secret/db_main/consumers"), ("POST", "/secret/db_main/retire")] {
        let (status, body) = ask("admin", method, target, "");
        assert!(status == 503 && body.contains(r#""error":"busy""#), "{body}");
    }
    assert_eq!(ask("reader", "GET", "/secret/db_main", "").0, 200);

    // One that is stopped in the middle knows no more than before.
    let log = site.path(AUDIT);
    api.consumers.recollect(&log, &|| true);
    assert_eq!(ask("admin", "GET", "/secret/db_main/consumers", "").0, 503);
    api.consumers.recollect(&log, &|| false);
    let (status, body) = ask("admin", "GET", "/secret/db_main/consumers", "");
    let known: Value = serde_json::from_str(&body).unwrap();
    assert!(status == 200 && known["is_complete"] == true, "{body}");
    let told = known["consumers"].as_array().unwrap().iter();
    let told: Vec<_> = told.map(|item| (&item["client"], &item["up_to_date"])).collect();
    assert_eq!(told, [(&json!("keeper"), &json!(true)), (&json!("reader"), &json!(true))]);
    assert_eq!(ask("admin", "POST", "/secret/db_main/retire", "{}").0, 200);
    assert_eq!(ask("reader", "GET", &format!("/secret/db_main?kid={old}"), "").0, 410);
}

#[test]
fn a_retirement_does_not_wait_for_the_log_where_it_is_forced_or_there_is_nothing_to_lose() {
    let site = Site::new();
    let daemon = site.start();
    one_behind(&daemon);
    daemon.client("admin").store("db_other", "v");
    let site = daemon.stop();
    let daemon = prepared(&site.path("config.toml"), &Clock::system());
    let retire = |name: &str, body: &str| {
        let headers = [("Host", "localhost"), ("X-Jarvis-Client", "admin")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let request = Request::fake_http("POST", format!("/secret/{name}/retire"), headers, Vec::new());
        let peer = Peer::at("127.0.0.1:1".parse::<SocketAddr>().unwrap());
        daemon.api().handle(&request, body.as_bytes(), &mut Exchange::detached(&peer)).status_code
    };
    assert_eq!(retire("db_other", "{}"), 200);
    assert_eq!((retire("db_main", "{}"), retire("db_main", r#"{"force":true}"#)), (503, 200));
    let line = site.audit(1).pop().unwrap();
    assert_eq!(line["detail"], "forced; behind, as far as known: nobody");
}

#[test]
fn the_commands_show_which_clients_use_an_old_version_and_retire_it() {
    let asked = ServingDaemon::plain();
    let site = &asked.daemon.site;
    let old = asked.store("db_main", "old");
    printed(asked.admin(&["get", "db_main"]).output().unwrap());
    let new = asked.store("db_main", "new");
    printed(asked.local(&["get", "db_main"]).output().unwrap());
    await_past(&mut Client::unix(&[], &site.path("sock")));

    let table = printed(asked.local(&["consumers", "db_main"]).output().unwrap());
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["CLIENT", "LAST", "READ", "AT", "STATE"]);
    assert_eq!((lines[1][0], lines[1][1], lines[1][3]), ("admin", old.as_str(), "behind"));
    assert_eq!((lines[2][0], lines[2][1], lines[2][3..].join(" ")), ("local", new.as_str(), "up to date".to_owned()));
    let list: Value =
        serde_json::from_str(&printed(asked.local(&["consumers", "db_main", "--json"]).output().unwrap())).unwrap();
    assert_eq!(list["consumers"][0]["client"], "admin");

    let refused = failure(&asked.local(&["retire", "db_main"]).output().unwrap(), 1);
    assert!(refused.starts_with("db_main: these clients ") && refused.contains(": admin; "), "{refused}");
    let retired = printed(asked.local(&["retire", "db_main", "--force"]).output().unwrap());
    assert_eq!(retired, format!("{old}  retired\n"));
    let again = printed(asked.local(&["retire", "db_main"]).output().unwrap());
    assert_eq!(again, "there was no older version\n");
    let again = printed(asked.local(&["retire", "db_main", "--json"]).output().unwrap());
    assert_eq!(serde_json::from_str::<Value>(&again).unwrap()["retired"], json!([]));
}
