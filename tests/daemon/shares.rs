//! The master key in shares for several people: any few of them put it back, and fewer do not.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::client_program::{failure, fed, printed, refused};
use crate::running::Daemon;
use crate::site::{MASTER_KEY, Site, VAULT, mode, said};

/// A site whose daemon has run, and stored a secret.
fn used() -> Site {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "v");
    daemon.stop()
}

fn export(site: &Site, arguments: &[&str]) -> Command {
    let mut command = site.command("key export");
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The lines of five shares, of which three are needed.
fn lines(site: &Site) -> Vec<String> {
    let printed = printed(export(site, &["--shares", "5", "--threshold", "3"]).output().unwrap());
    let lines: Vec<_> = printed.lines().map(|line| format!("{line}\n")).collect();
    assert_eq!(lines.len(), 5);
    lines
}

/// The files of five shares, of which three are needed, in `directory`.
fn files(site: &Site, directory: &str) -> Vec<PathBuf> {
    let base = site.path(directory).join("share");
    fs::create_dir(site.path(directory)).unwrap();
    let told =
        printed(export(site, &["--shares=5", "--threshold=3", "--output", base.to_str().unwrap()]).output().unwrap());
    let base = base.display();
    assert_eq!(told, format!("wrote {base}.1 to {base}.5, any 3 of which give the key back\n"));
    (1..=5).map(|number| PathBuf::from(format!("{base}.{number}"))).collect()
}

fn import<'a>(site: &Site, files: impl IntoIterator<Item = &'a PathBuf>) -> Output {
    site.command("key import").args(files).stdin(Stdio::null()).output().unwrap()
}

/// What these lines give on standard input.
fn import_text(site: &Site, lines: &str) -> Output {
    let mut command = site.command("key import");
    command.arg("-");
    fed(command, lines.as_bytes())
}

/// Each choice of so many of these.
fn choices<T>(of: &[T], count: u32) -> Vec<Vec<&T>> {
    let chosen = (0..1_u32 << of.len()).filter(|chosen| chosen.count_ones() == count);
    let pick = |chosen| of.iter().enumerate().filter(move |(at, _)| chosen >> at & 1 == 1).map(|(_, one)| one);
    chosen.map(|chosen| pick(chosen).collect()).collect()
}

#[test]
fn any_three_of_five_put_the_key_back_and_no_two_do() {
    let site = used();
    let files = files(&site, "shares");
    let key = fs::read(site.path(MASTER_KEY)).unwrap();
    for pair in choices(&files, 2) {
        fs::remove_file(site.path(MASTER_KEY)).unwrap();
        refused(&import(&site, pair), "2 of 3 shares are here");
        assert!(!site.path(MASTER_KEY).exists());
        fs::write(site.path(MASTER_KEY), "").unwrap();
    }
    for three in choices(&files, 3) {
        fs::remove_file(site.path(MASTER_KEY)).unwrap();
        let imported = import(&site, three);
        assert!(imported.status.success(), "{}", said(&imported));
        assert_eq!(fs::read(site.path(MASTER_KEY)).unwrap(), key);
        assert_eq!(mode(&site.path(MASTER_KEY)), 0o600);
    }
    assert!(said(&import(&site, &files)).contains("holds this key already"), "all five are as good");
    let daemon = site.start();
    assert_eq!(daemon.client("admin").value("db_main"), "v");
}

#[test]
fn a_backup_is_restored_on_another_host_with_the_key_that_shares_have_put_there() {
    let site = used();
    let files = files(&site, "shares");
    let backup = site.path("backup.tar");
    let made = site.command("backup").arg("--output").arg(&backup).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let other = Site::new();
    let imported = import(&other, &files[1..4]);
    assert!(imported.status.success(), "{}", said(&imported));
    let restored = other.command("restore").arg(&backup).output().unwrap();
    assert!(restored.status.success(), "{}", said(&restored));
    let daemon = other.start();
    assert_eq!(daemon.client("admin").value("db_main"), "v");
}

#[test]
fn shares_are_taken_from_one_file_from_several_or_from_standard_input() {
    let site = used();
    let lines = lines(&site);
    let good = |imported: Output| assert!(said(&imported).contains("holds this key already"), "{}", said(&imported));
    good(import(&site, [&site.write("all", &lines.concat())]));
    good(import(&site, [&site.write("one", &lines[4]), &site.write("two", &lines[..2].concat())]));
    good(import_text(&site, &lines[1..4].concat()));
    good(import_text(&site, &lines[1..4].concat().to_uppercase().replace('-', " ")));
    let mut mixed = site.command("key import");
    mixed.arg(site.path("one")).arg("-");
    good(fed(mixed, lines[2..4].concat().as_bytes()));
}

#[test]
fn each_share_is_in_a_private_file_of_its_own_and_nothing_is_replaced() {
    let site = used();
    for file in files(&site, "shares") {
        assert_eq!((mode(&file), fs::read_to_string(&file).unwrap().lines().count()), (0o600, 1));
    }
    fs::create_dir(site.path("taken")).unwrap();
    fs::write(site.path("taken/share.4"), "is here").unwrap();
    let base = site.path("taken/share");
    let base = base.to_str().unwrap();
    let taken = export(&site, &["--shares=5", "--threshold=3", "--output", base]).output().unwrap();
    refused(&taken, "share.4: exists already");
    let left: Vec<_> = fs::read_dir(site.path("taken")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["share.4"]);
    assert_eq!(site.read("taken/share.4"), "is here");
}

#[test]
fn a_set_that_gives_no_key_is_told_why_and_puts_nothing_in_place() {
    let site = used();
    let (lines, others) = (lines(&site), lines(&site));
    fs::remove_file(site.path(MASTER_KEY)).unwrap();
    let told = |text: &str| failure(&import_text(&site, text), 1);

    let swapped = lines[2].replace("share=3", "share=4");
    assert_eq!(
        told(&[&lines[0][..], &lines[1], &swapped].concat()),
        "standard input: line 3, share 4, was mistyped or is cut off: its check sum does not fit"
    );
    let mixed = told(&[&lines[0][..], &lines[1], &others[3]].concat());
    assert!(mixed.starts_with("the shares: share 4 is from another export ("), "{mixed}");
    assert_eq!(told(&[&lines[0][..], &lines[1], &lines[1]].concat()), "the shares: share 2 appears twice");
    assert_eq!(
        told(&[&lines[4][..], &lines[1]].concat()),
        "the shares: 2 of 3 shares are here (5, 2); 1 more of the 5 must be"
    );
    assert!(told("anything else\n").starts_with("-: this is not a wrapped master key"));

    // Shares of another vault's key, and of this one from before a rekey.
    let foreign = self::lines(&used())[..3].concat();
    let refused = told(&foreign);
    assert!(refused.contains("holds another key than that of the vault"), "{refused}");
    assert!(!site.path(MASTER_KEY).exists());
}

#[test]
fn a_passphrase_behind_a_wrapped_key_is_not_taken_for_a_file() {
    let site = used();
    let wrapped = printed(fed(site.command("key export"), b"correct horse battery\n"));
    let wrapped = site.write("wrapped", &wrapped);
    let told = failure(&import(&site, [&wrapped, &PathBuf::from("hunter2")]), 2);
    assert!(told.contains("the passphrase is never an argument") && !told.contains("hunter2"), "{told}");
    let mut import = site.command("key import");
    import.arg("-");
    refused(&fed(import, &fs::read(wrapped).unwrap()), "a wrapped key, which must be in a file");
}

#[test]
fn shares_are_asked_for_by_two_numbers_that_can_be() {
    let site = used();
    let usage = |arguments: &[&str]| failure(&export(&site, arguments).output().unwrap(), 2);
    for arguments in [&["--shares=5"][..], &["--threshold=3"]] {
        assert!(usage(arguments).contains("--shares N and --threshold K go together"), "{arguments:?}");
    }
    for (shares, threshold) in [("5", "6"), ("5", "1"), ("1", "1"), ("256", "3"), ("five", "3"), ("5", ""), ("-5", "3")]
    {
        let arguments = [format!("--shares={shares}"), format!("--threshold={threshold}")];
        let told = usage(&arguments.each_ref().map(|argument| &argument[..]));
        assert!(told.contains("--shares is a number from 2 to 255"), "{told}");
    }
}

#[test]
fn shares_are_of_the_key_of_a_vault_that_is_there() {
    let site = used();
    let shares = || export(&site, &["--shares=5", "--threshold=3"]).output().unwrap();
    fs::write(site.path(MASTER_KEY), [7; 32]).unwrap();
    refused(&shares(), "is under another master key than this one");
    fs::remove_file(site.path(VAULT)).unwrap();
    refused(&shares(), "there is no vault yet, whose id each share names; start the daemon once");
}

#[test]
fn key_check_says_whether_shares_open_the_vault() {
    let site = used();
    let files = files(&site, "shares");
    let check = |files: &[PathBuf]| site.command("key check").args(files).output().unwrap();
    let told = printed(check(&files[2..]));
    let vault = site.path(VAULT);
    assert!(
        told.starts_with("this set of shares, of vault ")
            && told.contains(&format!("opens the vault {}", vault.display()))
    );
    refused(&check(&files[..2]), "2 of 3 shares are here");
    let done = site.command("rekey").output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    refused(&check(&files), "does not open the vault");
}
