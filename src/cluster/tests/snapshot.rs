//! Snapshots of the log in etcd.

use super::memory::Content;
use super::*;
use crate::base::sync::lock;
use crate::cluster::head::Head;
use crate::cluster::members::Alive;
use crate::vault::Unavailable;

const LEADER: &[u8] = b"a 1";

impl Site {
    /// One on which whoever leads does it as [`LEADER`].
    fn led(test: &str) -> Self {
        let site = Self::new(test);
        site.led_as(LEADER);
        site
    }

    fn head(&self) -> Head {
        self.log("looks").look().unwrap().unwrap().1
    }

    /// Has whoever leads lead as `leader`.
    fn led_as(&self, leader: &[u8]) {
        self.etcd.put(b"/v/leader".to_vec(), leader);
    }
}

impl Daemon {
    fn snapshot(&self) -> Result<(), String> {
        self.log.put_snapshot(&self.vault, LEADER, Duration::ZERO).map_err(|why| why.to_string())
    }
}

/// So much that a snapshot of a few of these has several parts.
fn large(n: usize) -> String {
    format!("{n} {}", "x".repeat(60_000))
}

#[test]
fn a_daemon_without_a_copy_begins_from_the_snapshot_and_what_came_behind_it() {
    let site = Site::led("begins");
    let [one, other] = ["a", "b"].map(|node| site.start(node));
    for n in 0..20 {
        one.put(&format!("db-{}", n % 10), &large(n));
    }
    assert_eq!(site.head().log_bytes, site.whole().len() as u64);
    one.snapshot().unwrap();
    let head = site.head();
    assert_eq!((head.snapshot, head.parts, head.log_bytes), (20, site.etcd.keys("/v/snap/").len() as u64, 0));
    assert!(head.parts > 1);
    let snapshot = site.whole().len();
    other.put("db-0", "behind");
    assert_eq!(site.head().log_bytes, (site.whole().len() - snapshot) as u64);
    let new = site.start("c");
    assert_eq!(new.read("db-0").as_deref(), Some("behind"));
    assert_eq!(new.read("db-9"), Some(large(19)));
    new.put("db-1", "of the new one");
    assert_eq!([one, other].map(|daemon| daemon.read("db-1")), [(); 2].map(|()| Some("of the new one".to_owned())));
}

#[test]
fn what_a_snapshot_replaces_is_removed_by_the_next_one() {
    let site = Site::led("replaced");
    let [one, other] = ["a", "b"].map(|node| site.start(node));
    one.put("db", "1");
    other.read("db");
    let mut lagging = None;
    for n in 2..5 {
        one.snapshot().unwrap();
        one.put("db", &n.to_string());
        lagging.get_or_insert_with(|| site.start("c"));
        assert_eq!(site.head().snapshot, n - 1);
        assert_eq!(site.etcd.keys("/v/snap/"), [format!("/v/snap/{:016x}/0000", n - 1)]);
        // One of those stays.
        let log: Vec<_> = (n.saturating_sub(2).max(1)..=n).map(|seq| format!("/v/log/{seq:016x}")).collect();
        assert_eq!(site.etcd.keys("/v/log/"), log);
    }
    assert_eq!(lagging.unwrap().read("db").as_deref(), Some("4"), "it knew change 2, where the log begins");
    one.snapshot().unwrap();
    one.snapshot().unwrap();
    assert_eq!(site.head().snapshot, 4, "nothing came that a new one would have");
}

#[test]
fn of_a_daemon_that_did_not_come_back_the_leader_audits_what_would_be_lost() {
    let site = Site::led("away");
    let [one, here, away] = ["a", "b", "c"].map(|node| site.start(node));
    site.etcd.put(b"/v/alive/b".to_vec(), b"");
    away.put("audited", "v");
    away.put("open", "v");
    here.put("there", "v");
    one.put("own", "v");
    one.snapshot().unwrap();
    let recovered = || {
        let lines = site.audit_lines("a").into_iter().filter(|line| line["event"] == "recovered");
        lines.map(|line| [line["vault_seq"].to_string(), line["detail"].to_string(), line["client"].to_string()])
    };
    assert_eq!(recovered().count(), 0, "its log is still there");
    for n in 0..3 {
        one.put("own", &n.to_string());
        one.snapshot().unwrap();
        let told = "put: made by node c, which is away or cannot audit it; its own log may tell of it, too";
        assert_eq!(recovered().collect::<Vec<_>>(), [["2".to_owned(), format!("{told:?}"), "\"web\"".to_owned()]]);
    }
    let stands = |line: &serde_json::Value| line["vault_seq"].as_u64().unwrap();
    assert_eq!(site.audit_lines("a").last().map(stands), Some(7));
    drop((one, here, away));
    // None is taken for one that was not audited.
    let one = site.start("a");
    one.put("own", "last");
    assert_eq!(recovered().count(), 1);
    let logs = ["a", "b", "c"].map(|node| site.dir.join(node).join("audit.jsonl"));
    audit::verify_together(&logs).unwrap();
}

#[test]
fn of_a_daemon_that_is_there_and_cannot_audit_its_changes_the_leader_audits_them_too() {
    let site = Site::led("owes");
    let [one, full] = ["a", "b"].map(|node| site.start(node));
    let told = Alive { owes_lines: true, ..Alive::example() };
    site.etcd.put(b"/v/alive/b".to_vec(), &told.bytes());
    full.put("db", "v");
    one.put("own", "v");
    let recovered = || site.audit_lines("a").iter().filter(|line| line["event"] == "recovered").count();
    one.snapshot().unwrap();
    assert_eq!(recovered(), 0, "its change is still in the log");
    one.put("own", "w");
    one.snapshot().unwrap();
    assert_eq!(recovered(), 1);
}

#[test]
fn what_shows_that_a_daemon_has_audited_a_change_is_its_next_one() {
    let site = Site::led("shown");
    let [one, away] = ["a", "b"].map(|node| site.start(node));
    away.put("db", "1");
    one.snapshot().unwrap();
    away.put("db", "2");
    one.put("own", "v");
    one.snapshot().unwrap();
    assert!(site.audit_lines("a").iter().all(|line| line["event"] != "recovered"));
}

#[test]
fn a_daemon_that_slept_while_its_next_change_was_compacted_away_takes_in_a_snapshot_before_it_adds_anything() {
    let site = Site::led("slept");
    let [one, asleep] = ["a", "b"].map(|node| site.start(node));
    one.put("db", "1");
    one.put("other", "2");
    asleep.read("db");
    asleep.put("db", "3");
    for n in 4..9 {
        one.put("db", &n.to_string());
        one.snapshot().unwrap();
    }
    assert_eq!(site.etcd.keys("/v/log/"), [7, 8].map(|seq: u64| format!("/v/log/{seq:016x}")));
    let watch = asleep.vault.watchers().watch("other", "web", 1).unwrap();
    assert!(watch.rearm());
    asleep.put("db", "9");
    assert_eq!(site.etcd.keys("/v/log/"), [7, 8, 9].map(|seq: u64| format!("/v/log/{seq:016x}")));
    rustix::io::read(&watch, &mut [0; 8]).expect("the bell has rung");
    assert!(asleep.vault.trouble().is_none());
    assert_eq!(one.read("db").as_deref(), Some("9"));
    assert_eq!(asleep.read("other").as_deref(), Some("2"));
    drop(watch);
    drop(asleep);
    assert_eq!(site.start("b").read("db").as_deref(), Some("9"));
    assert!(site.audit_lines("b").iter().all(|line| line["event"] != "recovered"));
}

#[test]
fn a_daemon_that_slept_takes_in_no_snapshot_of_a_log_that_was_set_back_meanwhile() {
    let site = Site::led("set-back");
    let [one, asleep] = ["a", "b"].map(|node| site.start(node));
    one.put("db", "1");
    asleep.read("db");
    asleep.log.has_left([b"last".to_vec()]);
    site.etcd.put(b"/v/member/b".to_vec(), b"older");
    for n in 2..6 {
        one.put("db", &n.to_string());
        one.snapshot().unwrap();
    }
    let refused = asleep.try_put("db", "6").unwrap_err();
    assert!(matches!(&refused, Refused::Shared(Unavailable::Mismatch(why)) if why.contains("set back")), "{refused:?}");
    assert!(asleep.vault.has_other_history());
    assert_eq!(one.read("db").as_deref(), Some("5"));
}

#[test]
fn what_others_change_meanwhile_stays() {
    let site = Site::led("meanwhile");
    let [one, other] = ["a", "b"].map(|node| site.start(node));
    one.put("db", "first");
    let begun = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            begun.wait();
            (0..50).for_each(|n| other.put(&format!("db-{n}"), "v"));
        });
        begun.wait();
        for _ in 0..5 {
            one.snapshot().unwrap();
        }
    });
    let new = site.start("c");
    for daemon in [&one, &new] {
        assert!((0..50).all(|n| daemon.read(&format!("db-{n}")).as_deref() == Some("v")));
    }
    one.snapshot().unwrap();
    assert_eq!(site.head().log_bytes, 0);
    one.put("db", "last");
    assert_eq!(site.start("d").read("db").as_deref(), Some("last"));
}

#[test]
fn a_step_whose_answer_is_lost_is_taken_once() {
    let site = Site::led("unheard");
    let one = site.start("a");
    for n in 0..20 {
        one.put(&format!("db-{}", n % 10), &large(n));
    }
    // More than there are steps, each of which is repeated once for want of an answer.
    let mut is_lost = false;
    lock(&site.etcd.content).loses = Some(Box::new(move || {
        is_lost = !is_lost;
        is_lost
    }));
    one.snapshot().unwrap();
    lock(&site.etcd.content).loses = None;
    assert_eq!(site.head().snapshot, 20);
    assert_eq!(site.start("b").read("db-9"), Some(large(19)));
}

#[test]
fn who_does_not_lead_replaces_nothing() {
    let site = Site::new("follower");
    let one = site.start("a");
    one.put("db", "v");
    site.led_as(b"another daemon");
    let (keys, head) = (site.etcd.keys("/v/"), site.head());
    assert!(one.snapshot().unwrap_err().contains("no longer leads"));
    assert_eq!((site.etcd.keys("/v/"), site.head()), (keys, head));
}

#[test]
fn who_loses_the_lead_in_the_middle_leaves_parts_that_nobody_reads_and_the_next_one_removes() {
    let site = Site::led("deposed");
    let [one, other] = ["a", "b"].map(|node| site.start(node));
    for n in 0..20 {
        one.put(&format!("db-{n}"), &large(n));
    }
    let deposed = |content: &mut Content| {
        if content.pairs.keys().any(|key| key.starts_with(b"/v/snap/")) {
            content.put(b"/v/leader".to_vec(), b"b 2".to_vec());
        }
    };
    lock(&site.etcd.content).after = Some(Box::new(deposed));
    assert!(one.snapshot().unwrap_err().contains("no longer leads"));
    lock(&site.etcd.content).after = None;
    assert_eq!((site.etcd.keys("/v/snap/").len(), site.head().snapshot), (1, 0));
    assert_eq!(site.start("c").read("db-19"), Some(large(19)));
    other.put("db-0", "behind");
    other.log.put_snapshot(&other.vault, b"b 2", Duration::ZERO).unwrap();
    let head = site.head();
    assert_eq!((head.snapshot, head.parts), (21, site.etcd.keys("/v/snap/").len() as u64));
    assert_eq!(site.start("d").read("db-0").as_deref(), Some("behind"));
}

#[test]
fn a_part_of_an_earlier_attempt_that_arrives_late_is_not_taken_for_one_of_this_one() {
    let site = Site::led("late");
    let one = site.start("a");
    one.put("db", "v");
    // It looks, and removes what was left; only then it arrives.
    site.etcd.after_transactions(2, |content| {
        content.put(b"/v/snap/0000000000000001/0000".to_vec(), b"late\n".to_vec());
    });
    assert!(one.snapshot().unwrap_err().contains("arrived late"));
    assert_eq!(site.head().snapshot, 0);
    one.snapshot().unwrap();
    assert_eq!(site.start("b").read("db").as_deref(), Some("v"));
}
