//! How often the device is asked, and for how long a start waits for it.

use std::fs;

use rustix::process::Signal;

use super::Stage;
use crate::notify::Manager;
use crate::running::Daemon;

const COUNT: &str = "state/secrets/vault.json.unwrap-failures";

#[test]
fn after_max_failures_the_device_is_not_asked_again_over_restarts_too_until_a_person_says_so() {
    let stage = Stage::with_a_secret();
    stage.configure("max_failures = 2");
    stage.serves();
    assert!(!stage.site.path(COUNT).exists(), "nothing has failed");
    stage.let_be("absent");
    stage.refused(78);
    stage.refused(78);
    let asked = stage.asked();
    stage.let_no_longer_be("absent");
    for _ in 0..2 {
        let said = stage.refused(78);
        let why = "vault.json.unwrap-failures: [master_key] unwrap has failed 2 times in a row and is not tried again";
        assert!(said.contains(why), "{said}");
    }
    let checked = stage.command("key check");
    assert_eq!(checked.status.code(), Some(78), "a command is no way round it");
    assert_eq!(stage.asked(), asked);
    fs::remove_file(stage.site.path(COUNT)).unwrap();
    stage.serves();
    assert!(!stage.site.path(COUNT).exists());
}

#[test]
fn an_attempt_in_which_the_daemon_was_killed_counts() {
    let stage = Stage::with_a_secret();
    stage.configure("max_failures = 1\ntimeout_secs = 3600");
    let mut daemon = stage.waiting();
    daemon.signal(Signal::KILL);
    daemon.ended();
    stage.let_no_longer_be("silent");
    let said = stage.refused(78);
    assert!(said.contains("has failed once and is not tried again"), "{said}");
}

#[test]
fn a_success_begins_the_count_anew() {
    let stage = Stage::with_a_secret();
    stage.configure("max_failures = 2");
    for _ in 0..2 {
        stage.let_be("absent");
        stage.refused(78);
        assert_eq!(fs::read(stage.site.path(COUNT)).unwrap().len(), 1);
        stage.let_no_longer_be("absent");
        let checked = stage.command("key check");
        assert!(checked.status.success());
    }
    stage.serves();
}

#[test]
fn a_start_with_retry_secs_waits_for_the_device_and_says_so_to_the_service_manager() {
    let stage = Stage::with_a_secret();
    stage.configure("retry_secs = 86400");
    stage.let_be("absent");
    let manager = Manager::at_path(&stage.site);
    let mut serve = stage.site.command("serve");
    serve.env("NOTIFY_SOCKET", stage.site.path("notify"));
    let mut daemon = Daemon::spawn(serve, &stage.site, "log");
    let [extended, status] = &manager.hears()[..] else { panic!("two lines") };
    assert!(extended.starts_with("EXTEND_TIMEOUT_USEC="), "{extended}");
    assert_eq!(status, "STATUS=Waiting for the master key");
    let why =
        r#"STATUS=Waiting for the master key: [master_key] unwrap: exit status 1: error: no such "device"; Aborting."#;
    assert_eq!(manager.hears()[1], why);
    stage.let_no_longer_be("absent");
    daemon.await_log("Server started successfully");
    assert_eq!(daemon.client("admin").value("db_main"), "v");
    assert!(daemon.log().contains("Waiting for the master key: [master_key] unwrap: exit status 1"));
}

#[test]
fn a_start_that_has_waited_long_enough_fails_in_a_way_that_a_service_manager_tries_again() {
    let stage = Stage::with_a_secret();
    stage.configure("retry_secs = 1");
    stage.let_be("absent");
    let asked = stage.asked();
    let said = stage.refused(1);
    assert!(said.contains("[master_key] unwrap: it was tried for 1 s: exit status 1: "), "{said}");
    assert!(stage.asked() >= asked + 2, "the last attempt is made at the end");
}
