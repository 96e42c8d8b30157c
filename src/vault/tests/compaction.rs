//! A compaction changes the file and nothing else, and nobody waits for it.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use super::super::kid::Kid;
use super::super::log::End;
use super::*;

fn dead(vault: &Vault) -> (u64, u64) {
    (vault.stats().dead_records.load(Ordering::Relaxed), vault.stats().dead_bytes.load(Ordering::Relaxed))
}

fn end(vault: &Vault) -> End {
    lock(&vault.log).end
}

#[test]
fn a_compacted_vault_is_smaller_has_nothing_dead_and_loads_to_the_same() {
    let site = Site::new("compacted");
    let vault = site.open();
    make_twenty_changes(&site, &vault);
    let (before, bytes) = (picture(&vault).compacted(), site.bytes().len());
    // Dead are the five versions that were deleted or destroyed, and the four records that said so.
    assert_eq!((dead(&vault).0, vault.stats().live_records.load(Ordering::Relaxed)), (9, 11));

    assert!(vault.compact_dead().unwrap());
    assert_eq!(dead(&vault), (0, 0));
    assert_eq!(vault.stats().bytes.load(Ordering::Relaxed), site.bytes().len() as u64);
    assert!(site.bytes().len() < bytes);
    assert_eq!(picture(&vault), before);
    assert!(!vault.compact_dead().unwrap(), "there is nothing more to gain");

    let end_before = end(&vault);
    let vault = site.reopen(vault);
    assert_eq!(picture(&vault), before);
    assert_eq!(end(&vault), end_before);
    assert_eq!(dead(&vault), (0, 0));
}

#[test]
fn changes_go_on_behind_a_snapshot_and_behind_the_next_one() {
    let site = Site::new("goes-on");
    let mut vault = site.open();
    for round in 0..4 {
        for name in ["a", "b", "c"] {
            put(&vault, name, &format!("{name} in round {round}"));
        }
        delete(&vault, "b");
        assert!(vault.compact_dead().unwrap());
        put(&vault, "tail", &format!("in round {round}"));
        let before = (picture(&vault), end(&vault));
        vault = site.reopen(vault);
        assert_eq!((picture(&vault), end(&vault)), before);
        assert_eq!(vault.seq(), (round + 1) * 5);
    }
    assert_eq!(read(&vault, "a").unwrap(), "a in round 3");
}

#[test]
fn a_vault_with_nothing_left_in_it_compacts_and_goes_on() {
    let site = Site::new("emptied");
    let vault = site.open();
    put(&vault, "a", "v");
    delete(&vault, "a");
    assert!(vault.compact_dead().unwrap());
    let vault = site.reopen(vault);
    assert_eq!((vault.secret_count(), vault.seq(), dead(&vault)), (0, 2, (0, 0)));
    put(&vault, "a", "w");
    assert_eq!(read(&site.reopen(vault), "a").unwrap(), "w");
}

#[test]
fn the_ids_that_an_earlier_build_kept_for_each_secret_survive() {
    let site = Site::new("many-spent");
    let vault = site.open();
    let kids: Vec<Kid> = (0..2500).map(|n| Kid::from((1_000_000_000 + n / 2, 1 + n as u32 % 2))).collect();
    let spent = Change::Spent { name: "a".to_owned(), kids: kids.clone() };
    let metadata = Metadata { audited: 0, by: None, more: false, change: &spent };
    let record = Sealed::seal(&vault.key(), (1, lock(&vault.log).end.link), &metadata, "").unwrap();
    let mut line = Vec::new();
    record.write_line(&mut line);
    drop(vault);
    site.write(&[site.bytes(), line].concat());
    let vault = site.open();
    assert_eq!((dead(&vault).0, vault.secret_count()), (1, 0));
    put(&vault, "a", "v");
    put(&vault, "b", "v");
    delete(&vault, "b");
    let before = picture(&vault).compacted();
    vault.compact_dead().unwrap();
    let vault = site.reopen(vault);
    assert_eq!(picture(&vault), before);
    assert_eq!((dead(&vault), site.lines().len()), ((0, 0), 1 + 2 + 1), "header, snapshot and ids; one version");
    assert!(kids.iter().all(|kid| read_version(&vault, "a", Some(&kid.of("a"))) == Err(Missing::Gone)));
}

#[test]
fn the_ids_that_are_used_up_for_all_survive() {
    let site = Site::new("used");
    let mut vault = site.open();
    lock(&vault.state).used.add_all_through(site.clock.now().seconds() + 5);
    for round in 0..3 {
        put(&vault, "a", "v");
        delete(&vault, "a");
        vault.compact_dead().unwrap();
        let before = picture(&vault);
        vault = site.reopen(vault);
        assert_eq!((picture(&vault), dead(&vault)), (before, (0, 0)), "in round {round}");
        assert_eq!(lock(&vault.state).spent().count(), 0, "nothing is left of a deleted secret");
    }
    let kid = put(&vault, "b", "v");
    assert!(kid > format!("b-{}", site.clock.now().plus(Duration::from_secs(5)).compact()), "{kid}");
}

#[test]
fn nothing_acknowledged_is_lost_when_four_threads_write_during_compactions() {
    const EACH: usize = 80;
    let site = Site::new("during");
    let vault = site.open();
    let writing = AtomicBool::new(true);
    let write = |thread: usize| {
        let mut mine = BTreeMap::new();
        for n in 0..EACH {
            let name = format!("secret-{thread}-{}", n % 7);
            match n % 5 {
                4 if mine.contains_key(&name) => {
                    delete(&vault, &name);
                    mine.insert(name, None);
                }
                3 => {
                    site.dial.advance(DAY);
                    destroy_expired(&vault);
                    rotate(&vault, &format!("own-{thread}"));
                }
                _ => {
                    let value = format!("value {n} of thread {thread}");
                    put(&vault, &name, &value);
                    put(&vault, &format!("own-{thread}"), &value);
                    mine.insert(name, Some(value));
                }
            }
            for (name, value) in &mine {
                assert_eq!(read(&vault, name).ok(), *value, "also while a compaction runs");
            }
        }
        mine
    };
    let acknowledged: BTreeMap<String, Option<String>> = thread::scope(|scope| {
        let compactor = scope.spawn(|| {
            while writing.load(Ordering::SeqCst) {
                vault.compact_dead().unwrap();
            }
        });
        let writers: Vec<_> = (0..4).map(|thread| scope.spawn(move || write(thread))).collect();
        let all = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        writing.store(false, Ordering::SeqCst);
        compactor.join().unwrap();
        all
    });
    assert!(vault.stats().compactions.load(Ordering::Relaxed) > 1);
    // Where the compactor was slow, another may have begun in the background.
    settle(&vault);
    let (before, end_before) = (picture(&vault), end(&vault));
    let vault = site.reopen(vault);
    assert_eq!(picture(&vault), before);
    assert_eq!(end(&vault), end_before);
    for (name, value) in acknowledged {
        assert_eq!(read(&vault, &name).ok(), value, "{name}");
    }
    vault.compact_dead().unwrap();
    assert_eq!(dead(&vault), (0, 0));
}

/// What happens to `db`, one change or so a step: versions of every length of grace are replaced, and destroyed out of order.
fn steps() -> Vec<fn(&Site, &Arc<Vault>)> {
    fn grace<const DAYS: u32>(_: &Site, vault: &Arc<Vault>) {
        configure(vault, "db", Patch { grace_days: Some(Some(DAYS)), ..Patch::default() });
    }
    fn another(_: &Site, vault: &Arc<Vault>) {
        put(vault, "db", &format!("value {}", vault.seq()));
    }
    fn destroy(site: &Site, vault: &Arc<Vault>) {
        site.dial.advance(DAY);
        destroy_expired(vault);
    }
    fn remove(_: &Site, vault: &Arc<Vault>) {
        delete(vault, "db");
    }
    let outlived = [another, grace::<3650>, another, grace::<0>, another, destroy, another, destroy];
    let later = [grace::<2>, another, grace::<0>, another, another, destroy, another, destroy, destroy, destroy];
    [&outlived[..], &later, &[remove], &outlived].concat()
}

#[test]
fn a_snapshot_keeps_the_end_of_every_version_whatever_is_changed_while_it_is_written() {
    let steps = steps();
    for begun in 0..=steps.len() {
        // Twelve steps in which it is written are more than any version of another's fate spans.
        for written in begun..=(begun + 12).min(steps.len()) {
            let site = Site::new("meanwhile");
            let vault = site.open();
            let make = |steps: &[fn(&Site, &Arc<Vault>)]| steps.iter().for_each(|step| step(&site, &vault));
            make(&steps[..begun]);
            let header = lock(&vault.rewriting);
            let (start, successor) = {
                let log = lock(&vault.log);
                (log.end, log.store.begin_successor().unwrap())
            };
            make(&steps[begun..written]);
            vault.rewrite_from(&header, start, successor).unwrap();
            drop(header);
            let expect_the_same = |before: Picture| {
                assert_eq!(picture(&site.open()), before, "begun at step {begun}, written at step {written}");
            };
            expect_the_same(picture(&vault));
            make(&steps[written..]);
            expect_the_same(picture(&vault));
        }
    }
}

#[test]
fn what_a_compaction_left_that_a_crash_interrupted_is_removed_at_the_start() {
    let site = Site::new("leftover");
    let vault = site.open();
    put(&vault, "a", "v");
    let leftover = site.dir.join("vault.json.compacting");
    std::fs::write(&leftover, "half a vault").unwrap();
    drop(site.look(1).unwrap());
    assert!(leftover.exists(), "looking changes nothing");
    let vault = site.reopen(vault);
    assert!(!leftover.exists());
    assert_eq!(read(&vault, "a").unwrap(), "v");
}

fn no_grace() -> Patch {
    Patch { grace_days: Some(Some(0)), ..Patch::default() }
}

fn compactions(vault: &Vault) -> u64 {
    vault.stats().compactions.load(Ordering::Relaxed)
}

#[test]
fn what_is_past_its_grace_counts_for_a_compaction_as_what_is_dead_does() {
    let site = Site::new("expired");
    let vault = site.open();
    let value = "v".repeat(MAX_VALUE);
    let names = ["a", "b", "c"];
    for name in names {
        put(&vault, name, "first");
        configure(&vault, name, no_grace());
    }
    for n in 0..60 {
        put(&vault, names[n % 3], &value);
        settle(&vault);
        let live = lock(&vault.state).live_bytes - vault.stats().expired_bytes.load(Ordering::Relaxed);
        assert!(site.bytes().len() as u64 <= 2 * live + 64 * 1024, "after {n} puts");
    }
    assert_eq!(vault.secret_count(), 3);
    assert!(vault.census(&mut |_| {}).versions < 8, "what is past its grace is destroyed");

    // And so does what ends by itself.
    let site = Site::new("expired-later");
    let vault = site.open();
    put(&vault, "db", &value);
    put(&vault, "db", "another");
    settle(&vault);
    assert_eq!(compactions(&vault), 0);
    site.dial.advance(DAY * 14);
    put(&vault, "other", "v");
    settle(&vault);
    assert_eq!((compactions(&vault), vault.census(&mut |_| {}).versions), (1, 2));
}

#[test]
fn what_is_past_its_grace_and_left_to_somebody_else_is_not_compacted_with_every_change() {
    let site = Site::new("held");
    let vault = site.open();
    vault.hold_expired(["db".to_owned()].into());
    put(&vault, "db", "first");
    configure(&vault, "db", no_grace());
    // Something is dead each time, or there would be nothing that a compaction could do.
    let make_dead = || {
        put(&vault, "other", "small");
        delete(&vault, "other");
    };
    make_dead();
    for _ in 0..3 {
        put(&vault, "db", &"v".repeat(MAX_VALUE));
        settle(&vault);
    }
    let before = compactions(&vault);
    assert!(before > 0);
    for _ in 0..20 {
        make_dead();
        settle(&vault);
    }
    assert_eq!(compactions(&vault), before);
    assert_eq!(vault.expired_versions().len(), 3);
    // What somebody else has destroyed is dead, and that counts at once.
    vault.commit(order(Operation::Destroy { versions: vault.expired_versions() })).unwrap();
    settle(&vault);
    put(&vault, "other", "small");
    settle(&vault);
    assert_eq!(compactions(&vault), before + 1);
}

#[test]
fn a_large_file_that_is_more_than_half_dead_is_compacted_without_being_asked() {
    let site = Site::new("background");
    let vault = site.open();
    let expired = put(&vault, "kept", "before");
    put(&vault, "kept", "v");
    site.dial.advance(DAY * 14);
    put(&vault, "large", &"v".repeat(MAX_VALUE));
    assert_eq!(vault.stats().compactions.load(Ordering::Relaxed), 0);
    delete(&vault, "large");
    settle(&vault);
    assert_eq!(vault.stats().compactions.load(Ordering::Relaxed), 1);
    assert!(site.bytes().len() < 2048);
    assert_eq!(
        (vault.census(&mut |_| {}).versions, read_version(&vault, "kept", Some(&expired))),
        (1, Err(Missing::Gone))
    );
    let lines = site.audit_lines();
    let last = lines.last().unwrap();
    assert_eq!([&last["event"], &last["kid"], &last["detail"]], ["destroy_version", expired.as_str(), "compaction"]);
    let vault = site.reopen(vault);
    assert_eq!((read(&vault, "kept").unwrap().as_str(), dead(&vault)), ("v", (0, 0)));
}

#[test]
fn what_dies_while_a_compaction_runs_is_compacted_after_it() {
    let site = Site::new("dies-meanwhile");
    let vault = site.open();
    for round in 0..20 {
        let names: Vec<_> = (0..6).map(|n| format!("large-{round}-{n}")).collect();
        names.iter().for_each(|name| drop(put(&vault, name, &"v".repeat(MAX_VALUE))));
        // The fourth makes more than half of it dead.
        names.iter().for_each(|name| delete(&vault, name));
        settle(&vault);
        assert!(!vault.is_compaction_worthwhile(), "in round {round}, {} bytes stay", site.bytes().len());
    }
}

#[test]
fn a_compaction_that_would_gain_nothing_is_not_made() {
    let site = Site::new("once");
    let vault = site.open();
    let everybody = 4;
    let begin = Barrier::new(everybody);
    for round in 1..=20 {
        put(&vault, "a", "v");
        delete(&vault, "a");
        let compact = || {
            begin.wait();
            vault.compact_dead().unwrap()
        };
        let made = thread::scope(|scope| {
            let all: Vec<_> = (0..everybody).map(|_| scope.spawn(compact)).collect();
            all.into_iter().map(|one| one.join().unwrap()).filter(|made| *made).count()
        });
        assert_eq!((made, vault.stats().compactions.load(Ordering::Relaxed)), (1, round), "one does it for all");
    }
}
