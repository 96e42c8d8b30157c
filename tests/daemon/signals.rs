//! What SIGTERM, SIGINT and SIGHUP do to the real daemon.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use jarvis_secretsd::audit::sha256_hex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::client::Client;
use crate::site::{AUDIT, Site, eventually};

/// Whether the daemon has closed the connection, or does while we wait.
fn is_closed(client: &mut Client) -> bool {
    client.answer().is_err_and(|why| why.kind() == ErrorKind::UnexpectedEof)
}

/// The newest audit line about `event`, as soon as there are `count` of them.
fn await_audit(site: &Site, event: &str, count: usize) -> Value {
    eventually(&format!("{event} is audited"), || {
        let text = site.read(AUDIT);
        // The last line may be half written.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let lines: Vec<_> = lines.filter(|line| line["event"] == event).collect();
        assert!(lines.len() <= count, "{event} is audited once");
        lines.get(count - 1).cloned()
    })
}

fn ends_what_is_in_flight_and_stops(ending: Signal) {
    let site = Site::new();
    let mut daemon = site.start();
    let mut silent = daemon.client("admin");
    let mut idle = daemon.client("admin");
    assert_eq!(idle.get("/healthz").status, 200);
    let body = r#"{"name":"slow","value":"dripped"}"#;
    let mut slow = daemon.client("admin");
    slow.send(format!(
        "POST /secret HTTP/1.1\r\nHost: localhost\r\nX-Jarvis-Client: admin\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        body.len()
    ))
    .unwrap();
    assert_eq!(slow.answer().unwrap().status, 100, "the request is under way");
    let (first, rest) = body.split_at(5);
    slow.send(first).unwrap();

    let addr = daemon.addr();
    daemon.signal(ending);
    daemon.await_log("Stopping");
    assert!(is_closed(&mut silent) && is_closed(&mut idle), "connections without a request are closed");
    assert!(TcpStream::connect(addr).is_err(), "nobody new is let in");
    for byte in rest.split_inclusive(|_: char| true) {
        slow.send(byte).unwrap();
    }
    let answer = slow.answer().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(is_closed(&mut slow), "its connection is closed behind the answer");

    let status = daemon.ended();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
    assert!(daemon.log().trim_end().ends_with("Stopped"), "{}", daemon.log());
    let audit = site.audit(1);
    let [.., created, stopped] = &audit[..] else { panic!("{audit:?}") };
    assert_eq!((&created["event"], &created["kid"]), (&"create_secret".into(), &answer.json()["kid"]));
    assert_eq!((&stopped["event"], &stopped["result"]), (&"server_stop".into(), &"success".into()));
    assert_eq!(stopped["vault_seq"], 1);
    site.verify_audit();

    let daemon = site.start();
    let read = daemon.client("admin").get("/secret/slow");
    assert_eq!(read.json()["value"], "dripped");
}

#[test]
fn sigterm_finishes_what_is_in_flight_and_ends_with_a_last_audit_line() {
    ends_what_is_in_flight_and_stops(Signal::TERM);
}

#[test]
fn sigint_finishes_what_is_in_flight_and_ends_with_a_last_audit_line() {
    ends_what_is_in_flight_and_stops(Signal::INT);
}

#[test]
fn sighup_puts_a_good_policy_into_force_and_a_broken_one_not() {
    let site = Site::new();
    let daemon = site.start();
    let mut admin = daemon.client("admin");
    assert_eq!(admin.post("/secret", r#"{"name":"db.password","value":"v"}"#).status, 200);
    assert_eq!(admin.post("/secret", r#"{"name":"mail","value":"v"}"#).status, 200);
    let mut statuses = || ["db.password", "mail"].map(|n| admin.get(&format!("/secret/{n}")).status);
    assert_eq!(statuses(), [200, 200]);
    let policy = site.path("policy.toml");

    let narrower = "[clients.admin]\nallow = [\"db.*\"]\n";
    fs::write(&policy, narrower).unwrap();
    daemon.signal(Signal::HUP);
    let line = await_audit(&site, "policy_reload", 1);
    assert_eq!(statuses(), [200, 403]);
    let sha256 = sha256_hex(narrower.as_bytes());
    assert_eq!((&line["result"], &line["detail"]), (&"success".into(), &format!("sha256 {sha256}").into()));
    let logged: Vec<_> = daemon.log().lines().filter(|line| line.contains(&sha256)).map(str::to_owned).collect();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].contains("INFO") && logged[0].contains("Policy reloaded: 1 client rules"), "{}", logged[0]);

    let broken = "[clients.admin]\nallow = [\"*\"]\nallow_also = []\n";
    fs::write(&policy, broken).unwrap();
    daemon.signal(Signal::HUP);
    let line = await_audit(&site, "policy_reload", 2);
    assert_eq!(statuses(), [200, 403], "the policy before stays in force, all of it");
    let sha256 = sha256_hex(broken.as_bytes());
    assert_eq!(line["result"], "error");
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.starts_with(&format!("sha256 {sha256}: ")) && detail.contains("allow_also"), "{detail}");
    let logged: Vec<_> = daemon.log().lines().filter(|line| line.contains(&sha256)).map(str::to_owned).collect();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].contains("ERROR") && logged[0].contains("allow_also"), "{}", logged[0]);

    fs::remove_file(&policy).unwrap();
    daemon.signal(Signal::HUP);
    assert_eq!(await_audit(&site, "policy_reload", 3)["result"], "error");
    assert_eq!(statuses(), [200, 403], "a policy that is not there is a broken one");
    daemon.stop();
}

#[test]
fn sighup_begins_a_new_file_when_the_audit_log_was_renamed() {
    let site = Site::new();
    let (log, old) = (site.path(AUDIT), site.path("state/audit/audit.jsonl.1"));
    let daemon = site.start();
    let mut admin = daemon.client("admin");
    assert_eq!(admin.post("/secret", r#"{"name":"a","value":"v"}"#).status, 200);
    fs::rename(&log, &old).unwrap();
    assert_eq!(admin.get("/secret/a").status, 200);
    let text = fs::read_to_string(&old).unwrap();
    assert!(
        text.ends_with('\n') && text.contains("get_secret"),
        "until the signal logging continues in the renamed file"
    );
    daemon.signal(Signal::HUP);
    eventually("there is a new file", || log.exists().then_some(()));
    await_audit(&site, "policy_reload", 1);
    assert_eq!(admin.post("/secret", r#"{"name":"b","value":"v"}"#).status, 200);
    assert_eq!(admin.get("/secret/a").status, 200);
    daemon.stop();

    assert_eq!(fs::read_to_string(&old).unwrap(), text, "the old file is left alone");
    site.verify_audit_files(&[&old, &log]);
    let events: Vec<_> = site.audit(1).iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events, ["log_reopen", "policy_reload", "create_secret", "get_secret", "server_stop"]);
    // The next start continues from the new file alone.
    site.start().stop();
    site.verify_audit_files(&[&old, &log]);
}

#[test]
fn sigterm_ends_it_as_process_1_too() {
    let namespace = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let permitted =
        Command::new("unshare").args(namespace).arg("true").output().is_ok_and(|tried| tried.status.success());
    if !permitted {
        assert!(std::env::var("CI").is_err(), "with CI set, unshare with a PID namespace must be permitted");
        eprintln!("skipped: unshare may not make a PID namespace here");
        return;
    }
    let site = Site::new();
    let serve = site.command("serve");
    let mut command = Command::new("unshare");
    command.args(namespace).arg(serve.get_program()).args(serve.get_args()).env_remove("RUST_LOG");
    let mut unshare = site.started(command);
    let parent = unshare.pid().as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let pid: i32 = children.trim().parse().expect("unshare has one child");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let inside = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
    assert_eq!(inside.split_whitespace().last(), Some("1"), "the daemon is process 1 of its namespace");

    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    assert_eq!(unshare.ended().code(), Some(0));
    assert_eq!(site.audit(1).last().unwrap()["event"], "server_stop");
}
