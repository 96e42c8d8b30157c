//! Backup and restore: what is in a backup, what is noticed in a changed one, and what a restore does to what is there.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;
use serde_json::json;

use crate::client_program::refused;
use crate::needs;
use crate::process::without_root;
use crate::running::Daemon;
use crate::site::{
    AUDIT, BINARY, MASTER_KEY, NOBODY, PUBLIC_KEY, SIGNING_KEY, Site, VAULT, eventually, mode, run, said,
};

/// A site of its own with the same master key as `site`, and nothing else of it.
fn elsewhere(site: &Site) -> Site {
    let other = Site::new();
    fs::create_dir_all(other.path("state/secrets")).unwrap();
    fs::copy(site.path(MASTER_KEY), other.path(MASTER_KEY)).unwrap();
    other
}

fn backup(site: &Site, name: &str) -> PathBuf {
    let path = site.path(name);
    let made = site.command("backup").arg("--output").arg(&path).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    path
}

fn restore(site: &Site, backup: &Path) -> Output {
    site.command("restore").arg("--force").arg(backup).output().unwrap()
}

fn verify(site: &Site, backup: &Path) -> Output {
    site.command("backup verify").arg(backup).output().unwrap()
}

#[track_caller]
fn done(output: &Output, what: &str) {
    assert!(output.status.success(), "{}", said(output));
    assert!(said(output).contains(what), "{}", said(output));
}

fn value(daemon: &Daemon, name: &str) -> Option<String> {
    let answer = daemon.client("admin").get(&format!("/secret/{name}"));
    (answer.status == 200).then(|| answer.json()["value"].as_str().unwrap().to_owned())
}

#[test]
fn backups_of_a_daemon_at_work_bring_every_acknowledged_value_back_elsewhere() {
    let daemon = Daemon::start();
    let (is_over, at_work) = (AtomicBool::new(false), AtomicUsize::new(0));
    let backups = thread::scope(|scope| {
        for writer in 0..4 {
            let (mut client, is_over, at_work) = (daemon.client("admin"), &is_over, &at_work);
            scope.spawn(move || {
                for number in 0.. {
                    client.store(&format!("s{writer}_{}", number % 50), &format!("v{number}"));
                    if number == 0 {
                        at_work.fetch_add(1, Ordering::SeqCst);
                    }
                    if is_over.load(Ordering::SeqCst) {
                        break;
                    }
                }
            });
        }
        eventually("all write", || (at_work.load(Ordering::SeqCst) == 4).then_some(()));
        let mut admin = daemon.client("admin");
        let backups: Vec<_> = (0..8)
            .map(|number| {
                admin.store("marker", &format!("before backup {number}"));
                backup(&daemon.site, &format!("{number}.tar"))
            })
            .collect();
        is_over.store(true, Ordering::SeqCst);
        backups
    });
    let site = daemon.stop();
    for (number, backup) in backups.iter().enumerate() {
        let other = elsewhere(&site);
        done(&restore(&other, backup), "all opened");
        let daemon = other.start();
        assert_eq!(value(&daemon, "marker"), Some(format!("before backup {number}")));
        daemon.stop();
        other.verify_audit();
        assert!(other.audit(1).iter().all(|line| line["event"] != "recovered"), "only what was acknowledged is in it");
    }
}

#[test]
fn a_restored_log_continues_under_the_same_key_with_a_line_about_the_restore() {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "v");
    let backup = backup(&daemon.site, "b.tar");
    let site = daemon.stop();
    let other = elsewhere(&site);
    done(&restore(&other, &backup), "1 secrets, 1 versions");
    assert_eq!(other.read(SIGNING_KEY), site.read(SIGNING_KEY));
    assert_eq!(other.read("policy.toml"), site.read("policy.toml"));
    let lines = other.audit(1);
    assert_eq!(lines.len(), 3, "start, creation, restore");
    assert_eq!((&lines[2]["event"], &lines[2]["vault_seq"]), (&"restore".into(), &2.into()), "a branch begins");
    assert!(
        lines[2]["detail"].as_str().unwrap().ends_with("at change 1, audit line 2; the log in the backup is continued")
    );
    let daemon = other.start();
    assert_eq!(value(&daemon, "db_main").as_deref(), Some("v"));
    daemon.stop();
    other.verify_audit();
}

#[test]
fn verify_says_what_a_restore_would_lose_and_the_restore_loses_that_and_keeps_the_audit_log() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("kept", "v");
    admin.store("deleted", "v");
    let backup = backup(&daemon.site, "b.tar");
    assert_eq!(admin.ask("DELETE", "/secret/deleted", &[], "").status, 200);
    admin.store("made", "v");
    daemon.site.edit("policy.toml", "\"db_*\"", "\"dbx_*\"");
    let verified = verify(&daemon.site, &backup);
    let policy = daemon.site.read("policy.toml");
    for what in [
        "lose 1 version\n  made-",
        "bring back 1 destroyed version\n  deleted-",
        "replace the policy with another one",
        "would keep the audit log",
    ] {
        done(&verified, what);
    }

    let before = daemon.site.read(VAULT);
    refused(&restore(&daemon.site, &backup), "another jarvis-secretsd is using this directory");
    assert_eq!(daemon.site.read(VAULT), before, "nothing was changed");

    let site = daemon.stop();
    let before = site.audit_lines();
    let restored = restore(&site, &backup);
    done(&restored, "vault.json was kept as ");
    assert_eq!(site.audit_lines()[..before.len()], before[..], "the log never goes back");
    assert_eq!(site.audit(before.len() + 1)[0]["event"], "restore");
    let aside: Vec<_> = said(&restored)
        .lines()
        .filter_map(|line| line.split_once(" was kept as "))
        .map(|(_, kept)| fs::read_to_string(kept).unwrap())
        .collect();
    assert!(aside.contains(&policy), "the policy was kept aside too");
    let daemon = site.start();
    assert_eq!(value(&daemon, "deleted").as_deref(), Some("v"));
    assert_eq!(value(&daemon, "kept").as_deref(), Some("v"));
    assert_eq!(value(&daemon, "made"), None);
    daemon.stop();
    site.verify_audit();
}

#[test]
fn a_log_that_was_continued_in_a_new_file_is_kept_too() {
    let daemon = Daemon::start();
    daemon.client("admin").store("kept", "v");
    let backup = backup(&daemon.site, "b.tar");
    let (audit, older) = (daemon.site.path(AUDIT), daemon.site.path("state/audit/audit.jsonl.1"));
    fs::rename(&audit, &older).unwrap();
    daemon.signal(Signal::HUP);
    eventually("the log continues in a new file", || audit.exists().then_some(()));
    daemon.client("admin").store("made", "v");
    let site = daemon.stop();
    let before = site.audit_lines();
    done(&verify(&site, &backup), "would keep the audit log");
    done(&restore(&site, &backup), "restored");
    assert_eq!(site.audit_lines()[..before.len()], before[..]);
    let daemon = site.start();
    assert_eq!((value(&daemon, "kept").as_deref(), value(&daemon, "made")), (Some("v"), None));
    let site = daemon.stop();
    site.verify_audit_files(&[&older, &audit]);
}

#[test]
fn a_log_of_the_same_key_that_took_another_course_is_put_aside() {
    let site = Daemon::start().stop();
    let [before, rotated] = ["before", "state/audit/audit.jsonl.1"].map(|name| site.path(name));
    fs::copy(site.path(AUDIT), &before).unwrap();
    let vault = fs::read(site.path(VAULT)).unwrap();
    let daemon = site.start();
    daemon.client("admin").store("one", "v");
    let backup = backup(&site, "b.tar");
    daemon.stop();

    fs::copy(&before, site.path(AUDIT)).unwrap();
    fs::write(site.path(VAULT), vault).unwrap();
    let daemon = site.start();
    daemon.client("admin").store("other", "v");
    fs::rename(site.path(AUDIT), &rotated).unwrap();
    daemon.signal(Signal::HUP);
    eventually("the log continues in a new file", || site.path(AUDIT).exists().then_some(()));
    daemon.stop();
    done(&verify(&site, &backup), "would put the audit log aside");
}

#[test]
fn a_backup_from_before_a_rekey_is_compared_restored_and_served_with_the_key_from_before() {
    let daemon = Daemon::start();
    daemon.client("admin").store("saved", "v");
    let backup = backup(&daemon.site, "b.tar");
    daemon.client("admin").store("later", "v");
    let site = daemon.stop();
    let old = site.path("old.key");
    fs::copy(site.path(MASTER_KEY), &old).unwrap();
    done(&site.command("rekey").output().unwrap(), "under a new master key");
    refused(&verify(&site, &backup), "the master key is not the one with which this backup was made");
    let with_the_old_key =
        |command: &str| site.command(command).arg("--master-key").arg(&old).arg(&backup).output().unwrap();
    done(&with_the_old_key("backup verify"), "would lose 1 version\n  later-");
    done(&with_the_old_key("restore --force"), "put the master key of this backup at ");
    done(&site.command("check").output().unwrap(), "master.key: does not open the vault");
    fs::copy(&old, site.path(MASTER_KEY)).unwrap();
    assert!(!said(&site.command("check").output().unwrap()).contains("does not open the vault"));
    let daemon = site.start();
    assert_eq!((value(&daemon, "saved").as_deref(), value(&daemon, "later")), (Some("v"), None));
}

#[test]
fn settings_are_in_a_backup_and_it_is_reported_which_a_restore_would_change() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    for name in ["a", "b", "c"] {
        admin.make(&json!({ "name": name, "value": "v", "owner": "before" }));
    }
    let backup = backup(&daemon.site, "b.tar");
    for (name, patch) in [("a", json!({ "owner": "after" })), ("b", json!({ "rotation": "off" }))] {
        assert_eq!(admin.ask("PATCH", &format!("/secret/{name}"), &[], &patch.to_string()).status, 200);
    }
    drop(admin);
    let site = daemon.stop();
    done(&verify(&site, &backup), "a restore would change the settings of 2 secrets\n  a\n  b\n");
    done(&restore(&site, &backup), "");
    let daemon = site.start();
    let settings = daemon.client("admin").get("/secret/a/versions").json()["settings"].clone();
    assert_eq!(settings["owner"], "before");
}

#[test]
fn what_cannot_be_compared_does_not_make_a_backup_bad() {
    let daemon = Daemon::start();
    let backup = backup(&daemon.site, "b.tar");
    let site = daemon.stop();
    fs::write(site.path(VAULT), "damaged").unwrap();
    done(&verify(&site, &backup), "what a restore would lose is unknown: ");
}

#[test]
fn a_policy_that_is_the_same_is_not_written_and_another_one_keeps_its_mode() {
    let daemon = Daemon::start();
    let backup = backup(&daemon.site, "b.tar");
    let site = daemon.stop();
    let policy = site.path("policy.toml");
    let inode = || fs::metadata(&policy).unwrap().ino();
    let before = inode();
    done(&restore(&site, &backup), "restored");
    assert_eq!(inode(), before);
    site.edit("policy.toml", "\"db_*\"", "\"dbx_*\"");
    fs::set_permissions(&policy, Permissions::from_mode(0o640)).unwrap();
    done(&restore(&site, &backup), "policy.toml was kept as ");
    assert_ne!(inode(), before);
    assert_eq!(mode(&policy), 0o640);
}

#[test]
fn with_keep_policy_the_policy_that_is_there_stays() {
    let daemon = Daemon::start();
    let backup = backup(&daemon.site, "b.tar");
    let site = daemon.stop();
    site.edit("policy.toml", "\"db_*\"", "\"dbx_*\"");
    let policy = site.read("policy.toml");
    done(&site.command("restore").args(["--keep-policy", "--force"]).arg(&backup).output().unwrap(), "restored");
    assert_eq!(site.read("policy.toml"), policy);
}

fn owner(path: &Path) -> (u32, u32) {
    let meta = path.metadata().unwrap();
    (meta.uid(), meta.gid())
}

#[test]
fn the_daemons_user_can_use_the_directories_that_a_restore_by_root_has_made() {
    if !needs::to_be_root() {
        return;
    }
    let site = Site::new();
    fs::create_dir(site.path("key")).unwrap();
    site.edit("config.toml", MASTER_KEY, "key/master.key");
    chown(site.path("key"), Some(NOBODY), Some(NOBODY)).unwrap();
    let unnamed = site.read("config.toml");
    without_root(&site);
    let named = site.read("config.toml");
    let daemon = site.start();
    daemon.client("admin").store("db_main", "kept");
    daemon.stop();
    let backup = backup(&site, "backup.tar");

    // The directory above is that user's, or the configuration names the user.
    fs::remove_dir_all(site.path("state/secrets")).unwrap();
    fs::remove_dir_all(site.path("state/audit")).unwrap();
    site.write("config.toml", &unnamed);
    done(&restore(&site, &backup), "restored vault");
    let made = ["state/secrets", "state/audit", VAULT, AUDIT, SIGNING_KEY];
    for name in made {
        assert_eq!(owner(&site.path(name)), (NOBODY, NOBODY), "{name}");
    }
    fs::remove_dir_all(site.path("state")).unwrap();
    site.edit("config.toml", "/policy.toml", "/deep/etc/policy.toml");
    done(&restore(&site, &backup), "restored vault");
    assert_eq!(owner(&site.path("state/secrets")), (0, 0), "nobody else is known");
    assert_eq!([mode(&site.path("deep/etc")), mode(&site.path("state/secrets"))], [0o755, 0o700]);
    fs::remove_dir_all(site.path("state")).unwrap();
    site.write("config.toml", &named);
    done(&restore(&site, &backup), "restored vault");
    for name in made.into_iter().chain(["state"]) {
        assert_eq!(owner(&site.path(name)), (NOBODY, NOBODY), "{name}");
    }
    assert_eq!(value(&site.start(), "db_main").as_deref(), Some("kept"));
}

#[test]
fn a_changed_byte_anywhere_is_noticed() {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "v");
    let backup = backup(&daemon.site, "b.tar");
    let site = daemon.stop();
    let bytes = fs::read(&backup).unwrap();
    for at in (0..bytes.len()).step_by(37) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(&backup, changed).unwrap();
        let output = verify(&site, &backup);
        assert_eq!(output.status.code(), Some(1), "byte {at}: {}", said(&output));
    }
    for length in [0, 100, bytes.len() / 2, bytes.len() - 1024 - 512] {
        fs::write(&backup, &bytes[..length]).unwrap();
        refused(&verify(&site, &backup), "is not a complete backup");
    }
}

/// The header of an entry as a backup has it, changed by `change`, with the checksum that belongs to that.
fn header(name: &str, size: u64, change: impl Fn(&mut tar::Header)) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_size(size);
    header.set_mode(0o600);
    change(&mut header);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// `backup verify` or `restore` of `file`, by a process that may have half a gibibyte of memory.
fn in_little_memory(site: &Site, command: &str, file: &Path) -> Output {
    let program = site.command(command);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -v 524288; exec \"$0\" \"$@\""]).arg(program.get_program()).args(program.get_args());
    shell.arg(file).env_remove("RUST_LOG").output().unwrap()
}

#[test]
fn an_entry_that_no_backup_has_is_refused_unread_however_much_it_announces() {
    use tar::EntryType;
    let site = Daemon::start().stop();
    let announced = 4 << 30;
    let kinds = [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader, EntryType::XGlobalHeader];
    for kind in kinds.into_iter().chain([EntryType::GNUSparse, EntryType::Symlink, EntryType::Continuous]) {
        let tar = site.path("prepared.tar");
        fs::write(&tar, header("manifest.json", announced, |header| header.set_entry_type(kind))).unwrap();
        // All of what is announced is there, as a hole, and takes no room on the disk.
        File::options().write(true).open(&tar).unwrap().set_len(announced + 4096).unwrap();
        for command in ["backup verify", "restore"] {
            let refusal = in_little_memory(&site, command, &tar);
            refused(&refusal, "prepared.tar: is not a complete backup: ");
            refused(
                &refusal,
                "it has `manifest.json` with another header than ours where manifest.json begins (byte 0)",
            );
        }
    }
}

#[test]
fn an_archive_that_is_not_to_the_byte_as_a_backup_is_laid_out_is_refused() {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "v");
    let backup = backup(&daemon.site, "b.tar");
    let site = daemon.stop();
    let good = fs::read(&backup).unwrap();
    let entry = |name: &str, size: u64| header(name, size, |_| {});
    let first =
        u64::from_str_radix(str::from_utf8(&good[124..135]).unwrap(), 8).unwrap().next_multiple_of(512) as usize;
    let (manifest, rest) = good.split_at(512 + first);
    let (second, rest) = rest.split_at(1024);
    let bytes = |parts: &[&[u8]]| parts.concat();
    let reordered = bytes(&[second, manifest, rest]);
    let doubled = bytes(&[manifest, manifest, second, rest]);
    let longer = bytes(&[&good, &[0; 512]]);
    let trailed = bytes(&[&good[..good.len() - 1], b"x"]);
    let unended = good[..good.len() - 512].to_vec();
    let more = bytes(&[&good[..good.len() - 1024], &entry("more", 0), &[0; 1024]]);
    let huge = bytes(&[&entry("manifest.json", 1 << 20 | 1), &vec![0; 2 << 20]]);
    let binary = bytes(&[&entry("manifest.json", u64::MAX), &good[512..]]);
    for (what, bytes, why) in [
        ("another order", reordered, "where manifest.json begins (byte 0)"),
        ("an entry twice", doubled, "it has `manifest.json` where audit.sign.key.sealed begins"),
        ("more zeros", longer, "there is something after its end"),
        ("something in the end", trailed, "there is something after its end"),
        ("half an end", unended, "its end is missing"),
        ("another entry", more, "there is something after its end"),
        ("a text without end", huge, "manifest.json has 1048577 bytes, too many"),
        ("a size beyond all files", binary, "manifest.json has 18446744073709551615 bytes, too many"),
    ] {
        fs::write(&backup, bytes).unwrap();
        for output in [verify(&site, &backup), restore(&site, &backup)] {
            assert!(said(&output).contains(why), "{what}: {}", said(&output));
            refused(&output, "is not a complete backup: ");
        }
    }
}

#[test]
fn a_backup_holds_neither_key_in_the_clear_and_opens_with_its_own_master_key_only() {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "canary-value");
    let backup = backup(&daemon.site, "b.tar");
    let site = daemon.stop();
    let bytes = fs::read(&backup).unwrap();
    let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(!holds(&fs::read(site.path(MASTER_KEY)).unwrap()), "the master key");
    assert!(!holds(site.read(SIGNING_KEY).lines().nth(1).unwrap().as_bytes()), "the signing key");
    assert!(!holds(b"canary-value"), "a value");

    let key = site.path(MASTER_KEY);
    done(&run(&[&"backup", &"verify", &"--master-key", &key, &backup]), "1 secrets, 1 versions, all opened");
    let stranger = Daemon::start().stop();
    refused(&verify(&stranger, &backup), "the master key is not the one with which this backup was made");
    let before = stranger.read(VAULT);
    refused(&restore(&stranger, &backup), "the master key is not the one");
    assert_eq!(stranger.read(VAULT), before);
}

#[test]
fn a_backup_replaces_no_file_and_a_vault_that_was_put_back_is_not_backed_up() {
    let daemon = Daemon::start();
    let old = fs::read(daemon.site.path(VAULT)).unwrap();
    daemon.client("admin").store("db_main", "v");
    let site = daemon.stop();
    let mine = site.write("mine.tar", "mine");
    refused(&site.command("backup").arg("--output").arg(&mine).output().unwrap(), "exists already");
    assert_eq!(site.read("mine.tar"), "mine");
    fs::write(site.path(VAULT), old).unwrap();
    let output = site.path("b.tar");
    let made = site.command("backup").arg("--output").arg(&output).output().unwrap();
    refused(&made, "the vault is at change 0, but the audit log knows change 1");
    assert!(!output.exists());
}

#[test]
fn without_output_the_backup_is_named_by_its_time() {
    let site = Daemon::start().stop();
    let made = site.command("backup").current_dir(site.path("")).output().unwrap();
    let name = said(&made).split_once(": ").unwrap().0.to_owned();
    assert!(name.starts_with("jarvis-secretsd-2") && name.ends_with(".tar"), "{name}");
    done(&verify(&site, &site.path(&name)), "0 secrets");
}

#[test]
fn a_backup_goes_to_standard_output_whole_and_leaves_nothing_behind() {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "v");
    let files = || fs::read_dir(daemon.site.path("state/secrets")).unwrap().count();
    let before = files();
    let made = daemon.site.command("backup").arg("--output").arg("-").output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(String::from_utf8_lossy(&made.stderr).contains("1 secrets, 1 versions, all opened"));
    let backup = daemon.site.path("piped.tar");
    fs::write(&backup, &made.stdout).unwrap();
    done(&verify(&daemon.site, &backup), "1 secrets, 1 versions, all opened");
    assert_eq!(files(), before);
}

#[test]
fn what_an_interrupted_restore_leaves_is_not_served_and_the_restore_can_be_done_again() {
    let daemon = Daemon::start();
    daemon.client("admin").store("saved", "v");
    let backup = backup(&daemon.site, "b.tar");
    let site = daemon.stop();
    let restored = elsewhere(&site);
    done(&restore(&restored, &backup), "restored");

    // The order in which a restore puts files in place, the vault of before being away.
    let files = [SIGNING_KEY, PUBLIC_KEY, AUDIT];
    for placed in 0..=files.len() {
        let live = elsewhere(&site);
        let daemon = live.start();
        for number in 0..3 {
            daemon.client("admin").store(&format!("live_{number}"), "v");
        }
        daemon.stop();
        fs::remove_file(live.path(VAULT)).unwrap();
        for file in &files[..placed] {
            fs::copy(restored.path(file), live.path(file)).unwrap();
        }
        let started = Daemon::spawn(live.command("serve"), &live, "log").ended();
        assert_eq!(started.code(), Some(1), "{placed} files placed");
        done(&restore(&live, &backup), "restored");
        let daemon = live.start();
        assert_eq!(value(&daemon, "saved").as_deref(), Some("v"));
        assert_eq!(value(&daemon, "live_0"), None);
        daemon.stop();
        live.verify_audit();
    }
}

#[test]
fn a_file_that_is_no_backup_is_refused_in_one_line() {
    let site = Daemon::start().stop();
    for file in [site.path(VAULT), PathBuf::from("/dev/zero"), site.path("none.tar"), PathBuf::from(BINARY)] {
        for output in [verify(&site, &file), restore(&site, &file)] {
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert_eq!(said(&output).lines().count(), 1, "{output:?}");
        }
    }
}
