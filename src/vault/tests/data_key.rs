//! Another data key: the old one opens nothing that is stored from there on, and nobody who reads notices.

use std::sync::Weak;

use std::thread;

use super::super::log::file::faults::Faults;
use super::super::log::header::VaultKey;
use super::super::log::record::{self, NO_LINK, Sealed};
use super::super::log::replay;
use super::super::seal::SealingKey;
use super::*;

/// Puts the vault under a new master key with a new data key.
fn rekey(site: &mut Site, vault: &Vault) {
    let next = KeyBytes::random().unwrap();
    assert!(vault.rekey(&site.master, &next, DataKey::New, Entry::new(Event::Rekey)).unwrap());
    site.master = next;
}

/// The data key that a master key gives of a vault's file.
fn data_key(file: &[u8], master: &KeyBytes) -> Arc<VaultKey> {
    replay::header(file).unwrap().unwrap_key(&SealingKey::new(master)).unwrap()
}

/// The records of a file that begins with a snapshot, each in its place, as `key` may open them.
fn records(file: &[u8], key: &Arc<VaultKey>, snapshot: &Change) -> Vec<Sealed> {
    let &Change::Snapshot { link, records, .. } = snapshot else { panic!("it is no snapshot") };
    let lines = file.split_inclusive(|byte| *byte == b'\n').skip(1).map(<[u8]>::trim_ascii_end);
    let mut after = NO_LINK;
    let in_place = lines.enumerate().map(|(index, line)| {
        let sealed = Sealed::parse(line, after, key).unwrap();
        after = if index as u64 == records { link } else { record::place(line).unwrap().1 };
        sealed
    });
    in_place.collect()
}

#[test]
fn who_had_the_master_key_and_a_copy_of_the_vault_reads_nothing_that_is_stored_afterwards() {
    let mut site = Site::new("new-data-key");
    let vault = site.open();
    make_twenty_changes(&site, &vault);
    let (file, master) = (site.bytes(), site.master.clone());
    rekey(&mut site, &vault);
    put(&vault, "a", "stored afterwards");

    let after = site.bytes();
    let [old, new] = [data_key(&file, &master), data_key(&after, &site.master)];
    assert!(replay::header(&after[..]).unwrap().unwrap_key(&SealingKey::new(&master)).is_err());
    let first = Sealed::parse(site.lines()[1].trim_ascii_end(), NO_LINK, &new).unwrap();
    let snapshot = first.open().unwrap().metadata().unwrap().change;
    let [by_old, by_new] = [&old, &new].map(|key| records(&after, key, &snapshot));
    assert!(by_new.len() > 10 && by_new.iter().all(|record| record.open().is_ok()), "each is in its place");
    assert!(by_old.iter().all(|record| record.open().is_err()));
    assert_ne!(old.hidden("claim", "a"), new.hidden("claim", "a"));
}

#[test]
fn what_the_vault_holds_stays_and_so_does_where_the_audit_log_knows_it_to_be() {
    let mut site = Site::new("new-data-key-same");
    let vault = site.open();
    make_twenty_changes(&site, &vault);
    let before = picture(&vault);
    rekey(&mut site, &vault);
    let after = picture(&vault);
    let expected = Picture { seq: 21, link: after.link, ..before.compacted() };
    assert_eq!(after, expected, "a branch begins, and that is all");
    let line = site.audit_lines().pop().unwrap();
    assert_eq!((&line["event"], &line["vault_seq"]), (&"rekey".into(), &21.into()));
    assert_eq!(line["detail"], "under a new data key");
    assert_eq!(vault.stats().dead_records.load(Ordering::Relaxed), 0, "what was dead is left out");

    let vault = site.reopen(vault);
    assert_eq!(picture(&vault), after);
}

#[test]
fn the_key_from_before_is_gone_from_memory_when_it_is_over() {
    let mut site = Site::new("new-data-key-memory");
    let vault = site.open();
    make_twenty_changes(&site, &vault);
    prepare(&vault, "a", "prepared");
    configure(&vault, "b", Patch { grace_days: Some(Some(3)), ..Patch::default() });
    put_outlived(&vault);
    let before: Weak<VaultKey> = Arc::downgrade(&vault.key());
    let found = vault.find("a", None).unwrap();
    let value = vault.open(&found).unwrap().value().to_owned();
    rekey(&mut site, &vault);
    assert!(before.upgrade().is_some(), "who has found a version before can still read it");
    assert_eq!(vault.open(&found).unwrap().value(), value);
    drop(found);
    assert!(before.upgrade().is_none());
    assert_eq!(vault.trouble(), None);
}

#[test]
fn changes_compactions_and_starts_go_on_under_one_data_key_after_another() {
    let mut site = Site::new("new-data-keys");
    let mut vault = site.open();
    for round in 0..3 {
        put(&vault, "a", &format!("before {round}"));
        rekey(&mut site, &vault);
        rekey(&mut site, &vault);
        put(&vault, "b", &format!("after {round}"));
        delete(&vault, "b");
        if round > 0 {
            assert!(vault.compact_dead().unwrap());
        }
        let next = KeyBytes::random().unwrap();
        vault.rekey(&site.master, &next, DataKey::Kept, Entry::new(Event::Rekey)).unwrap();
        site.master = next;
        let before = picture(&vault);
        vault = site.reopen(vault);
        assert_eq!(picture(&vault), before);
    }
    assert_eq!(read(&vault, "a").unwrap(), "before 2");
    assert!(vault.compact_dead().is_ok());
}

#[test]
fn an_empty_vault_gets_one_too() {
    let mut site = Site::new("new-data-key-empty");
    let vault = site.open();
    rekey(&mut site, &vault);
    put(&vault, "a", "v");
    let vault = site.reopen(vault);
    assert_eq!((read(&vault, "a").unwrap().as_str(), vault.seq()), ("v", 2));
}

#[test]
fn readers_writers_and_compactions_during_many_lose_nothing_and_no_read_fails() {
    let mut site = Site::new("new-data-key-busy");
    let vault = site.open();
    for name in 0..100 {
        put(&vault, &format!("s{name}"), &name.to_string());
    }
    let over = AtomicBool::new(false);
    let done = thread::scope(|scope| {
        let (vault, over) = (&vault, &over);
        let writers = [0, 1].map(|writer| scope.spawn(move || put_until(over, vault, &format!("w{writer}"))));
        for reader in 0..2 {
            scope.spawn(move || {
                let mut name = reader;
                while !over.load(Ordering::SeqCst) {
                    name = (name + 7) % 100;
                    assert_eq!(read(vault, &format!("s{name}")).unwrap(), name.to_string());
                    thread::yield_now();
                }
            });
        }
        for _ in 0..5 {
            rekey(&mut site, vault);
            vault.compact_dead().unwrap();
        }
        over.store(true, Ordering::SeqCst);
        writers.map(|writer| writer.join().unwrap())
    });
    for (writer, last) in done.into_iter().enumerate() {
        assert_eq!(read(&vault, &format!("w{writer}")).unwrap(), last.to_string());
    }
    settle(&vault);
    let before = picture(&vault);
    let vault = site.reopen(vault);
    assert_eq!(picture(&vault), before);
}

#[test]
fn a_failure_at_any_step_leaves_the_old_keys_in_force_and_a_start_and_the_next_one_go_on() {
    let faults = |vault: &Vault| -> Arc<Faults> { lock(&vault.log).store.faults.clone() };
    type Fail = fn(&Vault, &Faults);
    let steps: [(&str, Fail); 5] = [
        ("no new file can be made", |_, faults| faults.successors.store(1, Ordering::SeqCst)),
        ("the branch is not written", |_, faults| faults.writes.store(1, Ordering::SeqCst)),
        ("it is not audited", |vault, _| vault.audit.faults().writes.store(1, Ordering::SeqCst)),
        ("its audit line is not confirmed", |vault, _| vault.audit.faults().syncs.store(2, Ordering::SeqCst)),
        ("the new file does not come into its place", |_, faults| faults.replacements.store(1, Ordering::SeqCst)),
    ];
    for (number, (step, fail)) in steps.into_iter().enumerate() {
        let mut site = Site::new(&format!("new-data-key-fails-{number}"));
        put(&site.open(), "db", "before");
        let vault = site.open();
        let before = site.bytes();
        fail(&vault, &faults(&vault));
        let next = KeyBytes::random().unwrap();
        let refused = vault.rekey(&site.master, &next, DataKey::New, Entry::new(Event::Rekey)).unwrap_err();
        let is_said_not_to_be = matches!(refused, Refused::Storage(_) | Refused::Audit { applied: false, .. });
        assert!(is_said_not_to_be, "{step}: {refused:?}");
        assert!(site.bytes().starts_with(&before), "{step}");
        assert!(!site.dir.join("vault.json.compacting").exists(), "{step}");
        assert_eq!(read(&vault, "db").unwrap(), "before", "{step}");
        let told = site.audit_lines().pop().unwrap();
        assert!(told["event"] != "rekey" || told["result"] == "error", "{step}: {told}");

        let vault = site.reopen(vault);
        rekey(&mut site, &vault);
        put(&vault, "db", "after");
        let vault = site.reopen(vault);
        assert_eq!(read(&vault, "db").unwrap(), "after", "{step}");
    }
}

#[test]
fn a_master_key_that_the_vault_is_not_under_or_is_under_already_changes_nothing() {
    let site = Site::new("new-data-key-wrong");
    let vault = site.open();
    put(&vault, "a", "v");
    let before = site.bytes();
    let [stranger, next] = [(); 2].map(|()| KeyBytes::random().unwrap());
    let rekey = |old, next| vault.rekey(old, next, DataKey::New, Entry::new(Event::Rekey));
    assert_eq!(rekey(&stranger, &next), Err(Refused::WrongKey));
    assert_eq!(rekey(&stranger, &site.master), Ok(false));
    assert_eq!(site.bytes(), before);
    assert_eq!(site.audit_lines().len(), 1);
}
