//! Whoever watches a secret is woken by what changes it.

use std::thread;
use std::time::{Duration, Instant};

use super::*;

#[test]
fn whatever_makes_another_value_current_wakes_who_watches() {
    let site = Site::new("watching");
    let vault = site.open();
    put(&vault, "db", "one");
    let kid = prepare(&vault, "db", "two");
    let changes: [&dyn Fn(); 4] = [
        &|| drop(vault.commit(order(promote_wish("db", &kid))).unwrap()),
        &|| drop(put(&vault, "db", "three")),
        &|| drop(rotate(&vault, "db")),
        &|| delete(&vault, "db"),
    ];
    for change in changes {
        let mut watch = vault.watchers().watch("db", 1).unwrap();
        assert!(!watch.sleep(Instant::now()));
        change();
        assert!(watch.sleep(Instant::now()));
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
            let mut watch = vault.watchers().watch("db", 1).unwrap();
            let (mut last, patience) = (String::new(), Instant::now() + Duration::from_secs(60));
            while last != "100" {
                let now = read(&vault, "db").unwrap();
                assert!(now != last || watch.sleep(patience), "it waits for what comes after {last}");
                last = now;
            }
        });
        (1..=100).for_each(|n| drop(put(&vault, "db", &n.to_string())));
        follower.join().unwrap();
    });
}
