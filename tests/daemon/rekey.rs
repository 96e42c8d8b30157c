//! Another master key: while the daemon works or not, and after an interruption.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{FlockOperation, flock};

use crate::client_program::{failure, refused};
use crate::needs;
use crate::running::Daemon;
use crate::site::{AUDIT, MASTER_KEY, NEXT_KEY, NOBODY, PUBLIC_KEY, SIGNING_KEY, Site, VAULT, run, said};

/// `rekey`, asking the daemon at `addr` as `client`.
fn rekey(site: &Site, client: &str, addr: &str) -> Output {
    let mut command = site.command("rekey");
    as_client(&mut command, client, addr).output().unwrap()
}

fn as_client<'a>(command: &'a mut Command, client: &str, addr: &str) -> &'a mut Command {
    command.arg("--addr").arg(format!("http://{addr}")).arg("--client").arg(client)
}

#[track_caller]
fn done(output: &Output) {
    assert!(output.status.success(), "{}", said(output));
}

fn key(site: &Site, name: &str) -> Vec<u8> {
    fs::read(site.path(name)).unwrap()
}

/// The old keys that were kept.
fn kept(site: &Site) -> Vec<PathBuf> {
    let entries = fs::read_dir(site.path("state/secrets")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("master.key.before-rekey-")).collect()
}

/// The vault is under the key in its place, and no longer under `old`.
#[track_caller]
fn expect_under_the_key_in_place(site: &Site, old: &[u8]) {
    let new = key(site, MASTER_KEY);
    assert_ne!(new, old);
    fs::write(site.path(MASTER_KEY), old).unwrap();
    let mut daemon = Daemon::spawn(site.command("serve"), site, "refused");
    assert_eq!(daemon.ended().code(), Some(1));
    assert!(daemon.log().contains("the master key does not open this vault"), "{}", daemon.log());
    fs::write(site.path(MASTER_KEY), new).unwrap();
    let daemon = site.start();
    assert_eq!(daemon.client("admin").value("db_main"), "v");
    daemon.stop();
    site.verify_audit();
}

fn with_a_secret() -> Daemon {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "v");
    daemon
}

#[test]
fn a_running_daemon_keeps_serving_and_the_old_key_is_kept_aside() {
    let daemon = with_a_secret();
    let site = daemon.site.clone();
    let old = key(&site, MASTER_KEY);
    let mut client = daemon.client("admin");
    done(&rekey(&site, "admin", &daemon.addr().to_string()));
    assert_eq!(client.value("db_main"), "v", "on the connection from before");
    client.store("db_other", "w");
    let line = site.audit(1).into_iter().find(|line| line["event"] == "rekey").unwrap();
    assert_eq!((&line["client"], &line["result"], &line["vault_seq"]), (&"admin".into(), &"success".into(), &2.into()));

    let [kept] = &kept(&site)[..] else { panic!("not one old key was kept") };
    assert_eq!(fs::read(kept).unwrap(), old);
    assert!(!site.path(NEXT_KEY).exists());
    let site = daemon.stop();
    expect_under_the_key_in_place(&site, &old);
}

#[test]
fn a_new_data_key_costs_no_read_while_secrets_are_read_and_stored() {
    let daemon = with_a_secret();
    let site = daemon.site.clone();
    let (old_key, old_vault) = (key(&site, MASTER_KEY), site.read(VAULT));
    let addr = daemon.addr().to_string();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = daemon.client("admin");
                while !over.load(Ordering::SeqCst) {
                    assert_eq!(client.value("db_main"), "v");
                }
            });
        }
        scope.spawn(|| {
            let mut client = daemon.client("admin");
            let mut last = 0;
            while !over.load(Ordering::SeqCst) {
                last += 1;
                client.store("db_other", &last.to_string());
            }
        });
        for _ in 0..5 {
            let output = as_client(site.command("rekey").arg("--data-key"), "admin", &addr).output();
            if !output.as_ref().is_ok_and(|output| output.status.success()) {
                over.store(true, Ordering::SeqCst);
            }
            let output = output.unwrap();
            done(&output);
            assert!(said(&output).contains("make a new one"), "{}", said(&output));
        }
        over.store(true, Ordering::SeqCst);
    });
    let told: Vec<_> = site.audit(1).into_iter().filter(|line| line["event"] == "rekey").collect();
    assert_eq!(told.len(), 5);
    assert!(told.iter().all(|line| line["detail"] == "under a new data key" && line["result"] == "success"));
    assert_eq!(kept(&site).len(), 5);
    let lines = site.read(VAULT);
    assert!(old_vault.lines().all(|line| !lines.contains(line)), "all is sealed anew");
    let site = daemon.stop();
    expect_under_the_key_in_place(&site, &old_key);
}

#[test]
fn a_new_data_key_is_made_without_a_daemon_too_and_an_interrupted_rekey_is_completed_before_it() {
    let site = with_a_secret().stop();
    let old = key(&site, MASTER_KEY);
    done(&site.command("rekey").output().unwrap());
    // As it was just before the last step.
    fs::rename(site.path(MASTER_KEY), site.path(NEXT_KEY)).unwrap();
    fs::rename(&kept(&site)[0], site.path(MASTER_KEY)).unwrap();

    let interrupted = key(&site, NEXT_KEY);
    let again = site.command("rekey").arg("--data-key").output().unwrap();
    done(&again);
    assert!(said(&again).contains("a rekey that was interrupted is complete"), "{}", said(&again));
    let line = site.audit(1).pop().unwrap();
    assert_eq!((&line["event"], &line["detail"]), (&"rekey".into(), &"under a new data key".into()));
    let kept: Vec<_> = kept(&site).iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(kept.len() == 2 && kept.contains(&old) && kept.contains(&interrupted));
    expect_under_the_key_in_place(&site, &interrupted);
}

#[test]
fn between_two_given_keys_there_is_a_new_data_key_if_the_new_key_is_new_indeed() {
    let site = with_a_secret().stop();
    let (old_path, new_path) = (site.path(MASTER_KEY), site.path("new.key"));
    let old = key(&site, MASTER_KEY);
    fs::copy(Daemon::start().stop().path(MASTER_KEY), &new_path).unwrap();
    let between = || {
        let mut command = site.command("rekey");
        command.arg("--data-key").arg("--master-key").arg(&old_path).arg("--new-key").arg(&new_path);
        command.output().unwrap()
    };
    done(&between());
    refused(&between(), "give it another new key");
    fs::copy(&new_path, &old_path).unwrap();
    expect_under_the_key_in_place(&site, &old);
}

#[test]
fn without_a_daemon_the_command_does_it_and_audits_it() {
    let site = with_a_secret().stop();
    let old = key(&site, MASTER_KEY);
    done(&site.command("rekey").output().unwrap());
    let line = site.audit(1).pop().unwrap();
    assert_eq!((&line["event"], &line["client"]), (&"rekey".into(), &serde_json::Value::Null));
    expect_under_the_key_in_place(&site, &old);
}

#[test]
fn only_an_administrator_has_it_done_and_only_if_a_key_lies_ready() {
    let daemon = with_a_secret();
    let before = daemon.site.read(VAULT);
    assert_eq!(daemon.client("reader").post("/rekey", "{}").refusal(), (403, "not_authorized".into()));
    let mut admin = daemon.client("admin");
    assert_eq!(admin.post("/rekey", "{}").refusal(), (404, "not_found".into()));
    for wanted in [r#"{"key":"k"}"#, r#"{"data_key":1}"#] {
        assert_eq!(admin.post("/rekey", wanted).refusal(), (400, "bad_request".into()));
    }
    assert_eq!(admin.post("/rekey", r#"{"data_key":true}"#).refusal(), (404, "not_found".into()));
    assert_eq!(admin.get("/rekey").refusal(), (405, "method_not_allowed".into()));
    daemon.site.lay_next_key(b"short");
    assert_eq!(admin.post("/rekey", "{}").refusal(), (500, "internal".into()));
    assert_eq!(daemon.site.read(VAULT), before);
    let told = failure(&rekey(&daemon.site, "admin", &daemon.addr().to_string()), 78);
    assert!(told.contains("master.key.next: "), "{told}");
}

#[test]
fn a_rekey_after_a_refused_one_uses_the_same_next_key() {
    let daemon = with_a_secret();
    let (site, addr) = (daemon.site.clone(), daemon.addr().to_string());
    let denied = failure(&rekey(&site, "reader", &addr), 4);
    assert!(denied.contains("client reader not allowed"), "{denied}");
    let next = key(&site, NEXT_KEY);
    done(&rekey(&site, "admin", &addr));
    assert_eq!(key(&site, MASTER_KEY), next);
}

#[test]
fn another_daemon_than_the_configurations_is_noticed() {
    let (daemon, other) = (with_a_secret(), with_a_secret());
    let old = key(&daemon.site, MASTER_KEY);
    let unready = failure(&rekey(&daemon.site, "admin", &other.addr().to_string()), 3);
    assert!(unready.contains("there is no next master key"), "{unready}");
    fs::copy(daemon.site.path(NEXT_KEY), other.site.path(NEXT_KEY)).unwrap();
    refused(&rekey(&daemon.site, "admin", &other.addr().to_string()), "has another vault");
    assert_eq!(key(&daemon.site, MASTER_KEY), old);
}

#[test]
fn interrupted_before_the_new_key_is_in_its_place_the_daemon_starts_and_the_command_completes_it() {
    let site = with_a_secret().stop();
    let old = key(&site, MASTER_KEY);
    done(&site.command("rekey").output().unwrap());
    // As it was just before the last step.
    fs::rename(site.path(MASTER_KEY), site.path(NEXT_KEY)).unwrap();
    fs::rename(&kept(&site)[0], site.path(MASTER_KEY)).unwrap();

    let daemon = site.start();
    assert!(daemon.log().contains("run `jarvis-secretsd rekey` again"), "{}", daemon.log());
    assert_eq!(daemon.client("admin").value("db_main"), "v");
    let backup = site.path("b.tar");
    done(&site.command("backup").arg("--output").arg(&backup).output().unwrap());
    // There is nothing left to ask the daemon for.
    done(&site.command("rekey").output().unwrap());
    daemon.stop();
    done(&run(&[&"backup", &"verify", &"--master-key", &site.path(MASTER_KEY), &backup]));
    expect_under_the_key_in_place(&site, &old);
}

#[test]
fn between_two_given_keys_no_key_file_is_moved_and_no_daemon_may_be_at_work() {
    let daemon = with_a_secret();
    let old = key(&daemon.site, MASTER_KEY);
    let (old_path, new_path) = (daemon.site.path(MASTER_KEY), daemon.site.path("new.key"));
    fs::copy(Daemon::start().stop().path(MASTER_KEY), &new_path).unwrap();
    let between = |site: &Site| {
        site.command("rekey").arg("--master-key").arg(&old_path).arg("--new-key").arg(&new_path).output().unwrap()
    };
    refused(&between(&daemon.site), "a daemon is running; stop it first");
    let site = daemon.stop();
    done(&between(&site));
    assert_eq!(key(&site, MASTER_KEY), old);
    let again = between(&site);
    done(&again);
    assert!(said(&again).contains("already"), "{}", said(&again));
    fs::copy(&new_path, &old_path).unwrap();
    expect_under_the_key_in_place(&site, &old);
}

#[test]
fn two_at_once_are_refused_and_one_that_is_repeated_finds_it_done() {
    let daemon = with_a_secret();
    let (site, addr) = (daemon.site.clone(), daemon.addr().to_string());
    let held = fs::File::open(site.path(MASTER_KEY)).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    let before = site.read(VAULT);
    refused(&rekey(&site, "admin", &addr), "another process is changing this key");
    assert_eq!(site.read(VAULT), before);
    assert!(!site.path(NEXT_KEY).exists());
    drop(held);

    site.lay_next_key(&[7; 32]);
    let mut admin = daemon.client("admin");
    for _ in 0..2 {
        let answer = admin.post("/rekey", "{}");
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"rekeyed":true}"#));
    }
    let told: Vec<_> = site.audit(1).into_iter().filter(|line| line["event"] == "rekey").collect();
    assert_eq!(told.len(), 2, "each call has its line");
    assert_eq!(told[1]["detail"], "the vault was under the next key already");
}

#[test]
fn what_root_does_for_the_daemon_belongs_to_the_daemon() {
    if !needs::to_be_root() {
        return;
    }
    let site = with_a_secret().stop();
    let files = [VAULT, MASTER_KEY, AUDIT, SIGNING_KEY, PUBLIC_KEY];
    for path in files.into_iter().chain(["state/secrets", "state/audit"]) {
        chown(site.path(path), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let all_are_its_own = || {
        for directory in ["state/secrets", "state/audit"] {
            for entry in fs::read_dir(site.path(directory)).unwrap() {
                let entry = entry.unwrap();
                assert_eq!(entry.metadata().unwrap().uid(), NOBODY, "{:?}", entry.path());
            }
        }
    };
    let backup = site.path("b.tar");
    done(&site.command("backup").arg("--output").arg(&backup).output().unwrap());
    done(&site.command("rekey").output().unwrap());
    all_are_its_own();
    fs::remove_file(site.path(AUDIT)).unwrap();
    fs::rename(&kept(&site)[0], site.path(MASTER_KEY)).unwrap();
    done(&site.command("restore").arg("--force").arg(&backup).output().unwrap());
    all_are_its_own();
}

#[test]
fn a_vault_that_a_crash_left_without_its_audit_lines_is_for_the_daemon_first() {
    let site = with_a_secret().stop();
    let mut lines = site.audit_lines();
    lines.truncate(1);
    site.write(AUDIT, &(lines.join("\n") + "\n"));
    let before = site.read(VAULT);
    refused(&site.command("rekey").output().unwrap(), "start the daemon");
    assert_eq!(site.read(VAULT), before);
}
