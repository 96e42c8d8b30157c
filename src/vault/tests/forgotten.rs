//! What is left of secrets that were deleted and of versions that were destroyed: that their ids never come again.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

/// Compacts, and opens the vault anew.
fn compact(site: &Site, vault: Arc<Vault>) -> Arc<Vault> {
    settle(&vault);
    vault.compact_dead().unwrap();
    site.reopen(vault)
}

/// Stores and deletes 200 secrets whose names never were before.
fn come_and_go(vault: &Arc<Vault>, round: u64) {
    let names: Vec<String> = (0..200).map(|n| format!("gone-{round}-{n}")).collect();
    let new = names.iter().map(|name| New {
        name: name.clone(),
        value: Plaintext::new("v".to_owned()),
        rotation: Rotation::Manual,
        generator: None,
        patch: Patch::default(),
        previous: Previous::Kept,
    });
    vault.commit(order(put_all(new.collect()))).unwrap();
    let deletions = names.iter().map(|name| order(delete_operation(name))).collect();
    assert!(vault.commit_batch(deletions).iter().all(Result::is_ok));
}

#[test]
fn names_that_came_and_went_leave_nothing_in_the_file_or_in_memory() {
    let sizes = [0, 20].map(|rounds| {
        let site = Site::new(&format!("came-and-went-{rounds}"));
        let vault = site.open();
        (0..100).for_each(|n| drop(put(&vault, &format!("kept-{n}"), "v")));
        for round in 0..rounds {
            come_and_go(&vault, round);
            site.dial.advance(DAY / 24);
        }
        let known = |vault: &Vault| lock(&vault.state).spent().count();
        settle(&vault);
        vault.compact_dead().unwrap();
        assert_eq!(known(&vault), 100);
        let vault = site.reopen(vault);
        assert_eq!((known(&vault), vault.stats().live_records.load(Ordering::Relaxed)), (100, 100));
        site.bytes().len()
    });
    assert!(sizes[1] <= sizes[0] + sizes[0] / 10, "{sizes:?}");
}

#[test]
fn no_kid_comes_twice_wherever_the_clock_is_set_and_however_often_all_is_compacted() {
    let site = Site::new("clocks");
    let mut vault = site.open();
    let (second, year) = (Duration::from_secs(1), DAY * 365);
    let later = |span: Duration| START.plus(span);
    // In a second, back in it, a day ago, in 2600, which is as late as a clock can say, in that second once more, in 1970, …
    let moments = [START, later(second), START, later(DAY), later(second * 2), Timestamp::from_nanos(u64::MAX)];
    let others =
        [Timestamp::from_nanos(u64::MAX), later(DAY), Timestamp::default(), later(DAY * 2), later(year), START];
    let mut ever = BTreeSet::new();
    for (n, moment) in moments.iter().chain(&others).chain(&moments).enumerate() {
        site.dial.set(*moment);
        for round in 0..3 {
            // Each time some were never there before, and one is still there.
            for name in ["db", "kept", &format!("new-{n}"), "another"] {
                assert!(ever.insert(put(&vault, name, "v")), "a kid of {name} came twice at {moment}, round {round}");
            }
            vault.commit(order(retire_operation("kept"))).unwrap();
            ["db", "another"].iter().for_each(|name| delete(&vault, name));
            if round > 0 {
                vault = compact(&site, vault);
            }
        }
    }
}

#[test]
fn a_clock_that_was_wrong_for_a_minute_and_a_compaction_in_it_do_not_date_later_kids() {
    for wrong in [Timestamp::from_nanos(u64::MAX), START.plus_days(3650), Timestamp::default()] {
        let site = Site::new(&format!("wrong-{wrong}"));
        let vault = site.open();
        let old = put(&vault, "db", "v");
        site.dial.set(wrong);
        for name in ["db", "gone"] {
            put(&vault, name, "in the wrong year");
            delete(&vault, name);
        }
        let vault = compact(&site, vault);
        put(&vault, "db", "in the wrong year");
        site.dial.set(START.plus_days(1));
        for name in ["db", "gone", "new"] {
            assert_eq!(put(&vault, name, "v"), Kid::first(START.plus_days(1)).of(name));
        }
        assert_eq!(read_version(&vault, "db", Some(&old)), Err(Missing::Gone));
    }
}

#[test]
fn a_version_that_was_forgotten_is_gone_and_a_deleted_secret_and_one_being_made_are_not_found() {
    let site = Site::new("forgotten");
    let vault = site.open();
    let kids = ["db", "other"].map(|name| put(&vault, name, "v"));
    let [db, other] = &kids;
    put(&vault, "db", "another");
    vault.commit(order(retire_operation("db"))).unwrap();
    delete(&vault, "other");
    let vault = compact(&site, vault);
    assert_eq!(lock(&vault.state).spent().filter(|(_, kids)| !kids.is_empty()).count(), 0, "nothing tells them apart");
    assert_eq!(read_version(&vault, "db", Some(db)), Err(Missing::Gone));
    assert_eq!(read_version(&vault, "other", Some(other)), Err(Missing::NotFound));
    put(&vault, "other", "anew");
    assert_eq!(read_version(&vault, "other", Some(other)), Err(Missing::Gone));
    assert_eq!(read_version(&vault, "db", Some("db-20010101-000000")), Err(Missing::NotFound), "it never was");

    let pending = prepare(&vault, "db", "being made");
    lock(&vault.state).used.add_all_through(START.plus_days(1).seconds());
    assert_eq!(read_version(&vault, "db", Some(&pending)), Err(Missing::NotFound));
    vault.commit(order(promote_operation("db", &pending))).unwrap();
    assert_eq!(read(&compact(&site, vault), "db").unwrap(), "being made");
}
