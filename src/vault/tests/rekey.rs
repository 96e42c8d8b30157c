//! Another master key: what the vault holds stays, the old key opens it no longer, and nobody waits.

use std::thread;

use super::*;

fn rekey(vault: &Vault, old: &KeyBytes, next: &KeyBytes) {
    vault.rekey(old, next, DataKey::Kept, Entry::new(Event::Rekey)).unwrap();
}

#[test]
fn only_the_header_line_changes_and_the_next_key_opens_what_the_old_one_no_longer_does() {
    let mut site = Site::new("rekeyed");
    let vault = site.open();
    make_twenty_changes(&site, &vault);
    let (before, lines) = (picture(&vault), site.lines());
    let next = KeyBytes::random().unwrap();
    rekey(&vault, &site.master, &next);
    let after = picture(&vault);
    assert_eq!(Picture { seq: 20, link: before.link, ..picture(&vault) }, before, "a branch begins, and that is all");
    assert_ne!(site.lines()[0], lines[0]);
    assert_eq!((&site.lines()[1..21], site.lines().len()), (&lines[1..], 22));
    let line = site.audit_lines().pop().unwrap();
    assert_eq!((&line["event"], &line["vault_seq"]), (&"rekey".into(), &21.into()));

    assert!(site.refusal(20).contains("the master key does not open this vault"));
    assert!(!is_under(&site.path(), &site.master) && is_under(&site.path(), &next));
    site.master = next;
    let vault = site.reopen(vault);
    assert_eq!(picture(&vault), after);
}

#[test]
fn changes_and_compactions_go_on_under_the_next_key() {
    let mut site = Site::new("rekeyed-on");
    let mut vault = site.open();
    for round in 0..3 {
        put(&vault, "a", &format!("before {round}"));
        let next = KeyBytes::random().unwrap();
        rekey(&vault, &site.master, &next);
        site.master = next;
        put(&vault, "b", &format!("after {round}"));
        delete(&vault, "b");
        assert!(vault.compact_dead().unwrap());
        let before = picture(&vault);
        vault = site.reopen(vault);
        assert_eq!(picture(&vault), before);
    }
    assert_eq!(read(&vault, "a").unwrap(), "before 2");
}

#[test]
fn writers_and_compactions_during_many_rekeys_lose_nothing() {
    let mut site = Site::new("rekeyed-busy");
    let vault = site.open();
    let over = AtomicBool::new(false);
    let keys: Vec<KeyBytes> = (0..30).map(|_| KeyBytes::random().unwrap()).collect();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (vault, over) = (&vault, &over);
                scope.spawn(move || put_until(over, vault, &format!("w{writer}")))
            })
            .collect();
        let compactor = scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                vault.compact_dead().unwrap();
            }
        });
        let mut old = &site.master;
        for next in &keys {
            rekey(&vault, old, next);
            old = next;
        }
        over.store(true, Ordering::SeqCst);
        compactor.join().unwrap();
        for (writer, handle) in writers.into_iter().enumerate() {
            let last = handle.join().unwrap();
            assert_eq!(read(&vault, &format!("w{writer}")).unwrap(), last.to_string());
        }
    });
    settle(&vault);
    let before = picture(&vault);
    site.master = keys.last().unwrap().clone();
    let vault = site.reopen(vault);
    assert_eq!(picture(&vault), before);
}

#[test]
fn a_key_that_the_vault_is_not_under_changes_nothing() {
    let site = Site::new("rekeyed-wrong");
    let vault = site.open();
    put(&vault, "a", "v");
    let before = site.bytes();
    let [stranger, next] = [(); 2].map(|()| KeyBytes::random().unwrap());
    let refused = vault.rekey(&stranger, &next, DataKey::Kept, Entry::new(Event::Rekey)).unwrap_err();
    assert_eq!(refused, Refused::WrongKey);
    assert_eq!(site.bytes(), before);
    assert_eq!(site.audit_lines().len(), 1);
}

#[test]
fn of_present_and_next_key_the_one_that_opens_the_vault_is_in_force() {
    let site = Site::new("rekeyed-files");
    let vault = site.open();
    let source = KeyFile::new(site.dir.join("master.key"));
    let in_force = || KeyInForce::find(&source, &site.path()).unwrap();
    assert!(!in_force().is_next && in_force().key == site.master);

    let next = source.prepare_next().unwrap();
    assert!(source.prepare_next().unwrap() == next, "an interrupted rekey goes on with the key that it has made");
    assert!(in_force().key == site.master);
    rekey(&vault, &site.master, &next);
    assert!(in_force().is_next && in_force().key == next);

    let kept = source.adopt_next(START).unwrap();
    assert!(!in_force().is_next && in_force().key == next);
    assert!(KeyFile::new(kept).load().unwrap() == site.master);
    assert!(source.next().unwrap().is_none());
}
