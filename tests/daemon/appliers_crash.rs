//! A daemon that is killed in the middle of a rotation, and what the next one makes of it.

use std::thread;

use crate::client::Client;
use crate::external_system::{ExternalSystem, OLD, line, pending, rotate};
use crate::running::Daemon;
use crate::site::eventually;
use crate::trusted::processes_with;

const ALL: [&str; 3] = ["prepare", "apply", "verify"];

/// What an applier does to be found at what it is at: it ends when it is killed.
const STAYS: &str = "echo $$ >$D/at; trap '' TERM INT HUP; while :; do sleep 0.01; done";

/// Kills the daemon while the applier is at this, and starts another one.
fn killed_at(external: &ExternalSystem, action: &str, before: &str) -> Daemon {
    let daemon = external.start();
    external.on(action, &format!("{before}\n{STAYS}"));
    let mut client = daemon.client("admin");
    let asking = thread::spawn(move || client.try_ask("POST", "/rotate", &[], br#"{"names":["db_main"]}"#).is_err());
    external.written("at");
    drop(daemon);
    assert!(asking.join().unwrap(), "no answer has said that it was rotated");
    external.remove(&format!("on-{action}"));
    // Nothing of the old applier may be left when the next one is asked.
    let pid = external.read("at");
    external.on("verify", &format!("kill -0 {} 2>/dev/null && echo overlap >>$D/overlap", pid.trim()));
    external.site.start()
}

/// Waits until nothing is pending, and returns the value that is served.
fn settled(admin: &mut Client) -> String {
    eventually("the rotation is decided on", || pending(admin).is_none().then_some(()));
    admin.value("db_main")
}

#[test]
fn killed_while_it_is_prepared_there_is_nothing_to_decide() {
    let external = ExternalSystem::with(&ALL);
    let daemon = killed_at(&external, "prepare", "");
    let mut admin = daemon.client("admin");
    assert_eq!((settled(&mut admin).as_str(), external.read("accepted").as_str()), (OLD, OLD));
    assert_eq!(external.calls(), ["prepare"]);
    assert_eq!(rotate(&mut admin).status, 200);
}

#[test]
fn killed_while_what_it_has_revoked_is_retired_that_is_served_to_nobody_and_retired_at_the_next_start() {
    let external = ExternalSystem::with(&["apply", "verify", "retire"]);
    let daemon = external.start();
    let mut admin = daemon.client("admin");
    let old = admin.get("/secret/db_main").text("kid");
    external.on("retire", STAYS);
    let body = br#"{"name":"db_main","value":"new","revoke_previous":true}"#;
    let asking = thread::spawn(move || admin.try_ask("POST", "/secret", &[], body).is_err());
    external.written("at");
    let gone = |daemon: &Daemon| daemon.client("admin").get(&format!("/secret/db_main?kid={old}")).status;
    assert_eq!(gone(&daemon), 410, "while it is retired");
    drop(daemon);
    assert!(asking.join().unwrap(), "no answer has said that it was done");
    external.remove("on-retire");
    let daemon = external.site.start();
    let mut admin = daemon.client("admin");
    assert_eq!((admin.value("db_main"), gone(&daemon)), ("new".to_owned(), 410));
    let destroyed =
        || external.site.audit(1).iter().any(|line| line["event"] == "destroy_version" && line["kid"] == *old);
    eventually("it is retired and destroyed", || destroyed().then_some(()));
    assert_eq!(external.calls(), ["retire", "retire"]);
    daemon.stop().verify_audit();
}

#[test]
fn killed_before_it_was_applied_the_old_value_stays() {
    let external = ExternalSystem::with(&ALL);
    let daemon = killed_at(&external, "apply", "");
    let mut admin = daemon.client("admin");
    assert_eq!((settled(&mut admin).as_str(), external.read("accepted").as_str()), (OLD, OLD));
    assert_eq!(external.calls(), ["prepare", "apply", "verify", "verify"]);
    let detail = "unfinished; verify: the new value does not work";
    assert_eq!(external.audited(), [line("prepare_rotation", "success", ""), line("rotate", "error", detail)]);
    assert_eq!(external.read("overlap"), "");
    // Whoever has decided is perhaps still at it.
    eventually("it can be rotated again", || (rotate(&mut admin).status == 200).then_some(()));
    daemon.stop().verify_audit();
}

#[test]
fn killed_after_it_was_applied_the_new_value_becomes_current() {
    let external = ExternalSystem::with(&ALL);
    let daemon = killed_at(&external, "apply", "printf %s \"$value\" >$D/accepted");
    let mut admin = daemon.client("admin");
    let value = settled(&mut admin);
    assert!(value.starts_with("user:") && value == external.read("accepted"), "{value}");
    let audited = [line("prepare_rotation", "success", ""), line("rotate", "success", "unfinished")];
    assert_eq!(external.audited(), audited);
    assert_eq!(external.read("overlap"), "");
    daemon.stop().verify_audit();
}

#[test]
fn killed_while_it_is_verified_the_new_value_becomes_current() {
    let external = ExternalSystem::with(&ALL);
    let daemon = killed_at(&external, "verify", "");
    let value = settled(&mut daemon.client("admin"));
    assert!(value.starts_with("user:") && value == external.read("accepted"), "{value}");
    assert_eq!(external.calls(), ["prepare", "apply", "verify", "verify"]);
    assert_eq!(external.read("overlap"), "");
}

#[test]
fn an_applier_does_not_outlive_a_daemon_that_is_killed() {
    let external = ExternalSystem::with(&ALL);
    let daemon = external.start();
    let marker = external.path("orphan").display().to_string();
    external
        .on("apply", &format!("setsid sh -c 'while :; do sleep 1; done' {marker} & echo $$ >$D/at; exec sleep 1000"));
    let mut client = daemon.client("admin");
    let asking = thread::spawn(move || client.try_ask("POST", "/rotate", &[], br#"{"names":["db_main"]}"#).is_err());
    external.written("at");
    eventually("what it has started is there", || (!processes_with(&marker).is_empty()).then_some(()));
    drop(daemon);
    eventually("nothing of it is left", || processes_with(&marker).is_empty().then_some(()));
    asking.join().unwrap();
}

#[test]
fn while_verify_cannot_decide_at_the_start_the_old_value_is_served_and_the_new_one_kept() {
    let external = ExternalSystem::with(&ALL);
    let daemon = external.start();
    external.on("verify", "exit 2");
    assert_eq!(rotate(&mut daemon.client("admin")).status, 502);
    drop(daemon);
    let mut daemon = external.site.start();
    daemon.await_log("The rotation of db_main is not finished: verify: exit status 2; neither value is known to work");
    let mut admin = daemon.client("admin");
    assert_eq!(admin.value("db_main"), OLD);
    assert!(pending(&mut admin).is_some());
    drop(daemon);
    external.remove("on-verify");
    let daemon = external.site.start();
    assert_eq!(settled(&mut daemon.client("admin")), external.read("accepted"), "it was applied");
}

#[test]
fn without_its_appliers_a_rotation_that_is_not_finished_waits_for_a_person() {
    let external = ExternalSystem::with(&ALL);
    let daemon = external.start();
    external.on("verify", "exit 2");
    assert_eq!(rotate(&mut daemon.client("admin")).status, 502);
    let site = daemon.stop();
    let config = site.read("config.toml");
    site.write("config.toml", config.split("[rotation.db_main]").next().unwrap());
    let mut daemon = site.start();
    let told =
        daemon.await_log("The rotation of db_main is not finished, and it is unknown which of its two values works");
    assert!(told.contains("[rotation.db_main] is no longer configured: put it back, or store the value that works"));
    let mut admin = daemon.client("admin");
    for target in ["/rotate", "/rotate?dry_run=true"] {
        let refused = admin.post(target, r#"{"names":["db_main"]}"#);
        assert_eq!(refused.refusal(), (409, "rotation_pending".to_owned()), "{target}");
    }
    assert_eq!(admin.value("db_main"), OLD);
    admin.store("db_main", "by-hand");
    assert_eq!(pending(&mut admin), None);
    assert_eq!(rotate(&mut admin).status, 200);
}
