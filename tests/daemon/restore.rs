//! What a restore would lose is shown before, and has to be confirmed.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::needs;
use crate::running::Daemon;
use crate::site::{AUDIT, MASTER_KEY, Site, VAULT, said};
use crate::terminal::Terminal;

/// A site whose daemon has stopped, and a backup from before its last secret, whose kid comes with it.
fn changed_since_a_backup() -> (Site, PathBuf, String) {
    let daemon = Daemon::start();
    daemon.client("admin").store("saved", "v");
    let backup = daemon.site.path("b.tar");
    let made = daemon.site.command("backup").arg("--output").arg(&backup).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let kid = daemon.client("admin").store("later", "v");
    (daemon.stop(), backup, kid)
}

fn restore(site: &Site, options: &[&str], backup: &PathBuf) -> Output {
    site.command("restore").args(options).arg(backup).output().unwrap()
}

/// The names of the secrets that are served.
fn served(site: &Site) -> Vec<String> {
    let list = site.start().client("admin").get("/secrets").json();
    list["secrets"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

const HOW: &str = "nothing was changed: there is no terminal to confirm this at, so it needs --force";

#[test]
fn without_a_terminal_what_would_be_lost_is_reported_and_kept_unless_that_is_forced() {
    let (site, backup, kid) = changed_since_a_backup();
    let vault = site.read(VAULT);
    let told = [
        "jarvis-secretsd: the backup was made at 2".to_owned(),
        format!("jarvis-secretsd: a restore would lose 1 version\njarvis-secretsd:   {kid}\n"),
        "jarvis-secretsd: a restore would keep the audit log, which continues the one in the backup\n".to_owned(),
    ];
    let refused = restore(&site, &[], &backup);
    assert_eq!(refused.status.code(), Some(1));
    for words in told.iter().map(String::as_str).chain([HOW]) {
        assert!(said(&refused).contains(words), "{words}: {}", said(&refused));
    }
    assert_eq!((site.read(VAULT), served(&site)), (vault, vec!["later".to_owned(), "saved".to_owned()]));
    let forced = restore(&site, &["--force"], &backup);
    assert!(forced.status.success(), "{}", said(&forced));
    assert!(told.iter().all(|words| said(&forced).contains(words)), "{}", said(&forced));
    assert_eq!(served(&site), ["saved"]);
}

#[test]
fn no_question_is_asked_where_there_is_nothing_to_lose() {
    let (site, backup, _) = changed_since_a_backup();
    let elsewhere = Site::new();
    fs::create_dir_all(elsewhere.path(VAULT).parent().unwrap()).unwrap();
    fs::copy(site.path(MASTER_KEY), elsewhere.path(MASTER_KEY)).unwrap();
    let restored = restore(&elsewhere, &[], &backup);
    assert!(restored.status.success(), "{}", said(&restored));
    // The vault that is there is the one of the backup, and of the log only the line of the restore is not in it.
    let again = restore(&elsewhere, &[], &backup);
    assert!(again.status.success(), "{}", said(&again));
    assert!(!said(&again).contains("would lose"), "{}", said(&again));
    fs::remove_file(site.path(VAULT)).unwrap();
    let restored = restore(&site, &[], &backup);
    assert!(restored.status.success(), "{}", said(&restored));
}

#[test]
fn another_policy_is_something_to_lose_unless_it_is_kept() {
    let (site, backup, _) = changed_since_a_backup();
    assert!(restore(&site, &["--force"], &backup).status.success());
    site.edit("policy.toml", "\"db_*\"", "\"dbx_*\"");
    let refused = restore(&site, &[], &backup);
    let words = ["a restore would lose 0 versions\n", "a restore would replace the policy with another one\n", HOW];
    assert!(words.iter().all(|words| said(&refused).contains(words)), "{}", said(&refused));
    let kept = restore(&site, &["--keep-policy"], &backup);
    assert!(kept.status.success(), "{}", said(&kept));
}

#[test]
fn a_vault_that_cannot_be_read_may_hold_anything() {
    let (site, backup, _) = changed_since_a_backup();
    let mut vault = fs::read(site.path(VAULT)).unwrap();
    let middle = vault.len() / 2;
    vault[middle] ^= 1;
    fs::write(site.path(VAULT), &vault).unwrap();
    let refused = restore(&site, &[], &backup);
    let why = "what a restore would lose is unknown: the existing vault cannot be read";
    assert!([why, HOW].iter().all(|words| said(&refused).contains(words)), "{}", said(&refused));
    assert_eq!(fs::read(site.path(VAULT)).unwrap(), vault);
    assert!(restore(&site, &["--force"], &backup).status.success());
    assert_eq!(served(&site), ["saved"]);
}

#[test]
fn many_versions_are_counted_and_the_first_of_them_named() {
    let (site, backup, _) = changed_since_a_backup();
    let daemon = site.start();
    let mut admin = daemon.client("admin");
    for number in 0..30 {
        admin.store(&format!("many_{number:02}"), "v");
    }
    daemon.stop();
    let refused = restore(&site, &[], &backup);
    let told = said(&refused);
    assert!(told.contains("a restore would lose 31 versions\n") && told.contains("  many_18-"), "{told}");
    assert!(told.contains("  and 11 more, which backup verify names\n") && !told.contains("many_19-"), "{told}");
    let verified = site.command("backup verify").arg(&backup).output().unwrap();
    assert!(said(&verified).contains("\n  many_29-"), "{}", said(&verified));
}

#[test]
fn at_a_terminal_only_a_yes_restores() {
    if !needs::is_installed("script") {
        return;
    }
    let (site, backup, kid) = changed_since_a_backup();
    let words = format!("restore --config {} {}", site.path("config.toml").display(), backup.display());
    let restored = |typed: &str| {
        let mut terminal = Terminal::open(&Command::new("true"), &words);
        terminal.answer("Continue? [y/N] ", typed);
        terminal.ended()
    };
    let (vault, audit) = (site.read(VAULT), site.read(AUDIT));
    let shown = restored("\n");
    assert!(shown.contains(&kid) && shown.contains("restore: nothing was changed\r\n"), "{shown}");
    assert!(shown.contains("status=1\r\n"), "{shown}");
    assert_eq!((site.read(VAULT), site.read(AUDIT)), (vault, audit));
    let shown = restored("y\n");
    assert!(shown.contains("status=0\r\n"), "{shown}");
    assert_eq!(served(&site), ["saved"]);
}
