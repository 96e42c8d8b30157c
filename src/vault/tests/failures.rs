//! A disk that refuses: the change is refused cleanly, nothing of it is visible, and it heals by itself.

use std::thread;

use super::super::log::compaction::copy;
use super::super::log::file::faults::Faults;
use super::*;

/// A vault with one secret, on a disk that fails when it is told to.
fn faulty(name: &str) -> (Site, Arc<Vault>, Arc<Faults>) {
    let site = Site::new(name);
    put(&site.open(), "db", "before");
    let vault = site.open();
    let faults = lock(&vault.log).store.faults.clone();
    (site, vault, faults)
}

/// The audit line of a change that a crash left without one.
fn recovered(seq: u64) -> Entry {
    Entry { vault: Some(VaultAt { seq, head: None }), ..Entry::new(Event::Recovered) }
}

#[test]
fn nothing_is_compacted_before_the_audit_log_has_what_a_crash_left_out() {
    let site = Site::new("behind");
    let vault = site.open();
    put(&vault, "db", "x");
    let lines = std::fs::read(site.audit_path()).unwrap();
    put(&vault, "db", "never audited");
    drop(vault);
    std::fs::write(site.audit_path(), lines).unwrap();
    let unaudited = |site: &Site| site.look(1).unwrap().unaudited().len();
    let vault = site.open();
    vault.audit.faults().writes.store(2, Ordering::SeqCst);
    vault.audit.begin(vec![recovered(2)]).unwrap_err();
    vault.commit(order(delete_operation("db"))).unwrap_err();
    assert!(!vault.compact_dead().unwrap());
    vault.file_lost.store(true, Ordering::SeqCst);
    vault.compact_if_worthwhile();
    settle(&vault);
    assert_eq!(
        (unaudited(&site), vault.stats().compactions.load(Ordering::Relaxed)),
        (1, 0),
        "a restart finds it again"
    );

    delete(&vault, "db");
    settle(&vault);
    let events: Vec<_> = site.audit_lines().into_iter().map(|line| line["event"].clone()).collect();
    assert_eq!(events, ["create_secret", "recovered", "audit_resumed", "delete_secret"]);
    assert!(vault.stats().compactions.load(Ordering::Relaxed) > 0, "then it goes on");
}

#[test]
fn where_the_audit_log_has_no_room_the_vault_makes_some() {
    let (site, vault, _) = faulty("audit-full");
    put(&vault, "db", &"x".repeat(1000));
    delete(&vault, "db");
    put(&vault, "db", "after");
    let length = site.bytes().len();
    vault.audit.faults().writes.store(1, Ordering::SeqCst);
    vault.audit.write(Entry::new(Event::GetSecret)).unwrap_err();
    vault.compact_if_worthwhile();
    settle(&vault);
    assert!(site.bytes().len() < length - 1000, "what is dead is gone");
    assert_eq!((vault.trouble(), vault.audit.trouble()), (None, None));
    expect_healed(&site, vault);
}

/// Nothing but the secret from before is there, in memory and in the file.
#[track_caller]
fn expect_unchanged(site: &Site, vault: &Vault) {
    assert_eq!((read(vault, "db").unwrap().as_str(), vault.seq(), vault.secret_count()), ("before", 1, 1));
    assert_eq!(extent(&site.look(0).unwrap()), (1, 0));
}

/// The next change succeeds, and the file holds what memory holds.
#[track_caller]
fn expect_healed(site: &Site, vault: Arc<Vault>) {
    put(&vault, "db", "healed");
    assert_eq!(vault.trouble(), None);
    let before = picture(&vault);
    let vault = site.reopen(vault);
    assert_eq!(picture(&vault), before);
    assert_eq!(read(&vault, "db").unwrap(), "healed");
    let lines = site.audit_lines();
    let is_change = |line: &&serde_json::Value| {
        !line["secret_name"].is_null() || (line["event"] == "rekey" && line["result"] == "success")
    };
    let changes: Vec<u64> = lines.iter().filter(is_change).map(|l| l["vault_seq"].as_u64().unwrap()).collect();
    assert!(changes.iter().copied().eq(1..=vault.seq()), "one audit line a change: {changes:?}");
}

#[test]
fn a_change_that_the_vaults_file_does_not_take_is_refused_and_the_next_one_is_made() {
    let (site, vault, faults) = faulty("append");
    for operation in
        [put_operation("db", "x"), put_operation("new", "x"), delete_operation("db"), rotate_operation(&["db"])]
    {
        faults.writes.store(1, Ordering::SeqCst);
        let refused = vault.commit(order(operation)).unwrap_err();
        assert!(matches!(&refused, Refused::Storage(why) if why.contains("no storage space")), "{refused:?}");
        expect_unchanged(&site, &vault);
    }
    assert_eq!(site.audit_lines().len(), 1, "what was not done is not audited as done");
    expect_healed(&site, vault);
}

#[test]
fn trouble_lasts_as_long_as_the_file_cannot_be_written_and_needs_no_change_to_end() {
    let (site, vault, faults) = faulty("trouble");
    faults.writes.store(2, Ordering::SeqCst);
    vault.commit(order(put_operation("db", "x"))).unwrap_err();
    assert!(vault.trouble().unwrap().contains("the vault file cannot be written: no storage space"));
    assert_eq!(read(&vault, "db").unwrap(), "before", "secrets are still served");
    assert_eq!(vault.trouble(), None);
    expect_unchanged(&site, &vault);
}

#[test]
fn a_failure_is_the_fate_of_the_whole_batch_and_of_no_other() {
    let (site, vault, faults) = faulty("batch");
    faults.writes.store(1, Ordering::SeqCst);
    let answers = vault.commit_batch(vec![order(put_operation("a", "x")), order(put_operation("b", "x"))]);
    assert!(answers.iter().all(|answer| matches!(answer, Err(Refused::Storage(_)))));
    expect_unchanged(&site, &vault);
    expect_healed(&site, vault);
}

#[test]
fn a_change_whose_audit_line_cannot_be_written_is_taken_back() {
    let (site, vault, _) = faulty("audit");
    let before = site.bytes();
    vault.audit.faults().writes.store(1, Ordering::SeqCst);
    let refused = vault.commit(order(put_operation("db", "x"))).unwrap_err();
    assert!(matches!(refused, Refused::Audit { applied: false, .. }), "{refused:?}");
    assert_eq!(site.bytes(), before, "cut back to its former length");
    expect_unchanged(&site, &vault);
    expect_healed(&site, vault);
    assert!(site.audit_lines().iter().any(|line| line["event"] == "audit_resumed"));
}

#[test]
fn while_the_audit_log_cannot_be_written_the_vaults_file_is_not_touched() {
    let (site, vault, _) = faulty("audit-down");
    vault.audit.faults().writes.store(4, Ordering::SeqCst);
    for _ in 0..4 {
        let refused = vault.commit(order(delete_operation("db"))).unwrap_err();
        assert!(matches!(refused, Refused::Audit { applied: false, .. }), "{refused:?}");
        expect_unchanged(&site, &vault);
    }
    expect_healed(&site, vault);
}

#[test]
fn a_change_whose_audit_line_is_written_but_not_confirmed_is_made_and_said_to_be() {
    let (site, vault, _) = faulty("audit-sync");
    vault.audit.faults().syncs.store(2, Ordering::SeqCst);
    let refused = vault.commit(order(put_operation("db", "made"))).unwrap_err();
    assert!(matches!(refused, Refused::Audit { applied: true, .. }), "{refused:?}");
    assert_eq!(read(&vault, "db").unwrap(), "made");
    assert_eq!(extent(&site.look(0).unwrap()), (2, 0));
    expect_healed(&site, vault);
}

#[test]
fn what_could_be_neither_audited_nor_taken_back_goes_before_the_next_change() {
    let (site, vault, faults) = faulty("uncut");
    vault.audit.faults().writes.store(1, Ordering::SeqCst);
    faults.cuts.store(1, Ordering::SeqCst);
    let refused = vault.commit(order(put_operation("db", "x"))).unwrap_err();
    assert!(matches!(refused, Refused::Unsettled(_)), "{refused:?}");
    assert_eq!(read(&vault, "db").unwrap(), "before");
    let unaudited = site.look(1).unwrap();
    assert_eq!(unaudited.unaudited().len(), 1, "a crash now would leave it to be audited as recovered");
    expect_healed(&site, vault);
}

#[test]
fn what_was_written_but_neither_synced_nor_cut_off_is_not_said_to_have_changed_nothing() {
    let (site, vault, faults) = faulty("unsettled");
    faults.syncs.store(1, Ordering::SeqCst);
    faults.cuts.store(1, Ordering::SeqCst);
    let refused = vault.commit(order(put_operation("db", "x"))).unwrap_err();
    assert!(matches!(refused, Refused::Unsettled(_)), "{refused:?}");
    assert_eq!(site.look(1).unwrap().unaudited().len(), 1, "a crash now would leave it to be audited as recovered");
    faults.writes.store(1, Ordering::SeqCst);
    let refused = vault.commit(order(put_operation("db", "y"))).unwrap_err();
    assert!(matches!(refused, Refused::Storage(_)), "nothing was written of this one: {refused:?}");
    expect_healed(&site, vault);
}

#[test]
fn a_commit_that_panics_behind_its_append_leaves_no_trace() {
    let (site, vault, faults) = faulty("panic");
    faults.panics.store(1, Ordering::SeqCst);
    let dying = vault.clone();
    assert!(thread::spawn(move || dying.commit(order(put_operation("db", "x")))).join().is_err());
    assert_eq!((read(&vault, "db").unwrap().as_str(), vault.seq()), ("before", 1));
    expect_healed(&site, vault);
}

#[test]
fn a_compaction_does_not_copy_what_a_panic_left() {
    let (site, vault, faults) = faulty("panic-compact");
    put(&vault, "dead", "x");
    delete(&vault, "dead");
    faults.panics.store(1, Ordering::SeqCst);
    let dying = vault.clone();
    assert!(thread::spawn(move || dying.commit(order(put_operation("db", "x")))).join().is_err());
    assert!(vault.compact_dead().unwrap());
    expect_healed(&site, vault);
}

#[test]
fn a_compaction_that_fails_leaves_the_file_in_force_and_nothing_beside_it() {
    let (site, vault, faults) = faulty("compaction");
    put(&vault, "dead", "x");
    delete(&vault, "dead");
    let before = site.bytes();
    for fault in [&faults.successors, &faults.replacements] {
        fault.store(1, Ordering::SeqCst);
        assert!(vault.compact_dead().is_err());
        assert_eq!(site.bytes(), before);
        assert!(!site.dir.join("vault.json.compacting").exists());
    }
    assert!(vault.compact_dead().unwrap());
    let stats = vault.stats();
    assert_eq!([&stats.compactions, &stats.compaction_failures].map(|count| count.load(Ordering::Relaxed)), [1, 2]);
    expect_healed(&site, vault);
}

#[test]
fn a_failed_compaction_is_tried_again_when_the_file_has_grown_and_not_with_every_change() {
    let (site, vault, faults) = faulty("compaction-again");
    faults.successors.store(1000, Ordering::SeqCst);
    let attempts = || 1000 - faults.successors.load(Ordering::SeqCst);
    put(&vault, "large", &"v".repeat(MAX_VALUE));
    delete(&vault, "large");
    settle(&vault);
    assert_eq!(attempts(), 1);
    for _ in 0..20 {
        put(&vault, "db", "small");
        settle(&vault);
    }
    assert_eq!(attempts(), 1);
    put(&vault, "large", &"v".repeat(MAX_VALUE));
    delete(&vault, "large");
    settle(&vault);
    assert_eq!(attempts(), 2);
    faults.successors.store(0, Ordering::SeqCst);
    assert!(vault.compact_dead().unwrap());
    expect_healed(&site, vault);
}

#[test]
fn a_disk_that_becomes_full_is_compacted_once_if_that_can_make_room() {
    let (site, vault, faults) = faulty("full");
    let attempts = || 1000 - faults.successors.load(Ordering::SeqCst);
    let refuse = || {
        faults.writes.store(1, Ordering::SeqCst);
        vault.commit(order(put_operation("db", "x"))).unwrap_err();
        settle(&vault);
    };
    faults.successors.store(1000, Ordering::SeqCst);
    refuse();
    assert_eq!(attempts(), 0, "nothing is dead");
    assert_eq!(vault.trouble(), None);

    put(&vault, "dead", "x");
    delete(&vault, "dead");
    faults.rooms.store(1, Ordering::SeqCst);
    refuse();
    assert_eq!((attempts(), faults.rooms.load(Ordering::SeqCst)), (0, 0), "it has no room itself");
    assert_eq!(vault.trouble(), None);
    for _ in 0..3 {
        refuse();
        assert_eq!(attempts(), 1, "where it did not help, it is not made with every change");
    }
    assert_eq!(vault.trouble(), None);
    faults.successors.store(0, Ordering::SeqCst);
    refuse();
    assert_eq!(vault.stats().compactions.load(Ordering::Relaxed), 1);
    assert_eq!(vault.stats().dead_bytes.load(Ordering::Relaxed), 0);
    expect_healed(&site, vault);
}

#[test]
fn a_disk_that_becomes_full_makes_what_is_past_its_grace_go() {
    let (site, vault, faults) = faulty("full-expired");
    put(&vault, "db", "before");
    site.dial.advance(DAY * 15);
    put(&vault, "other", "v");
    faults.writes.store(1, Ordering::SeqCst);
    vault.commit(order(put_operation("db", "x"))).unwrap_err();
    settle(&vault);
    assert_eq!(vault.stats().compactions.load(Ordering::Relaxed), 1);
    assert_eq!(vault.census(&mut |_| {}).versions, 2);
    expect_healed(&site, vault);
}

#[test]
fn what_is_past_its_grace_takes_no_room_in_a_compaction_of_a_full_disk() {
    let (site, vault, faults) = faulty("expired-room");
    let large = "x".repeat(50_000);
    (0..4).for_each(|number| drop(put(&vault, &format!("live-{number}"), &large)));
    put(&vault, "replaced", &large);
    put(&vault, "replaced", "x");
    site.dial.advance(DAY * 15);
    put(&vault, "other", "v");
    // Less than all, and more than what is needed.
    faults.room.store(site.bytes().len() as u64 - 50_000, Ordering::SeqCst);
    faults.rooms.store(1, Ordering::SeqCst);
    faults.writes.store(1, Ordering::SeqCst);
    vault.commit(order(put_operation("db", "x"))).unwrap_err();
    settle(&vault);
    assert_eq!((vault.stats().compactions.load(Ordering::Relaxed), faults.rooms.load(Ordering::SeqCst)), (1, 0));
    expect_healed(&site, vault);
}

#[test]
fn a_vault_file_that_was_deleted_is_written_anew_from_memory() {
    let (site, vault, _) = faulty("deleted");
    put(&vault, "other", "v");
    std::fs::remove_file(site.path()).unwrap();
    let refused = vault.commit(order(put_operation("db", "x"))).unwrap_err();
    assert!(matches!(&refused, Refused::Storage(why) if why.contains("deleted while the daemon")), "{refused:?}");
    assert_eq!(read(&vault, "db").unwrap(), "before");
    settle(&vault);
    assert_eq!(read(&site.open_found(site.look(2).unwrap()), "other").unwrap(), "v");
    expect_healed(&site, vault);
}

#[test]
fn a_vault_file_that_somebody_changed_is_not_appended_to_but_written_anew() {
    for change in [-1, 1] {
        let (site, vault, _) = faulty("changed");
        put(&vault, "other", "v");
        let file = std::fs::OpenOptions::new().write(true).open(site.path()).unwrap();
        file.set_len(file.metadata().unwrap().len().checked_add_signed(change).unwrap()).unwrap();
        let refused = vault.commit(order(put_operation("db", "x"))).unwrap_err();
        assert!(
            matches!(&refused, Refused::Storage(why) if why.contains("another program changed the file")),
            "{refused:?}"
        );
        settle(&vault);
        assert_eq!(read(&vault, "db").unwrap(), "before");
        assert_eq!(read(&site.open_found(site.look(2).unwrap()), "other").unwrap(), "v");
        expect_healed(&site, vault);
    }
}

#[test]
fn another_file_in_the_vaults_place_is_somebody_elses() {
    let (site, vault, _) = faulty("exchanged");
    put(&vault, "dead", "x");
    delete(&vault, "dead");
    let other = site.dir.join("other");
    std::fs::write(&other, "somebody else's").unwrap();
    std::fs::rename(&other, site.path()).unwrap();
    let refused = vault.commit(order(put_operation("db", "x"))).unwrap_err();
    assert!(matches!(&refused, Refused::Storage(why) if why.contains("another file stands")), "{refused:?}");
    assert!(vault.compact_dead().is_err());
    assert_eq!(std::fs::read_to_string(site.path()).unwrap(), "somebody else's");
    std::fs::rename(site.path(), &other).unwrap();
    assert!(vault.trouble().is_some());
    settle(&vault);
    assert_eq!(vault.trouble(), None, "asking how it is was enough");
    expect_healed(&site, vault);
}

#[test]
fn a_vault_file_that_somebody_shortened_is_not_made_the_base_of_a_compaction() {
    let (site, vault, _) = faulty("shortened");
    put(&vault, "dead", "x");
    delete(&vault, "dead");
    let whole = site.bytes();
    let file = std::fs::OpenOptions::new().write(true).open(site.path()).unwrap();
    // What is read by a compaction is what was appended behind its start: here, all of it.
    let mut successor = lock(&vault.log).store.begin_successor().unwrap();
    file.set_len(whole.len() as u64 / 2).unwrap();
    let reader = lock(&vault.log).store.reader(0);
    let why = copy(reader, whole.len() as u64, &mut successor).unwrap_err();
    assert!(why.to_string().contains("became shorter"), "{why}");
}

#[test]
fn a_vault_file_that_somebody_shortened_is_not_put_under_another_key() {
    let (site, vault, _) = faulty("rekey-shortened");
    put(&vault, "db", "x");
    let length = site.bytes().len() as u64 - 1;
    std::fs::OpenOptions::new().write(true).open(site.path()).unwrap().set_len(length).unwrap();
    let (shortened, audited) = (site.bytes(), site.audit_lines().len());
    let next = KeyBytes::random().unwrap();
    let refused = vault.rekey(&site.master, &next, DataKey::Kept, Entry::new(Event::Rekey)).unwrap_err();
    assert!(matches!(&refused, Refused::Storage(why) if why.contains("became shorter")), "{refused:?}");
    assert_eq!((site.bytes(), site.audit_lines().len()), (shortened, audited));
}

#[test]
fn a_value_that_memory_lost_is_not_served_and_stays_a_trouble() {
    let (_site, vault, _) = faulty("memory");
    let mut version = vault.find("db", None).unwrap();
    version.record = Arc::new(
        Sealed::parse(
            br#"{"seq":1,"sealed":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
            log::record::NO_LINK,
            &vault.key(),
        )
        .unwrap(),
    );
    let why = vault.open(&version).err().unwrap().to_string();
    assert!(why.contains("vault record 1") && why.contains("restart the daemon"), "{why}");
    assert_eq!(vault.trouble(), Some(why));
    assert_eq!(vault.key().key.stats.unseal_errors.load(Ordering::Relaxed), 1);
}

#[test]
fn a_rekey_that_the_disk_does_not_take_leaves_the_old_key_in_force() {
    let (mut site, vault, faults) = faulty("rekey");
    let next = KeyBytes::random().unwrap();
    let rekey = |site: &Site| vault.rekey(&site.master, &next, DataKey::Kept, Entry::new(Event::Rekey));
    let before = site.bytes();
    faults.successors.store(1, Ordering::SeqCst);
    assert!(matches!(rekey(&site), Err(Refused::Storage(_))));
    vault.audit.faults().writes.store(1, Ordering::SeqCst);
    assert!(matches!(rekey(&site), Err(Refused::Audit { applied: false, .. })));
    assert_eq!(site.audit_lines().len(), 1, "it is not audited as done");
    assert_eq!(site.bytes(), before);
    faults.replacements.store(1, Ordering::SeqCst);
    assert!(matches!(rekey(&site), Err(Refused::Storage(_))));
    let told: Vec<_> =
        site.audit_lines()[1..].iter().map(|line| format!("{} {}", line["event"], line["result"])).collect();
    let taken_back = [r#""audit_resumed" "success""#, r#""rekey" "success""#, r#""rekey" "error""#];
    assert_eq!(told, taken_back, "the line that was too early is taken back");
    assert!(site.bytes().starts_with(&before) && is_under(&site.path(), &site.master), "but for the branch's record");
    assert!(!site.dir.join("vault.json.compacting").exists());

    vault.audit.faults().syncs.store(2, Ordering::SeqCst);
    assert!(matches!(rekey(&site), Err(Refused::Audit { applied: true, .. })));
    vault.compact().unwrap();
    site.master = next;
    expect_healed(&site, vault);
}
