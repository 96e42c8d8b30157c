//! The vault's history is one line, which the audit log knows by more than a number.

use super::*;

impl Vault {
    /// Where the file stands: behind the last change that is durable and audited.
    fn at(&self) -> VaultAt {
        lock(&self.log).end.at(&self.key())
    }
}

/// Where the vault stood behind each of its changes, as the audit log tells it.
fn told(site: &Site) -> Vec<VaultAt> {
    let lines = std::fs::read_to_string(site.audit_path()).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<audit::Line>(line).unwrap());
    lines.map(|line| line.vault()).collect()
}

fn history(site: &Site, known: VaultAt) -> History {
    Found::look(&site.path(), &site.master, known).unwrap().history()
}

#[test]
fn a_vault_continues_every_change_that_was_told_of_it_and_no_other_one_with_its_number() {
    let mut site = Site::new("one-line");
    let vault = site.open();
    let empty = vault.at();
    make_twenty_changes(&site, &vault);
    let told = told(&site);
    assert!(told.iter().map(|at| at.seq).eq(1..=20) && told[19] == vault.at());
    for at in told.iter().chain([&empty, &VaultAt { head: None, ..told[4] }]) {
        assert_eq!(history(&site, *at), History::Continues, "{at:?}");
    }
    let other = |at: &VaultAt| VaultAt { head: told[7].head, ..*at };
    assert_eq!([&empty, &told[2], &told[19]].map(|at| history(&site, other(at))), [History::Another; 3]);
    assert_eq!(history(&site, VaultAt { seq: 22, ..told[19] }), History::Older);

    vault.compact_dead().unwrap();
    put(&vault, "a", "later");
    let latest = vault.at();
    assert_eq!([told[19], latest].map(|at| history(&site, at)), [History::Continues; 2]);
    assert_eq!([other(&told[19]), other(&latest)].map(|at| history(&site, at)), [History::Another; 2]);
    assert_eq!([empty, told[2], told[18]].map(|at| history(&site, at)), [History::Beyond; 3]);
    assert_eq!(
        history(&site, VaultAt { head: None, ..told[18] }),
        History::Continues,
        "an older version has written that"
    );

    let next = KeyBytes::random().unwrap();
    vault.rekey(&site.master, &next, DataKey::Kept, Entry::new(Event::Rekey)).unwrap();
    site.master = next;
    assert_eq!([told[19], latest, vault.at()].map(|at| history(&site, at)), [History::Continues; 3]);
    site.reopen(vault);
}

#[test]
fn branches_of_one_vault_are_different_though_nothing_else_is_changed_and_give_out_no_kid_twice() {
    let site = Site::new("branches");
    let vault = site.open();
    put(&vault, "a", "v");
    drop(vault);
    let before = site.bytes();
    let mut ends = Vec::new();
    let mut kids = Vec::new();
    for round in 0..20 {
        site.write(&before);
        let vault = site.open_found(site.look(1).unwrap());
        let used = UsedKids::until(site.clock.now(), &site.audit_path());
        let at = vault.begin_branch(used).unwrap();
        assert_eq!((at.seq, vault.at()), (2, at));
        assert!(!ends.contains(&at));
        ends.push(at);
        vault.audit.write_synced(vec![Entry { vault: Some(at), ..Entry::new(Event::RollbackAccepted) }]).unwrap();
        // By the same second, and some before and behind it.
        for name in ["a", "b", "a"] {
            kids.push(put(&vault, name, "v"));
        }
        if round % 3 == 0 {
            vault.compact().unwrap();
        }
        let vault = site.reopen(vault);
        kids.push(put(&vault, "a", "v"));
        site.dial.set(Timestamp::from_nanos(START.nanos() + (round * 7 % 5) * 1_000_000_000));
    }
    let all: std::collections::BTreeSet<_> = kids.iter().collect();
    assert_eq!(all.len(), kids.len(), "{kids:?}");
}

#[test]
fn an_audit_log_that_was_lost_and_accepted_counts_from_there_also_after_a_compaction() {
    let site = Site::new("log-lost");
    let vault = site.open();
    make_twenty_changes(&site, &vault);
    drop(vault);
    let saw = site.look(20).unwrap().audited();
    assert!(saw >= 19, "{saw}");
    std::fs::remove_file(site.audit_path()).unwrap();
    let vault = site.open_found(site.look(20).unwrap());
    let at = vault.begin_branch(UsedKids::default()).unwrap();
    assert_eq!(site.look(20).unwrap().audited(), saw, "as long as the audit log does not know that");
    vault.audit.write_synced(vec![Entry { vault: Some(at), ..Entry::new(Event::RollbackAccepted) }]).unwrap();
    assert_eq!(site.look(21).unwrap().audited(), 0);
    vault.compact().unwrap();
    assert_eq!(site.look(21).unwrap().audited(), 1);
    put(&vault, "a", "v");
    assert_eq!(site.look(22).unwrap().audited(), 1);
}

#[test]
fn what_is_compacted_has_its_audit_lines_on_the_disk() {
    let site = Site::new("compacted-audited");
    let vault = site.open();
    put(&vault, "a", "v");
    let before = site.bytes();
    // The line is written, and neither the first try nor the second makes it durable.
    vault.audit.faults().syncs.store(2, Ordering::SeqCst);
    let refused = vault.commit(order(delete_operation("a"))).unwrap_err();
    assert!(matches!(refused, Refused::Audit { applied: true, .. }), "{refused:?}");
    vault.audit.faults().syncs.store(1, Ordering::SeqCst);
    assert!(vault.compact_dead().unwrap_err().to_string().contains("the audit log cannot be synced"));
    assert!(site.bytes().starts_with(&before));
    assert!(vault.compact_dead().unwrap());
    assert_eq!(vault.audit.synced_seq(), 2);
    site.reopen(vault);
}

#[test]
fn the_file_from_before_a_rekey_is_an_older_one() {
    let site = Site::new("rekey-undone");
    let vault = site.open();
    put(&vault, "a", "v");
    let before = site.bytes();
    vault.rekey(&site.master, &KeyBytes::random().unwrap(), DataKey::Kept, Entry::new(Event::Rekey)).unwrap();
    let told = told(&site).pop().unwrap();
    assert_eq!(told, vault.at());
    drop(vault);
    site.write(&before);
    assert_eq!(history(&site, told), History::Older);
}
