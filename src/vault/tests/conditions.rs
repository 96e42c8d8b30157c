//! Check-and-set: what `If-Match` and `If-None-Match` promise.

use std::sync::Barrier;
use std::thread;

use super::*;

fn commit_if(vault: &Arc<Vault>, operation: Operation, condition: Condition) -> Answer {
    vault.commit(Order { condition, ..order(operation) })
}

fn if_match(kids: &[&str]) -> Condition {
    Condition { if_match: Some(kids.iter().map(|kid| (*kid).to_owned()).collect()), if_none_match: None }
}

fn if_absent() -> Condition {
    Condition { if_match: None, if_none_match: Some(Vec::new()) }
}

#[test]
fn a_change_whose_condition_does_not_hold_changes_nothing() {
    let site = Site::new("conditions");
    let vault = site.open();
    let stale = put(&vault, "db", "one");
    let current = put(&vault, "db", "two");
    for (refused, name) in [
        (commit_if(&vault, put_operation("db", "x"), if_match(&[&stale])), "db"),
        (commit_if(&vault, put_operation("db", "x"), if_absent()), "db"),
        (commit_if(&vault, put_operation("none", "x"), if_match(&[])), "none"),
        (commit_if(&vault, delete_operation("db"), if_match(&[&stale])), "db"),
        (commit_if(&vault, delete_operation("db"), if_absent()), "db"),
    ] {
        assert_eq!(refused.unwrap_err(), Refused::PreconditionFailed(vec![name.to_owned()]));
    }
    assert_eq!((read(&vault, "db").unwrap().as_str(), vault.seq(), site.audit_lines().len()), ("two", 2, 2));

    commit_if(&vault, put_operation("db", "three"), if_match(&[&stale, &current])).unwrap();
    assert_eq!(read(&vault, "db").unwrap(), "three");
    commit_if(&vault, delete_operation("db"), if_match(&[])).unwrap();
    commit_if(&vault, put_operation("db", "anew"), if_absent()).unwrap();
    assert_eq!(read(&vault, "db").unwrap(), "anew");
}

#[test]
fn no_increment_of_eight_racing_threads_is_lost() {
    const THREADS: u64 = 8;
    const EACH: u64 = 50;
    let site = Site::new("increments");
    let vault = site.open();
    put(&vault, "counter", "0");
    let start = Barrier::new(THREADS as usize);
    let increment = || loop {
        let version = vault.find("counter", None).unwrap();
        let count: u64 = vault.open(&version).unwrap().value().parse().unwrap();
        match commit_if(&vault, put_operation("counter", &(count + 1).to_string()), if_match(&[&version.kid])) {
            Ok(_) => return,
            Err(refused) => assert_eq!(refused, Refused::PreconditionFailed(vec!["counter".to_owned()])),
        }
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                (0..EACH).for_each(|_| increment());
            });
        }
    });
    assert_eq!(read(&vault, "counter").unwrap(), (THREADS * EACH).to_string());
    assert_eq!(vault.seq(), 1 + THREADS * EACH, "one change an increment");
    assert_eq!(read(&site.open(), "counter").unwrap(), (THREADS * EACH).to_string());
}

#[test]
fn of_many_who_create_the_same_secret_at_once_one_does() {
    let site = Site::new("creators");
    let vault = site.open();
    let start = Barrier::new(8);
    let created: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let (vault, start) = (&vault, &start);
                scope.spawn(move || {
                    start.wait();
                    let value = n.to_string();
                    commit_if(vault, put_operation("lease", &value), if_absent()).is_ok().then_some(value)
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(created.len(), 1);
    assert_eq!(read(&vault, "lease").unwrap(), created[0]);
}
