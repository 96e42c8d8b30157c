//! Many at once: one flush serves all who wait, and the audit log tells the changes in their order.

use std::sync::Barrier;
use std::thread;

use super::*;

const THREADS: u64 = 16;
const EACH: u64 = 20;

#[test]
fn sixteen_threads_get_what_they_were_promised_and_one_audit_line_a_change() {
    let site = Site::new("group");
    let vault = site.open();
    let start = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (vault, start) = (&vault, &start);
            scope.spawn(move || {
                start.wait();
                for n in 0..EACH {
                    let (name, value) = (format!("secret-{thread}-{}", n % 5), format!("{thread}/{n}"));
                    let kid = put(vault, &name, &value);
                    assert_eq!(read_version(vault, &name, Some(&kid)).unwrap(), value, "visible when acknowledged");
                }
            });
        }
    });
    let changes = THREADS * EACH;
    assert_eq!(vault.seq(), changes);
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (lines, flushes, syncs) = {
        let stats = vault.audit.stats();
        (count(&stats.lines), count(&stats.flushes), count(&stats.syncs))
    };
    assert_eq!(lines, changes);
    assert!(flushes < changes && syncs < changes, "{flushes} flushes and {syncs} syncs for {changes} changes");
    let synced = count(&vault.stats().syncs);
    assert!((1..changes).contains(&synced), "{synced} syncs of the vault for {changes} changes");

    // An audit log that knows nothing has the file tell all changes.
    let found = site.look(0).unwrap();
    let in_file: Vec<_> =
        found.unaudited().iter().map(|u| (u.at.seq, u.name.clone().unwrap(), u.kid.clone().unwrap())).collect();
    let text = |line: &serde_json::Value, field: &str| line[field].as_str().unwrap().to_owned();
    let in_audit: Vec<_> = site
        .audit_lines()
        .iter()
        .map(|line| (line["vault_seq"].as_u64().unwrap(), text(line, "secret_name"), text(line, "kid")))
        .collect();
    assert_eq!(in_audit, in_file, "the same changes in the same order");
    assert!(in_audit.iter().map(|(seq, ..)| *seq).eq(1..=changes));

    let before = picture(&vault);
    let vault = site.reopen(vault);
    assert_eq!(picture(&vault), before);
    for thread in 0..THREADS {
        for n in EACH - 5..EACH {
            assert_eq!(read(&vault, &format!("secret-{thread}-{}", n % 5)).unwrap(), format!("{thread}/{n}"));
        }
    }
}

#[test]
fn orders_of_one_batch_see_each_other_in_the_order_in_which_they_came() {
    let site = Site::new("batch");
    let vault = site.open();
    put(&vault, "db", "before");
    let first = vault.all(|_| true).next().unwrap().kid();
    let only_if_absent = Condition { if_match: None, if_none_match: Some(Vec::new()) };
    let answers = vault.commit_batch(vec![
        Order { condition: only_if_absent.clone(), ..order(put_operation("db", "refused")) },
        order(delete_operation("db")),
        order(delete_operation("db")),
        Order { condition: only_if_absent, ..order(put_operation("db", "after")) },
        order(rotate_operation(&["db"])),
        order(put_operation("db", "last")),
    ]);
    let told: Vec<_> = answers.into_iter().map(|answer| answer.map(|done| done[0].destroyed)).collect();
    let expected = [
        Err(Refused::PreconditionFailed(vec!["db".to_owned()])),
        Ok(1),
        Err(Refused::NotFound("db".to_owned())),
        Ok(0),
        Ok(0),
        Ok(0),
    ];
    assert_eq!(told, expected);
    assert_eq!(read(&vault, "db").unwrap(), "last");
    assert_eq!(vault.all(|_| true).next().unwrap().kid(), format!("{first}-4"));
    assert_eq!((vault.seq(), site.audit_lines().len()), (5, 5));
    let before = picture(&vault);
    assert_eq!(picture(&site.reopen(vault)), before);
}

#[test]
fn a_version_is_destroyed_once_though_two_ask_for_it_in_one_batch() {
    let site = Site::new("destroy-twice");
    let vault = site.open();
    put(&vault, "db", "old");
    put(&vault, "db", "new");
    site.dial.advance(DAY * 14);
    let destroy = || order(Operation::Destroy { versions: vault.expired_versions() });
    let answers = vault.commit_batch(vec![destroy(), destroy()]);
    assert!(answers[0].as_ref().unwrap().len() == 1 && answers[1].as_ref().unwrap().is_empty());
    assert_eq!((vault.seq(), site.audit_lines().len()), (3, 3));
    assert_eq!(read(&vault, "db").unwrap(), "new");
}

#[test]
fn a_version_of_a_secret_that_is_deleted_in_the_same_batch_is_not_destroyed_again() {
    let site = Site::new("delete-destroy");
    let vault = site.open();
    put(&vault, "db", "old");
    put(&vault, "db", "new");
    site.dial.advance(DAY * 14);
    let destroy = order(Operation::Destroy { versions: vault.expired_versions() });
    let answers = vault.commit_batch(vec![order(delete_operation("db")), destroy, order(put_operation("db", "anew"))]);
    let destroyed: Vec<Vec<usize>> =
        answers.into_iter().map(|answer| answer.unwrap().iter().map(|done| done.destroyed).collect()).collect();
    assert_eq!(destroyed, [vec![2], vec![], vec![0]]);
    let before = picture(&vault);
    assert_eq!(before.counts[1], 1);
    assert_eq!(picture(&site.reopen(vault)), before);
}

#[test]
fn readers_see_a_value_or_the_next_one_and_never_wait_for_the_disk() {
    let site = Site::new("readers");
    let vault = site.open();
    put(&vault, "db", "0");
    // Whoever holds the file is in the middle of a commit.
    let file = lock(&vault.log);
    assert_eq!(read(&vault, "db").unwrap(), "0");
    assert_eq!(vault.all(|_| true).count(), 1);
    assert_eq!((vault.census(&mut |_| {}).secrets, vault.secret_count(), vault.seq()), (1, 1, 1));
    assert_eq!(vault.trouble(), None);
    drop(file);

    thread::scope(|scope| {
        scope.spawn(|| (1..50).for_each(|n| _ = put(&vault, "db", &n.to_string())));
        let mut newest = 0;
        while newest < 49 {
            let seen: u64 = read(&vault, "db").unwrap().parse().unwrap();
            assert!(seen >= newest, "{seen} after {newest}");
            newest = seen;
        }
    });
}
