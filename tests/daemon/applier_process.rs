//! The process beside the daemon that runs appliers, and how the daemon comes by it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use rustix::process::{Pid, Signal, getpid, kill_process};

use crate::external_system::pending;
use crate::needs;
use crate::process::without_root;
use crate::running::Daemon;
use crate::site::{NOBODY, Site, eventually, said};
use crate::trusted::{Trusted, processes_with};

/// A site whose secret `db_main` has this shell program for all its appliers.
fn site(directory: &Trusted, program: &str) -> Site {
    let site = Site::new();
    let path = directory.program("applier", &format!("#!/bin/sh\n{program}\n"));
    let config = site.read("config.toml") + &format!("[rotation.db_main]\napply = [{path:?}]\nverify = [{path:?}]\n");
    site.write("config.toml", &config);
    site
}

/// The process that the daemon has started for appliers, if it has.
fn runner(daemon: &Daemon) -> Option<Pid> {
    let parent = daemon.pid().as_raw_pid().to_string();
    let is_its_child = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)) == Some(&parent)
    };
    processes_with("run-appliers").into_iter().find(is_its_child).and_then(Pid::from_raw)
}

/// Whether the process is there, and no zombie.
fn is_alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

#[test]
fn only_a_daemon_with_appliers_has_a_process_for_them() {
    assert!(runner(&Daemon::start()).is_none());
    let directory = Trusted::new();
    let daemon = site(&directory, "exit 0").start();
    let runner = runner(&daemon).expect("there is one");
    let environment = fs::read(format!("/proc/{}/environ", runner.as_raw_pid()));
    assert!(environment.is_err() || environment.unwrap().is_empty(), "nothing of the daemon's environment is in it");
    for field in ["NoNewPrivs:\t1", "Umask:\t0077"] {
        let status = fs::read_to_string(format!("/proc/{}/status", runner.as_raw_pid())).unwrap();
        assert!(status.lines().any(|line| line == field), "{field} is not in {status}");
    }
    daemon.stop();
    assert!(!is_alive(runner), "it ends before the daemon");
}

#[test]
fn what_is_sent_to_the_daemons_group_or_to_all_leaves_it_alone() {
    let directory = Trusted::new();
    let daemon = site(&directory, "exit 0").start();
    let runner = runner(&daemon).unwrap();
    let group = |pid: Pid| rustix::process::getpgid(Some(pid)).unwrap();
    assert_ne!(group(runner), group(daemon.pid()), "a terminal's signals do not reach it");
    assert_ne!(group(runner), group(getpid()));
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        kill_process(runner, signal).unwrap();
    }
    // It heeds them in order, and then the daemon's end.
    assert!(is_alive(runner));
    daemon.stop();
    assert!(!is_alive(runner));
}

#[test]
fn appliers_run_as_the_user_that_the_daemon_has_become() {
    if !needs::to_be_root() {
        return;
    }
    let directory = Trusted::new();
    let site = site(&directory, "cat >/dev/null; id -u >&2; id -g >&2; exit 3");
    without_root(&site);
    let mut daemon = site.start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "v");
    assert_eq!(admin.post("/rotate", r#"{"names":["db_main"]}"#).status, 502);
    let line = daemon.await_log("Applier of db_main: apply: exit status 3");
    assert!(line.trim_end().ends_with(&format!("{NOBODY}\\n{NOBODY}")), "{line}");
}

#[test]
fn it_ends_when_the_daemon_is_killed() {
    let directory = Trusted::new();
    let daemon = site(&directory, "exit 0").start();
    let runner = runner(&daemon).unwrap();
    drop(daemon);
    eventually("it has ended", || (!is_alive(runner)).then_some(()));
}

#[test]
fn a_daemon_whose_process_for_appliers_is_dead_says_so_and_serves_on() {
    let directory = Trusted::new();
    let mut daemon = site(&directory, "exit 0").start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "v");
    assert_eq!(admin.get("/healthz").json()["status"], "ok");
    kill_process(runner(&daemon).unwrap(), Signal::KILL).unwrap();
    let why = "the process that runs appliers has ended; restart the daemon";
    let told = eventually("it is noticed", || Some(admin.get("/healthz")).filter(|told| told.status == 503)).json();
    assert_eq!((&told["status"], &told["reason"]), (&"degraded".into(), &why.into()));
    assert!(admin.get("/metrics").body.contains("\njarvis_secretsd_healthy 0\n"));
    assert!(daemon.await_log(why).contains(" ERROR "));
    assert_eq!(daemon.log().matches(why).count(), 1, "it is said once");
    assert_eq!(admin.value("db_main"), "v");
    let refused = admin.post("/rotate", r#"{"names":["db_main"]}"#);
    assert_eq!(refused.refusal(), (502, "apply_failed".to_owned()));
    assert!(refused.text("message").contains(why), "{}", refused.body);
    assert_eq!(pending(&mut admin), None, "nothing is begun that nobody can finish");
    drop(admin);
    let daemon = daemon.stop().start();
    let mut admin = daemon.client("admin");
    assert_eq!(admin.get("/healthz").status, 200);
    assert_eq!(admin.post("/rotate", r#"{"names":["db_main"]}"#).status, 200);
}

#[test]
fn check_and_serve_refuse_an_applier_that_others_may_change_and_change_nothing() {
    let directory = Trusted::new();
    let site = site(&directory, "exit 0");
    let good = site.command("check").output().unwrap();
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    assert!(said(&good).contains("\nappliers of 1 secrets: good\n"), "{}", said(&good));
    let path = directory.path("applier");
    fs::set_permissions(&path, Permissions::from_mode(0o775)).unwrap();
    let shown = path.display();
    for command in ["check", "serve"] {
        let refused = site.command(command).output().unwrap();
        assert_eq!(refused.status.code(), Some(78), "{}", said(&refused));
        let why = format!(
            "jarvis-secretsd: [rotation.db_main]: {shown}: {shown} can be written by others than its owner (mode 0775); \
             chmod go-w {shown}\n"
        );
        assert!(said(&refused).ends_with(&why), "{}", said(&refused));
    }
    assert!(!site.path("state").exists());
}
