//! An audit log that is closed by size: while clients come, over restarts, and with old segments deleted.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use jarvis_secretsd::audit;
use rustix::process::Signal;

use crate::client::Client;
use crate::needs;
use crate::running::Daemon;
use crate::site::{AUDIT, MASTER_KEY, NOBODY, PUBLIC_KEY, Site, eventually, mode, run, said};

/// A site whose audit log is closed at 64 KiB.
fn site(keep: &str) -> Site {
    let site = Site::new();
    site.edit("config.toml", "[security]\n", &format!("[audit]\nsegment_bytes = 65536\n{keep}[security]\n"));
    site
}

/// Has several clients read and write, `rounds` times each.
fn work(daemon: &Daemon, rounds: usize) {
    let addr = daemon.addr();
    thread::scope(|threads| {
        for number in 0..4 {
            threads.spawn(move || {
                let mut client = Client::named("admin", addr);
                let name = format!("db_{number}");
                client.store(&name, "v");
                for round in 0..rounds {
                    match round % 10 {
                        0 => drop(client.store(&name, "v")),
                        _ => assert_eq!(client.get(&format!("/secret/{name}")).status, 200),
                    }
                }
            });
        }
    });
}

fn metric(daemon: &Daemon, name: &str) -> u64 {
    let page = daemon.client("admin").metrics();
    let sample = page.lines().find_map(|line| line.strip_prefix(&format!("jarvis_secretsd_{name} ")));
    sample.unwrap().parse().unwrap()
}

#[test]
fn clients_notice_nothing_of_a_log_in_segments_and_it_verifies_over_restarts() {
    let site = site("");
    let mut lines = 0;
    for round in 1..=3 {
        let daemon = site.start();
        work(&daemon, 200);
        // Each file is closed with little more than it may hold.
        let closed = site.audit_files().len() - 1;
        assert!(closed >= 4 * round, "{closed} segments in round {round}");
        assert_eq!(metric(&daemon, "audit_rotation_failures_total"), 0);
        assert!(metric(&daemon, "audit_rotations_total") > 0);
        if round == 2 {
            drop(daemon);
        } else {
            daemon.stop();
        }
        site.verify_audit();
        let now = site.audit_lines().len();
        assert!(now >= lines + 4 * 201, "{now} lines after {lines}");
        lines = now;
    }
    let files = site.audit_files();
    for file in &files {
        assert_eq!(mode(file), 0o600);
    }
    site.verify_audit_files(&files.iter().map(|file| file.as_path()).collect::<Vec<_>>());
    let numbers = site.audit(1).into_iter().map(|line| line["seq"].as_u64().unwrap());
    assert!(numbers.eq(1..=lines as u64), "the segments' names sort like their lines");
}

#[test]
fn only_so_many_segments_are_kept_and_what_is_left_verifies() {
    let site = site("keep_segments = 2\n");
    let daemon = site.start();
    work(&daemon, 400);
    assert!(metric(&daemon, "audit_rotations_total") > 4);
    eventually("the last one too many is deleted", || (site.audit_files().len() == 3).then_some(()));
    let checkpoint = daemon.client("admin").get("/audit/checkpoint").body;
    daemon.stop();
    let checkpoint = site.write("checkpoint.json", &checkpoint);
    let key = site.path(PUBLIC_KEY);
    let verified = run(&[&"audit", &"verify", &"--public-key", &key, &"--checkpoint", &checkpoint, &site.path(AUDIT)]);
    let report = said(&verified);
    assert!(verified.status.success() && report.contains("in 3 files: chain and signatures hold"), "{report}");
    let first = site.audit(1)[0]["seq"].as_u64().unwrap();
    assert!(report.contains(&format!("\nlines 1 to {} are in earlier files", first - 1)), "{report}");
    let deleted: Vec<_> = site.audit(1).into_iter().filter(|line| line["event"] == "delete_segment").collect();
    let up_to = format!(", up to line {}", first - 1);
    assert!(deleted.iter().any(|line| line["detail"].as_str().unwrap().ends_with(&up_to)), "{deleted:?}");
    // The vault and what is kept of the log still agree.
    site.start().stop();
}

#[test]
fn a_start_without_the_newest_file_goes_on_from_the_newest_segment() {
    let site = site("");
    let daemon = site.start();
    work(&daemon, 100);
    daemon.stop();
    // Everything since is gone; the vault has seen a line of it.
    fs::remove_file(site.path(AUDIT)).unwrap();
    let last = site.audit_files().len() - 2;
    let mut refused = Daemon::spawn(site.command("serve"), &site, "log");
    assert_eq!(refused.ended().code(), Some(1));
    let log = refused.log();
    assert!(log.contains("the audit log ends at line") && !log.contains("ends at line 0"), "{log}");
    assert!(!site.path(AUDIT).exists(), "nothing was changed");

    let mut command = site.command("serve");
    command.arg("--accept-rollback");
    let mut daemon = site.started(command);
    daemon.await_log("a new file continues from the newest closed segment");
    daemon.stop();
    site.verify_audit();
    let first = site.audit_lines().len() - fs::read_to_string(site.path(AUDIT)).unwrap().lines().count();
    let events: Vec<_> = site.audit(first + 1).iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect();
    let recovered = events.iter().filter(|event| *event == "recovered").count();
    assert_eq!(events[..1 + recovered], [vec!["log_reopen"], vec!["recovered"; recovered]].concat());
    assert_eq!(events[1 + recovered], "rollback_accepted");
    assert_eq!(site.audit_files().len() - 2, last);
}

#[test]
fn sighup_begins_a_new_file_beside_the_segments_too() {
    let site = site("");
    let daemon = site.start();
    work(&daemon, 60);
    let (log, renamed) = (site.path(AUDIT), site.path("state/audit/audit.jsonl.1"));
    let closed = site.audit_files();
    fs::rename(&log, &renamed).unwrap();
    daemon.signal(Signal::HUP);
    eventually("there is a new file", || log.exists().then_some(()));
    work(&daemon, 200);
    daemon.stop();
    let all = site.audit_files();
    assert!(all.len() > closed.len());
    let (before, after) = all.split_at(closed.len() - 1);
    let files: Vec<_> = before.iter().chain([&renamed]).chain(after).map(|path| path.as_path()).collect();
    site.verify_audit_files(&files);
}

fn backup(site: &Site, name: &str) -> PathBuf {
    let path = site.path(name);
    let made = site.command("backup").arg("--output").arg(&path).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    path
}

/// Restores, and returns how many segments were put aside.
fn restore(site: &Site, backup: &Path) -> usize {
    let restored = site.command("restore").arg("--force").arg(backup).output().unwrap();
    assert!(restored.status.success(), "{}", said(&restored));
    let aside = |line: &&str| line.contains("/audit.0") && line.contains(".jsonl was kept as ");
    said(&restored).lines().filter(aside).count()
}

#[test]
fn backups_are_made_while_the_log_is_closed_again_and_again() {
    let site = site("");
    let daemon = site.start();
    let is_over = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                work(&daemon, 20);
            }
        });
        let mut made = 0;
        eventually("there are ten backups, and the log was closed meanwhile", || {
            backup(&site, &format!("{made}.tar"));
            made += 1;
            (made >= 10 && metric(&daemon, "audit_rotations_total") > 0).then_some(())
        });
        is_over.store(true, Ordering::SeqCst);
    });
    let newest = backup(&site, "newest.tar");
    work(&daemon, 200);
    daemon.stop();
    assert_eq!(restore(&site, &newest), 0, "the log goes on from the one in the backup, and so do its segments");
    site.start().stop();
    site.verify_audit();
}

/// A site and a backup of it, after which several segments were closed.
fn changed_since_a_backup() -> (Site, PathBuf) {
    let site = site("");
    let daemon = site.start();
    work(&daemon, 60);
    let backup = backup(&site, "b.tar");
    work(&daemon, 200);
    daemon.stop();
    (site, backup)
}

#[test]
fn a_restore_without_the_newest_file_goes_on_from_the_newest_segment_too() {
    for left in [None, Some(""), Some("{\"seq\":")] {
        let (site, backup) = changed_since_a_backup();
        match left {
            None => fs::remove_file(site.path(AUDIT)).unwrap(),
            Some(left) => fs::write(site.path(AUDIT), left).unwrap(),
        }
        let closed = site.audit_files().len() - 1;
        assert_eq!(restore(&site, &backup), 0, "no segment is put aside");
        let restored: Vec<_> = fs::read_to_string(site.path(AUDIT)).unwrap().lines().map(str::to_owned).collect();
        assert!(restored.len() == 2 && restored[0].contains("from its newest closed segment"), "{restored:?}");
        assert!(restored[1].contains(r#""event":"restore""#), "{restored:?}");
        site.start().stop();
        site.verify_audit();
        assert_eq!((site.audit_files().len() - 1, &site.audit(1)[0]["seq"]), (closed, &1.into()));
    }
}

#[test]
fn the_file_in_which_a_restore_goes_on_belongs_to_whom_the_segments_belong() {
    if !needs::to_be_root() {
        return;
    }
    let (site, backup) = changed_since_a_backup();
    fs::remove_file(site.path(AUDIT)).unwrap();
    let segments = audit::segments(&site.path(AUDIT)).unwrap();
    segments.iter().for_each(|segment| chown(&segment.path, Some(NOBODY), Some(NOBODY)).unwrap());
    let (plain, trace) = (site.command("restore --force"), site.path("trace"));
    let mut traced = Command::new("strace");
    if needs::is_installed("strace") {
        traced.args(["-f", "-s", "400", "-e", "trace=%file,fchown,fcntl", "-o"]).arg(&trace).arg(plain.get_program());
    } else {
        traced = Command::new(plain.get_program());
    }
    let restored = traced.args(plain.get_args()).arg(&backup).env_remove("RUST_LOG").output().unwrap();
    assert!(restored.status.success(), "{}", said(&restored));
    let log = fs::metadata(site.path(AUDIT)).unwrap();
    assert_eq!((log.uid(), log.gid()), (NOBODY, NOBODY));
    if trace.exists() {
        let given = files_that_are_given(&fs::read_to_string(&trace).unwrap());
        assert!(!given.is_empty());
        assert!(given.iter().all(|opened| opened.contains("O_EXCL")), "root gave away what it has not made: {given:?}");
    }
}

/// How the files were opened whose owner a traced process has changed. It changes none by its path.
fn files_that_are_given(trace: &str) -> Vec<String> {
    let lines: Vec<&str> = trace.lines().collect();
    assert!(!lines.iter().any(|line| line.contains(" chown(") || line.contains("fchownat(")), "{trace}");
    let given = lines.iter().enumerate().filter_map(|(at, line)| {
        let descriptor = line.split_once(" fchown(")?.1.split(',').next()?;
        Some(opening(&lines[..at], descriptor).unwrap_or_else(|| panic!("{line} in {trace}")).to_owned())
    });
    given.collect()
}

/// The line of a trace that tells how the file was opened which has this descriptor at its end.
fn opening<'a>(lines: &[&'a str], descriptor: &str) -> Option<&'a str> {
    let is_told = |line: &&str| line.contains("openat(") || line.contains("F_DUPFD");
    let at = lines.iter().rposition(|line| is_told(line) && line.ends_with(&format!("= {descriptor}")))?;
    match lines[at].split_once(" fcntl(") {
        Some((_, copied)) => opening(&lines[..at], copied.split(',').next()?),
        None => Some(lines[at]),
    }
}

#[test]
fn a_restored_log_has_the_segments_before_it_and_no_others() {
    let site = site("");
    let daemon = site.start();
    work(&daemon, 200);
    let backup = backup(&site, "b.tar");
    let before = site.audit_files().len() - 1;
    work(&daemon, 200);
    daemon.stop();
    let since = site.audit_files().len() - 1 - before;
    assert!(before > 0 && since > 0);
    // A log that cannot be continued does not stay.
    fs::write(site.path(AUDIT), "no line\n").unwrap();
    assert_eq!(restore(&site, &backup), since);
    assert_eq!(site.audit_files().len() - 1, before);
    site.start().stop();
    site.verify_audit();
    assert_eq!(site.audit(1)[0]["seq"], 1);

    // Elsewhere there are segments of another log.
    let other = self::site("");
    fs::create_dir_all(other.path("state/secrets")).unwrap();
    fs::copy(site.path(MASTER_KEY), other.path(MASTER_KEY)).unwrap();
    let daemon = other.start();
    work(&daemon, 100);
    daemon.stop();
    let foreign = other.audit_files().len() - 1;
    assert!(foreign > 0 && restore(&other, &backup) == foreign);
    other.start().stop();
    other.verify_audit();
}
