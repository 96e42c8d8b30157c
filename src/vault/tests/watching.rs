//! Whoever watches a secret is woken by what changes it.

use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::super::watchers::Watch;
use super::*;

/// Whether it is woken within so many seconds.
fn is_woken(watch: &Watch, seconds: i64) -> bool {
    poll(&mut [PollFd::new(watch, PollFlags::IN)], Some(&Timespec { tv_sec: seconds, tv_nsec: 0 })).unwrap() == 1
}

#[test]
fn whatever_makes_another_value_current_wakes_who_watches() {
    let site = Site::new("watching");
    let vault = site.open();
    put(&vault, "db", "one");
    let kid = prepare(&vault, "db", "two");
    let changes: [&dyn Fn(); 4] = [
        &|| drop(vault.commit(order(promote_operation("db", &kid))).unwrap()),
        &|| drop(put(&vault, "db", "three")),
        &|| drop(rotate(&vault, "db")),
        &|| delete(&vault, "db"),
    ];
    for change in changes {
        let watch = vault.watchers().watch("db", "web", 1).unwrap();
        assert!(!is_woken(&watch, 0));
        change();
        assert!(is_woken(&watch, 0));
    }
    assert_eq!(vault.watchers().count(), 0);
}

#[test]
fn what_wakes_is_visible_then() {
    let site = Site::new("watched");
    let vault = site.open();
    put(&vault, "db", "0");
    thread::scope(|scope| {
        let follower = scope.spawn(|| {
            let watch = vault.watchers().watch("db", "web", 1).unwrap();
            let mut last = String::new();
            while last != "100" {
                watch.rearm();
                let now = read(&vault, "db").unwrap();
                assert!(now != last || is_woken(&watch, 60), "it waits for what comes after {last}");
                last = now;
            }
        });
        (1..=100).for_each(|n| drop(put(&vault, "db", &n.to_string())));
        follower.join().unwrap();
    });
}
