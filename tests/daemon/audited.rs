//! The audit log: a line for each access, before its answer; chained, signed, and without a value.

use serde_json::Value;

use crate::client::{Answer, Client};
use crate::running::Daemon;
use crate::site::{AUDIT, PUBLIC_KEY, audit_fields, run};

fn line(daemon: &Daemon, answer: &Answer) -> Value {
    daemon.site.audited(answer.header("X-Request-Id").unwrap())
}

#[test]
fn each_kind_of_access_leaves_a_line_that_says_what_it_was() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let stored = admin.post("/secret", r#"{"name":"db_main","value":"v"}"#);
    let kid = stored.text("kid");
    let expect = |answer: Answer, event, name, kid: Option<&str>, result, detail| {
        let line = line(&daemon, &answer);
        assert_eq!(audit_fields(&line), [Some(event), Some("admin"), name, Some(result), detail], "{line}");
        assert_eq!(line["kid"].as_str(), kid, "{line}");
        assert!(line["remote"].as_str().unwrap().starts_with("127.0.0.1"), "{line}");
    };
    let (name, kid) = (Some("db_main"), Some(kid.as_str()));
    expect(stored, "create_secret", name, kid, "success", None);
    expect(admin.get("/secret/db_main"), "get_secret", name, kid, "success", None);
    expect(admin.ask("HEAD", "/secret/db_main", &[], ""), "get_secret", name, kid, "success", Some("head only"));
    for (tag, detail) in [("*", "not modified, no version named"), (kid.unwrap(), "not modified")] {
        let unchanged = admin.ask("GET", "/secret/db_main", &[("If-None-Match", tag)], "");
        expect(unchanged, "get_secret", name, kid, "success", Some(detail));
    }
    expect(admin.get("/secrets"), "list_secrets", None, None, "success", Some("1 names"));
    let missing = admin.get("/secret/db_none");
    expect(missing, "get_secret", Some("db_none"), None, "error", Some("not_found"));
    let stale = admin.ask("DELETE", "/secret/db_main", &[("If-Match", "x")], "");
    expect(stale, "delete_secret", name, None, "error", Some("precondition_failed"));
    expect(admin.post("/secret", "{"), "create_secret", None, None, "error", Some("bad_request"));
    expect(admin.get("/secret/%0a"), "get_secret", None, None, "error", Some("bad_request"));
    expect(admin.get("/audit/checkpoint"), "audit_checkpoint", None, None, "success", None);
    expect(admin.post("/rotate", r#"{"names":[]}"#), "rotate", None, None, "success", Some("nothing was due"));
    let rotated = admin.post("/rotate", r#"{"names":["db_main"]}"#);
    let rotated_kid = admin.get("/secret/db_main").text("kid");
    expect(rotated, "rotate", name, Some(&rotated_kid), "success", None);
    expect(admin.delete("/secret/db_main"), "delete_secret", name, None, "success", None);
}

#[test]
fn a_call_is_never_said_to_have_failed_for_a_secret_that_it_did_not_fail_for() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "v");
    for (path, body, event, detail) in [
        ("/rotate", r#"{"names":["db_gone","db_main"]}"#, "rotate", "not_found"),
        (
            "/secrets",
            r#"{"secrets":[{"name":"db_main","value":"v"},{"name":"n!","value":"v"}]}"#,
            "create_secret",
            "bad_request",
        ),
    ] {
        let line = line(&daemon, &admin.post(path, body));
        assert_eq!(audit_fields(&line), [Some(event), Some("admin"), None, Some("error"), Some(detail)], "{line}");
    }
}

#[test]
fn what_was_denied_leaves_a_line_too() {
    let daemon = Daemon::start();
    let mut reader = daemon.client("reader");
    let name = Some("db_root");
    for (answer, event, name) in [
        (reader.get("/secret/db_root"), "get_secret", name),
        (reader.delete("/secret/db_root"), "delete_secret", name),
        (reader.post("/secret", r#"{"name":"db_root","value":"v"}"#), "create_secret", name),
        (reader.post("/rotate", r#"{"names":["db_root"]}"#), "rotate", name),
        (reader.get("/audit/checkpoint"), "audit_checkpoint", None),
    ] {
        let line = line(&daemon, &answer);
        let expected = [Some(event), Some("reader"), name, Some("denied"), Some("not_authorized")];
        assert_eq!(audit_fields(&line), expected, "{line}");
    }
}

#[test]
fn the_reason_of_a_failed_authentication_is_in_the_audit_log_only() {
    let daemon = Daemon::start();
    let header = |value| ("X-Jarvis-Client", value);
    for (headers, claimed, detail) in [
        (vec![], None, "no client header"),
        (vec![header("")], None, "no client header"),
        (vec![header("stranger")], Some("stranger"), "unknown client"),
        (vec![header("a b")], None, "malformed client name"),
        (vec![header("admin"), header("admin")], Some("admin"), "more than one client header"),
    ] {
        let answer = Client::with(&headers, daemon.addr()).get("/secret/db_main");
        let line = line(&daemon, &answer);
        let expected = [Some("auth_failure"), claimed, None, Some("denied"), Some(detail)];
        assert_eq!(audit_fields(&line), expected, "{line}");
    }
    let foreign = Client::with(&[("Host", "evil.example"), header("admin")], daemon.addr()).get("/secrets");
    assert_eq!(line(&daemon, &foreign)["event"], "auth_failure");
}

#[test]
fn the_fields_stand_in_their_order_and_the_first_line_is_the_start() {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "v");
    let lines = daemon.site.audit_lines();
    let order = [
        "seq",
        "timestamp",
        "event",
        "client",
        "secret_name",
        "kid",
        "remote",
        "request_id",
        "result",
        "detail",
        "vault_seq",
        "vault_head",
        "prev",
        "signature",
    ];
    for line in &lines {
        let places: Vec<_> = order.iter().map(|field| line.find(&format!("\"{field}\":")).unwrap()).collect();
        assert!(places.is_sorted(), "{line}");
        assert_eq!(serde_json::from_str::<Value>(line).unwrap().as_object().unwrap().len(), order.len(), "{line}");
    }
    assert!(lines[0].starts_with(r#"{"seq":1,"#) && lines[0].contains(r#""event":"server_start""#), "{}", lines[0]);
    assert!(lines[0].contains(&format!(r#""prev":"{}""#, "0".repeat(64))), "{}", lines[0]);
    assert!(lines[1].starts_with(r#"{"seq":2,"#) && lines[1].contains(r#""vault_seq":1,"#), "{}", lines[1]);
}

#[test]
fn one_change_of_several_secrets_leaves_a_line_for_each() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_one", "v");
    admin.store("db_two", "v");
    let id = admin.post("/rotate", r#"{"names":["db_two","db_one"]}"#).header("X-Request-Id").unwrap().to_owned();
    let lines: Vec<Value> = daemon.site.audit_lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let about: Vec<_> =
        lines.iter().filter(|line| line["request_id"] == id.as_str()).map(|line| &line["secret_name"]).collect();
    assert_eq!(about, ["db_one", "db_two"]);
}

#[test]
fn a_stopped_daemon_leaves_a_log_that_ends_with_the_stop_and_verifies() {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "v");
    let site = daemon.stop();
    site.verify_audit();
    let lines = site.audit_lines();
    let last = lines.last().unwrap();
    assert!(last.contains(r#""event":"server_stop""#) && last.contains(r#""vault_seq":1,"#), "{last}");
}

#[test]
fn a_checkpoint_agrees_with_its_log_and_with_no_shorter_one() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "v");
    let checkpoint = daemon.site.write("checkpoint.json", &admin.get("/audit/checkpoint").body);
    admin.get("/secret/db_main");
    let verify = |log: &std::path::Path| {
        let key = daemon.site.path(PUBLIC_KEY);
        run(&[&"audit", &"verify", &"--public-key", &key, &"--checkpoint", &checkpoint, &log])
    };
    let good = verify(&daemon.site.path(AUDIT));
    assert_eq!(good.status.code(), Some(0), "{}", String::from_utf8_lossy(&good.stderr));

    let cut = daemon.site.audit_lines()[..2].join("\n") + "\n";
    let cut = daemon.site.write("cut.jsonl", &cut);
    let bad = verify(&cut);
    assert_eq!(bad.status.code(), Some(1));
    let why = String::from_utf8_lossy(&bad.stderr);
    assert!(why.contains("lines were cut off"), "{why}");
}
