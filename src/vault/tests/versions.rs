//! Versions, their grace, and ids that never come again.

use std::time::Duration;

use super::super::survey::Census;
use super::*;
use crate::generator::Generator;

#[test]
fn an_older_version_is_readable_by_its_kid_until_its_grace_ends() {
    let site = Site::new("grace");
    let vault = site.open();
    let old = put(&vault, "db", "old");
    site.dial.advance(DAY);
    let new = put(&vault, "db", "new");
    let last_moment = START.plus_days(1 + LIFETIMES.grace_days);

    assert_eq!(read(&vault, "db").unwrap(), "new");
    assert_eq!(vault.find("db", Some(&old)).err(), None);
    assert_eq!(vault.find("db", Some(&old)).unwrap().expires_at, last_moment);
    assert_eq!(vault.find("db", Some(&new)).unwrap().expires_at, START.plus_days(1 + LIFETIMES.rotation_days));

    site.dial.set(Timestamp::from_nanos(last_moment.nanos() - 1));
    assert_eq!(read_version(&vault, "db", Some(&old)).unwrap(), "old");
    assert!(vault.expired_versions().is_empty());
    site.dial.set(last_moment);
    assert_eq!(read_version(&vault, "db", Some(&old)), Err(Missing::Gone));
    assert_eq!(read_version(&vault, "db", Some(&new)).unwrap(), "new", "the current one has no end");
}

#[test]
fn a_version_that_the_daily_round_destroyed_is_gone_for_ever() {
    let site = Site::new("destroy");
    let vault = site.open();
    let old = put(&vault, "db", "old");
    let new = put(&vault, "db", "new");
    site.dial.advance(DAY * 14);
    assert_eq!(vault.census(&mut |_| {}).expired_versions, 1);
    assert_eq!(destroy_expired(&vault), 1);
    assert_eq!(
        vault.census(&mut |_| {}),
        Census { secrets: 1, versions: 1, next_expiry: Some(START.plus_days(90)), ..Census::default() }
    );

    // Also if the clock is set back to where its grace was not over.
    site.dial.set(START);
    assert_eq!(read_version(&vault, "db", Some(&old)), Err(Missing::Gone));
    vault.compact_dead().unwrap();
    assert_eq!(read_version(&vault, "db", Some(&old)), Err(Missing::Gone));
    let vault = site.reopen(vault);
    assert_eq!(read_version(&vault, "db", Some(&old)), Err(Missing::Gone));
    assert_eq!(read_version(&vault, "db", Some(&new)).unwrap(), "new");

    delete(&vault, "db");
    let vault = site.reopen(vault);
    assert_eq!(read_version(&vault, "db", Some(&old)), Err(Missing::NotFound), "of a deleted secret nothing is told");
    assert_eq!(read(&vault, "db"), Err(Missing::NotFound));
}

#[test]
fn what_is_current_or_has_grace_left_is_not_destroyed_whoever_asks() {
    let site = Site::new("not-expired");
    let vault = site.open();
    put(&vault, "db", "old");
    let versions = vault.all(|_| true).map(|listed| (listed.name, listed.version)).collect::<Vec<_>>();
    let destroy = || vault.commit(order(Operation::Destroy { versions: versions.clone() })).unwrap().len();
    site.dial.advance(DAY * 1000);
    assert_eq!(destroy(), 0, "it is current");
    put(&vault, "db", "new");
    assert_eq!(destroy(), 0, "it has its grace");
    site.dial.advance(DAY * 14);
    assert_eq!(destroy(), 1);
    assert_eq!(destroy(), 0, "only once");
    assert_eq!(vault.seq(), 3);
}

#[test]
fn a_version_is_destroyed_when_its_own_grace_is_over_and_an_older_one_keeps_its_end() {
    let site = Site::new("outlived");
    let mut vault = site.open();
    let oldest = put_outlived(&vault);
    let third = put(&vault, "db", "third");
    put(&vault, "db", "newest");
    site.dial.set(START.plus_days(15));
    assert_eq!(vault.census(&mut |_| {}).expired_versions, 2);
    assert_eq!(destroy_expired(&vault), 2, "what outlives them holds up nothing");

    let kept = |vault: &Vault| {
        let kept = picture(vault).versions.into_iter().map(|(_, value, until, _)| (value, until));
        kept.collect::<Vec<_>>()
    };
    let expected = [("oldest".to_owned(), Some(START.plus_days(3650))), ("newest".to_owned(), None)];
    // What is set now is about the newest, and the oldest keeps its day.
    configure(&vault, "db", Patch { rotation_days: Some(Some(1)), ..Patch::default() });
    for round in 0..3 {
        assert_eq!(kept(&vault), expected, "round {round}");
        vault = site.reopen(vault);
        assert_eq!(kept(&vault), expected, "round {round}, after a restart");
        assert_eq!(vault.compact_dead().unwrap(), round == 0, "nothing more is dead");
    }
    assert_eq!(read_version(&vault, "db", Some(&third)), Err(Missing::Gone));
    assert_eq!(read_version(&vault, "db", Some(&oldest)).unwrap(), "oldest");

    site.dial.set(START.plus_days(3650));
    assert_eq!(read_version(&vault, "db", Some(&oldest)), Err(Missing::Gone));
    assert_eq!(destroy_expired(&vault), 1);
    assert!(vault.compact_dead().unwrap(), "with it goes the record that said its end");
    assert_eq!(
        site.lines().len(),
        1 + 2 + 2,
        "header, snapshot and the ids that are used up; the current version and the settings"
    );
}

#[test]
fn a_moment_in_which_the_clock_was_ahead_holds_up_no_destruction() {
    let site = Site::new("ahead");
    let vault = site.open();
    put(&vault, "db", "first");
    site.dial.set(START.plus_days(3650));
    let second = put(&vault, "db", "second");
    site.dial.set(START);
    put(&vault, "db", "third");
    put(&vault, "db", "fourth");
    site.dial.advance(DAY * 14);
    assert_eq!(destroy_expired(&vault), 2);
    assert_eq!(read_version(&vault, "db", Some(&second)), Err(Missing::Gone));
    vault.compact_dead().unwrap();
    let values: Vec<_> = picture(&site.reopen(vault)).versions.into_iter().map(|(_, value, ..)| value).collect();
    assert_eq!(values, ["first", "fourth"]);
}

#[test]
fn every_version_of_one_second_has_a_kid_of_its_own_whatever_happened_in_between() {
    let site = Site::new("kids");
    let mut vault = site.open();
    let first = put(&vault, "db", "v");
    assert_eq!(first, "db-20251027-113644");
    assert_eq!(rotate(&vault, "db"), format!("{first}-2"));
    delete(&vault, "db");
    assert_eq!(put(&vault, "db", "v"), format!("{first}-3"), "after a deletion");
    delete(&vault, "db");
    assert!(vault.compact_dead().unwrap());
    vault = site.reopen(vault);
    assert_eq!(put(&vault, "db", "v"), format!("{first}-4"), "after a deletion, a compaction and a restart");
    site.dial.advance(DAY * 20);
    put(&vault, "db", "v");
    site.dial.advance(DAY * 20);
    destroy_expired(&vault);
    vault.compact_dead().unwrap();
    vault = site.reopen(vault);
    site.dial.set(START);
    assert_eq!(put(&vault, "db", "v"), format!("{first}-5"), "after a destruction, when the clock was set back");
    site.dial.advance(Duration::from_secs(1));
    assert_eq!(put(&vault, "db", "v"), "db-20251027-113645", "in another second");
}

#[test]
fn a_kid_of_another_secret_or_of_none_is_not_found() {
    let site = Site::new("foreign-kid");
    let vault = site.open();
    let kid = put(&vault, "db", "v");
    put(&vault, "web", "v");
    for other in [kid.as_str(), "web-20251027-113645", "web-20251027-113644-2", "web", "", "web-"] {
        assert_eq!(read_version(&vault, "web", Some(other)), Err(Missing::NotFound), "{other:?}");
    }
    assert_eq!(read(&vault, "none"), Err(Missing::NotFound));
}

#[test]
fn a_rotation_makes_a_value_the_way_the_last_one_was_made() {
    let site = Site::new("generator");
    let vault = site.open();
    let generator: Generator = serde_json::from_str(r#"{"type":"hex","bytes":20}"#).unwrap();
    let operation = put_all(vec![New {
        name: "hex".to_owned(),
        value: generator.generate().unwrap(),
        rotation: Rotation::Auto,
        generator: Some(generator),
        patch: Patch::default(),
        previous: Previous::Kept,
    }]);
    vault.commit(order(operation)).unwrap();
    put(&vault, "given", "by a person");
    vault.commit(order(rotate_operation(&["hex", "given"]))).unwrap();
    let vault = site.reopen(vault);
    rotate(&vault, "hex");
    let value = read(&vault, "hex").unwrap();
    assert!(value.len() == 40 && value.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(read(&vault, "given").unwrap().len(), 44, "32 bytes in base64");
    let listed: Vec<_> = vault.all(|_| true).collect();
    assert_eq!(listed[0].version.rotation, Rotation::Manual, "a rotation on request changes nothing about that");
    assert_eq!(listed[1].version.rotation, Rotation::Auto);
}

#[test]
fn the_schedule_replaces_what_is_due_and_generated_and_nothing_else() {
    let site = Site::new("due");
    let vault = site.open();
    let auto = |name: &str| {
        let value = Plaintext::new("generated".to_owned());
        put_all(vec![New {
            name: name.to_owned(),
            value,
            rotation: Rotation::Auto,
            generator: None,
            patch: Patch::default(),
            previous: Previous::Kept,
        }])
    };
    vault.commit(order(auto("due"))).unwrap();
    put(&vault, "manual", "by a person");
    site.dial.advance(DAY * 90);
    vault.commit(order(auto("fresh"))).unwrap();
    assert_eq!((vault.census(&mut |_| {}).due_auto, vault.census(&mut |_| {}).due_manual), (1, 1));
    assert_eq!(vault.census(&mut |_| {}).next_expiry, Some(START.plus_days(180)));

    let names = ["due", "manual", "fresh", "deleted meanwhile"].map(str::to_owned).to_vec();
    let done = vault.commit(order(Operation::Rotate { names, only_due: true, previous: Previous::Kept })).unwrap();
    assert_eq!(done.iter().map(|done| done.name.as_str()).collect::<Vec<_>>(), ["due"]);
    assert_eq!(read(&vault, "manual").unwrap(), "by a person");
    assert_eq!(read(&vault, "fresh").unwrap(), "generated");
    assert_ne!(read(&vault, "due").unwrap(), "generated");
}

#[test]
fn one_unknown_name_and_none_is_rotated() {
    let site = Site::new("unknown");
    let vault = site.open();
    put(&vault, "a", "one");
    let refused = vault.commit(order(rotate_operation(&["a", "nobody"]))).unwrap_err();
    assert_eq!(refused, Refused::NotFound("nobody".to_owned()));
    assert_eq!((read(&vault, "a").unwrap().as_str(), vault.seq()), ("one", 1));
    assert_eq!(vault.commit(order(delete_operation("nobody"))).unwrap_err(), Refused::NotFound("nobody".to_owned()));
}

#[test]
fn the_list_is_sorted_by_name_and_shows_current_versions_only() {
    let site = Site::new("list");
    let vault = site.open();
    for name in ["b", "C", "a", "gone"] {
        put(&vault, name, "v");
    }
    let newest = put(&vault, "a", "w");
    delete(&vault, "gone");
    let listed: Vec<_> = vault
        .all(|_| true)
        .filter(|listed| listed.name != "b")
        .map(|listed| (listed.name.clone(), listed.kid()))
        .collect();
    assert_eq!(listed, [("C".to_owned(), "C-20251027-113644".to_owned()), ("a".to_owned(), newest)]);
    assert_eq!(vault.secret_count(), 3);
}
