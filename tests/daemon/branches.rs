//! The vault's history is one line: a file that does not continue it is refused, and what a restore or an accepted rollback
//! begins is in the audit log.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::client_program::refused;
use crate::running::Daemon;
use crate::site::{AUDIT, MASTER_KEY, Site, VAULT, said};

fn backup(site: &Site) -> PathBuf {
    let path = site.path("b.tar");
    let made = site.command("backup").arg("--output").arg(&path).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    path
}

/// Restores `backup`, and returns where the vault from before was kept.
fn restore(site: &Site, backup: &Path) -> PathBuf {
    let restored = site.command("restore").arg("--force").arg(backup).output().unwrap();
    assert!(restored.status.success(), "{}", said(&restored));
    kept(&restored)
}

fn kept(restored: &Output) -> PathBuf {
    let said = said(restored);
    let line = said.lines().find(|line| line.contains("vault.json was kept as ")).expect("the vault was kept");
    line.rsplit_once(' ').unwrap().1.into()
}

/// Starts a daemon, has it make `count` changes of the secret `name`, and stops it. Returns the kids.
fn change(site: &Site, name: &str, count: usize) -> Vec<String> {
    let daemon = site.start();
    let mut admin = daemon.client("admin");
    let kids = (0..count).map(|number| admin.store(name, &format!("{name} {number}"))).collect();
    daemon.stop();
    kids
}

/// The start is refused with these words, and changes nothing.
#[track_caller]
fn is_refused(site: &Site, words: &[&str]) {
    let state = || [VAULT, AUDIT].map(|name| fs::read(site.path(name)).ok());
    let before = state();
    let mut daemon = Daemon::spawn(site.command("serve"), site, "refusal");
    assert_eq!(daemon.ended().code(), Some(1), "{}", daemon.log());
    let log = daemon.log();
    for word in words {
        assert!(log.contains(word), "`{word}` is not in: {log}");
    }
    assert!(state() == before, "something was changed");
}

/// Of a vault and an audit log that do not belong together.
#[track_caller]
fn no_backup_is_made(site: &Site) {
    let refusal = site.command("backup").arg("--output").arg(site.path("none.tar")).output().unwrap();
    refused(&refusal, "vault.json: does not continue what the audit log knows: another branch");
    assert!(!site.path("none.tar").exists());
}

fn start_and_accept(site: &Site) -> Daemon {
    let mut accepting = site.command("serve");
    accepting.arg("--accept-rollback");
    site.started(accepting)
}

/// The last line about this event, which tells the vault's number and head.
fn last(site: &Site, event: &str) -> Value {
    let line = site.audit(1).into_iter().rfind(|line| line["event"] == event).unwrap();
    assert!(line["vault_head"].as_str().is_some_and(|head| head.len() == 16), "{line}");
    line
}

const ANOTHER: &str = "the file is another branch of the vault, or another vault";

#[test]
fn an_undone_restore_is_refused_however_few_or_many_changes_came_after_it() {
    for after in [0, 1, 6, 7, 8, 12] {
        let site = Site::new();
        change(&site, "a", 2);
        let daemon = site.start();
        let backup = backup(&site);
        daemon.stop();
        change(&site, "a", 7);
        let before = restore(&site, &backup);
        change(&site, "b", after);
        let (restored, log) = (fs::read(site.path(VAULT)).unwrap(), site.audit_lines());
        fs::copy(before, site.path(VAULT)).unwrap();
        is_refused(&site, &["vault.json: the vault is at change 9, ", "the audit log", "--accept-rollback"]);
        if after < 7 {
            is_refused(&site, &[ANOTHER]);
            no_backup_is_made(&site);
        }
        fs::write(site.path(VAULT), restored).unwrap();
        change(&site, "b", 1);
        assert_eq!(site.audit_lines()[..log.len()], log[..]);
        site.verify_audit();
        assert!(site.audit(1).iter().all(|line| line["event"] != "recovered"), "nothing foreign came in");
    }
}

#[test]
fn another_branch_is_refused_also_when_its_file_was_compacted() {
    let site = Site::new();
    change(&site, "a", 2);
    let daemon = site.start();
    let backup = backup(&site);
    let mut admin = daemon.client("admin");
    let large = "x".repeat(60_000);
    for _ in 0..4 {
        admin.store("large", &large);
        assert_eq!(admin.ask("DELETE", "/secret/large", &[], "").status, 200);
    }
    drop(admin);
    let mut daemon = daemon;
    daemon.await_log("Vault compacted");
    daemon.stop();
    let before = restore(&site, &backup);
    change(&site, "b", 1);
    fs::copy(before, site.path(VAULT)).unwrap();
    is_refused(&site, &[ANOTHER, "--accept-rollback"]);
    no_backup_is_made(&site);
}

#[test]
fn a_restore_is_audited_with_the_branch_that_it_begins_and_needs_no_warning() {
    let site = Site::new();
    change(&site, "a", 3);
    let daemon = site.start();
    let backup = backup(&site);
    daemon.stop();
    change(&site, "a", 3);
    restore(&site, &backup);
    let told = last(&site, "restore");
    assert_eq!(told["vault_seq"], 4);
    let mut daemon = site.start();
    daemon.await_log("No secrets due for rotation");
    let log = daemon.log();
    assert!(!log.contains("Recovered") && !log.contains("Rollback"), "{log}");
    daemon.stop();
    let started = last(&site, "server_start");
    assert_eq!((&started["vault_seq"], &started["vault_head"]), (&told["vault_seq"], &told["vault_head"]));
    // The same backup once more begins another branch.
    restore(&site, &backup);
    let again = last(&site, "restore");
    assert_eq!(again["vault_seq"], 4);
    assert_ne!(again["vault_head"], told["vault_head"]);
    change(&site, "a", 1);
    site.verify_audit();
}

#[test]
fn an_accepted_rollback_begins_a_branch_and_the_other_one_is_then_refused() {
    let site = Site::new();
    change(&site, "a", 2);
    let older = fs::read(site.path(VAULT)).unwrap();
    change(&site, "a", 3);
    let newer = fs::read(site.path(VAULT)).unwrap();
    for after in 0..3 {
        fs::write(site.path(VAULT), &older).unwrap();
        let daemon = start_and_accept(&site);
        (0..after).for_each(|number| _ = daemon.client("admin").store("b", &number.to_string()));
        daemon.stop();
        let told = last(&site, "rollback_accepted");
        assert_eq!(told["vault_seq"], 3, "{told}");
        change(&site, "c", 0);
        let accepted = fs::read(site.path(VAULT)).unwrap();
        fs::write(site.path(VAULT), &newer).unwrap();
        is_refused(&site, &["vault.json: the vault is at change 5, ", ANOTHER]);
        fs::write(site.path(VAULT), accepted).unwrap();
        change(&site, "c", 0);
    }
    site.verify_audit();
}

#[test]
fn another_branch_that_is_accepted_is_in_force_from_then_on() {
    let site = Site::new();
    change(&site, "a", 2);
    let daemon = site.start();
    let backup = backup(&site);
    daemon.stop();
    change(&site, "lost", 7);
    let before = restore(&site, &backup);
    change(&site, "b", 2);
    fs::copy(before, site.path(VAULT)).unwrap();
    let daemon = start_and_accept(&site);
    assert!(daemon.log().contains("Rollback accepted: "), "{}", daemon.log());
    assert_eq!(daemon.client("admin").value("lost"), "lost 6");
    daemon.stop();
    assert!(last(&site, "rollback_accepted")["detail"].as_str().unwrap().contains(ANOTHER));
    let daemon = site.start();
    assert_eq!(daemon.client("admin").value("lost"), "lost 6");
    assert_eq!(daemon.client("admin").get("/secret/b").status, 404);
    daemon.stop();
    site.verify_audit();
}

#[test]
fn the_vault_of_another_audit_log_under_the_same_master_key_is_refused() {
    let site = Site::new();
    change(&site, "a", 3);
    for count in [0, 3, 5] {
        let other = Site::new();
        fs::create_dir_all(other.path("state/secrets")).unwrap();
        fs::copy(site.path(MASTER_KEY), other.path(MASTER_KEY)).unwrap();
        change(&other, "b", count);
        // Beside the log of one that never had a change, too.
        let empty = Site::new();
        fs::create_dir_all(empty.path("state/secrets")).unwrap();
        fs::copy(site.path(MASTER_KEY), empty.path(MASTER_KEY)).unwrap();
        change(&empty, "b", 0);
        for site in [&site, &empty] {
            let own = fs::read(site.path(VAULT)).unwrap();
            fs::copy(other.path(VAULT), site.path(VAULT)).unwrap();
            is_refused(site, &["vault.json: the vault is at change ", "--accept-rollback"]);
            fs::write(site.path(VAULT), own).unwrap();
        }
    }
}

#[test]
fn the_files_from_before_a_rekey_are_refused() {
    let site = Site::new();
    change(&site, "a", 2);
    let before = [VAULT, MASTER_KEY].map(|name| (name, fs::read(site.path(name)).unwrap()));
    let rekeyed = site.command("rekey").output().unwrap();
    assert!(rekeyed.status.success(), "{}", said(&rekeyed));
    let now = [VAULT, MASTER_KEY].map(|name| (name, fs::read(site.path(name)).unwrap()));
    let put =
        |files: &[(&str, Vec<u8>)]| files.iter().for_each(|(name, bytes)| fs::write(site.path(name), bytes).unwrap());
    put(&before);
    is_refused(&site, &["the vault is at change 2, but the audit log knows change 3"]);
    put(&now);
    change(&site, "a", 1);
    put(&before);
    is_refused(&site, &["the vault is at change 2, but the audit log knows change 4"]);
}

#[test]
fn an_accepted_loss_of_audit_lines_needs_to_be_accepted_once() {
    let site = Site::new();
    let daemon = site.start();
    let mut admin = daemon.client("admin");
    admin.store("a", "v");
    (0..50).for_each(|_| assert_eq!(admin.value("a"), "v"));
    admin.store("a", "w");
    admin.store("a", "x");
    drop(admin);
    daemon.stop();
    fs::remove_file(site.path(AUDIT)).unwrap();
    is_refused(&site, &["the audit log ends at line 0"]);
    start_and_accept(&site).stop();
    let daemon = site.start();
    assert_eq!(daemon.client("admin").value("a"), "x");
    daemon.stop();
    site.verify_audit();
}

#[test]
fn no_kid_comes_again_after_a_restore_or_an_accepted_rollback() {
    let site = Site::new();
    let mut kids = change(&site, "a", 1);
    let older = fs::read(site.path(VAULT)).unwrap();
    let daemon = site.start();
    let backup = backup(&site);
    daemon.stop();
    for _ in 0..3 {
        kids.extend(change(&site, "a", 2));
        restore(&site, &backup);
        kids.extend(change(&site, "a", 2));
        fs::write(site.path(VAULT), &older).unwrap();
        let daemon = start_and_accept(&site);
        kids.extend((0..2).map(|_| daemon.client("admin").store("a", "v")));
        daemon.stop();
    }
    let second = |kid: &String| kid.split('-').skip(1).take(2).collect::<String>();
    // Whatever second they were made in, those of one branch come after all that were known when it began.
    for (before, branch) in kids.chunks(2).zip(kids[1..].chunks(2)) {
        assert!(second(&before[0]) <= second(&branch[0]), "{kids:?}");
    }
    kids.sort();
    let count = kids.len();
    kids.dedup();
    assert_eq!(kids.len(), count, "{kids:?}");
}
