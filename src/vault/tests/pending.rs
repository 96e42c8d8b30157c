//! A version is prepared beside the current one, and becomes that one or is destroyed.

use super::*;

#[test]
fn a_prepared_version_is_read_by_nobody_until_it_is_promoted() {
    let site = Site::new("prepared");
    let vault = site.open();
    let old = put(&vault, "db", "one");
    let kid = prepare(&vault, "db", "two");
    let vault = site.reopen(vault);
    assert_eq!(read(&vault, "db").unwrap(), "one");
    assert_eq!(read_version(&vault, "db", Some(&kid)), Err(Missing::NotFound));
    let version = vault.find_pending("db").unwrap();
    assert_eq!((version.kid.as_str(), vault.open(&version).unwrap().value()), (kid.as_str(), "two"));
    assert_eq!(vault.pending()[0].1.kid.of("db"), kid);

    site.dial.advance(DAY);
    vault.commit(order(promote_operation("db", &kid))).unwrap();
    let expect = |vault: &Vault| {
        assert_eq!(read(vault, "db").unwrap(), "two");
        assert_eq!(vault.find("db", None).unwrap().kid, kid);
        assert_eq!(read_version(vault, "db", Some(&old)).unwrap(), "one");
        assert!(vault.pending().is_empty() && vault.find_pending("db").is_none());
        let versions = vault.describe("db").unwrap().versions;
        assert_eq!(versions[1].until, Some(START.plus_days(1 + LIFETIMES.grace_days)), "from when it was replaced");
    };
    expect(&vault);
    let before = picture(&vault);
    vault.compact_dead().unwrap();
    let vault = site.reopen(vault);
    assert_eq!(picture(&vault).versions, before.versions);
    expect(&vault);
}

#[test]
fn a_discarded_version_leaves_everything_as_it_was_but_its_kid_is_used_up() {
    let site = Site::new("discarded");
    let vault = site.open();
    put(&vault, "db", "one");
    let kid = prepare(&vault, "db", "two");
    vault.commit(order(discard_operation("db", &kid))).unwrap();
    for operation in [discard_operation("db", &kid), promote_operation("db", &kid)] {
        assert_eq!(vault.commit(order(operation)).unwrap_err(), Refused::NotPending("db".to_owned()));
    }
    let before = picture(&vault);
    vault.compact_dead().unwrap();
    let vault = site.reopen(vault);
    assert_eq!(picture(&vault), Picture { link: picture(&vault).link, ..before.compacted() });
    assert_eq!(read(&vault, "db").unwrap(), "one");
    assert_ne!(prepare(&vault, "db", "three"), kid);
}

#[test]
fn one_version_is_prepared_at_a_time_and_only_beside_a_current_one() {
    let site = Site::new("one-pending");
    let vault = site.open();
    assert_eq!(vault.commit(order(prepare_operation("db", "v"))).unwrap_err(), Refused::NotFound("db".to_owned()));
    put(&vault, "db", "one");
    let kid = prepare(&vault, "db", "two");
    assert_eq!(vault.commit(order(prepare_operation("db", "v"))).unwrap_err(), Refused::Pending("db".to_owned()));
    let other = kid.replace("db-", "db-2");
    assert_eq!(vault.commit(order(promote_operation("db", &other))).unwrap_err(), Refused::NotPending("db".to_owned()));
    assert_eq!(vault.pending().len(), 1);
}

#[test]
fn a_value_that_somebody_sets_or_a_deletion_wins_over_a_prepared_version() {
    for delete_it in [false, true] {
        let site = Site::new(&format!("overtaken-{delete_it}"));
        let vault = site.open();
        put(&vault, "db", "one");
        let kid = prepare(&vault, "db", "two");
        if delete_it {
            delete(&vault, "db");
        } else {
            put(&vault, "db", "by hand");
        }
        assert_eq!(
            vault.commit(order(promote_operation("db", &kid))).unwrap_err(),
            Refused::NotPending("db".to_owned())
        );
        let before = picture(&vault);
        vault.compact_dead().unwrap();
        let vault = site.reopen(vault);
        assert_eq!(picture(&vault).versions, before.versions);
        assert_eq!(read(&vault, "db").ok().as_deref(), (!delete_it).then_some("by hand"));
        assert!(vault.pending().is_empty());
        assert_ne!(put(&vault, "db", "three"), kid, "its kid is used up");
    }
}

#[test]
fn retiring_destroys_every_version_but_the_current_one_and_the_prepared_one() {
    let site = Site::new("retire");
    let vault = site.open();
    let old = [put(&vault, "db", "one"), put(&vault, "db", "two")];
    put(&vault, "db", "three");
    let kid = prepare(&vault, "db", "four");
    let done = vault.commit(order(retire_operation("db"))).unwrap();
    assert_eq!(done.iter().map(|done| done.destroyed).sum::<usize>(), 2);
    let vault = site.reopen(vault);
    for old in old {
        assert_eq!(read_version(&vault, "db", Some(&old)), Err(Missing::Gone));
    }
    assert_eq!(read(&vault, "db").unwrap(), "three");
    assert!(vault.commit(order(retire_operation("db"))).unwrap().is_empty());
    assert_eq!(vault.commit(order(retire_operation("web"))).unwrap_err(), Refused::NotFound("web".to_owned()));
    vault.commit(order(promote_operation("db", &kid))).unwrap();
    assert_eq!(read(&vault, "db").unwrap(), "four");
}
