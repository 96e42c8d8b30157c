//! Settings belong to a secret, and outlive its versions.

use std::collections::BTreeMap;

use super::super::survey::Census;
use super::*;

fn labels(named: &[(&str, Option<&str>)]) -> Option<Option<BTreeMap<String, Option<String>>>> {
    Some(Some(named.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect()))
}

#[test]
fn settings_stay_through_rotations_compactions_and_restarts_until_they_are_changed() {
    let site = Site::new("settings");
    let vault = site.open();
    put(&vault, "db", "one");
    let patch = Patch {
        grace_days: Some(Some(1)),
        description: Some(Some("the database".to_owned())),
        labels: labels(&[("team", Some("a")), ("env", Some("prod"))]),
        ..Patch::default()
    };
    configure(&vault, "db", patch);
    site.dial.advance(DAY * 2);
    rotate(&vault, "db");
    rotate(&vault, "db");
    site.dial.advance(DAY);
    assert_eq!(destroy_expired(&vault), 2, "by its own grace, and with it the version that it was configured with");
    configure(&vault, "db", Patch { labels: labels(&[("env", None), ("tier", Some("1"))]), ..Patch::default() });
    let before = picture(&vault);
    let (_, settings) = &before.settings[0];
    assert_eq!(settings.description.as_deref(), Some("the database"));
    assert_eq!(settings.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<String>(), "team=atier=1");

    vault.compact_dead().unwrap();
    let vault = site.reopen(vault);
    assert_eq!(picture(&vault), Picture { link: picture(&vault).link, ..before.compacted() });
    delete(&vault, "db");
    put(&vault, "db", "anew");
    let vault = site.reopen(vault);
    assert_eq!(vault.describe("db").unwrap().settings, Settings::default(), "nothing of a deleted secret comes back");
}

#[test]
fn a_change_of_settings_leaves_the_value_and_its_kid() {
    let site = Site::new("configure");
    let vault = site.open();
    let kid = put(&vault, "db", "one");
    configure(&vault, "db", Patch { owner: Some(Some("ops".to_owned())), ..Patch::default() });
    assert_eq!((vault.find("db", None).unwrap().kid, read(&vault, "db").unwrap()), (kid, "one".to_owned()));
    let line = site.audit_lines().pop().unwrap();
    assert_eq!((&line["event"], &line["secret_name"]), (&"configure_secret".into(), &"db".into()));
}

#[test]
fn what_changes_nothing_is_not_written() {
    let site = Site::new("no-change");
    let vault = site.open();
    put(&vault, "db", "one");
    let patch = || Patch { rotation: Some(Rotation::Off), owner: Some(Some("ops".to_owned())), ..Patch::default() };
    configure(&vault, "db", patch());
    assert_eq!(vault.seq(), 2);
    configure(&vault, "db", patch());
    configure(&vault, "db", Patch::default());
    assert_eq!(vault.seq(), 2);
}

#[test]
fn the_current_version_is_due_by_the_days_that_are_set() {
    let site = Site::new("days");
    let vault = site.open();
    put(&vault, "db", "one");
    let expires_at = |vault: &Vault| vault.describe("db").unwrap().current.expires_at;
    site.dial.advance(DAY);
    configure(&vault, "db", Patch { rotation_days: Some(Some(7)), ..Patch::default() });
    assert_eq!(expires_at(&vault), START.plus_days(7), "counted from when it was made");
    rotate(&vault, "db");
    let vault = site.reopen(vault);
    assert_eq!(expires_at(&vault), START.plus_days(8));
    configure(&vault, "db", Patch { rotation_days: Some(None), ..Patch::default() });
    assert_eq!(expires_at(&vault), START.plus_days(1 + LIFETIMES.rotation_days));
}

#[test]
fn a_secret_whose_rotation_is_off_is_never_due() {
    let site = Site::new("off");
    let vault = site.open();
    put(&vault, "db", "one");
    configure(&vault, "db", Patch { rotation: Some(Rotation::Off), ..Patch::default() });
    let vault = site.reopen(vault);
    site.dial.advance(DAY * 1000);
    assert_eq!(vault.census(&mut |_| {}), Census { secrets: 1, versions: 1, ..Census::default() });
    let names = vec!["db".to_owned()];
    assert!(
        vault.commit(order(Operation::Rotate { names, only_due: true, previous: Previous::Kept })).unwrap().is_empty()
    );
    rotate(&vault, "db");
    assert_eq!(vault.describe("db").unwrap().current.rotation, Rotation::Off, "it is rotated when somebody asks");
}

#[test]
fn a_new_version_comes_with_settings_whole_or_not_at_all() {
    let site = Site::new("with-settings");
    let vault = site.open();
    let new = |patch| {
        let value = Plaintext::new("v".to_owned());
        put_all(vec![New {
            name: "db".to_owned(),
            value,
            rotation: Rotation::Auto,
            generator: None,
            patch,
            previous: Previous::Kept,
        }])
    };
    let many = (0..=MAX_LABELS).map(|n| (format!("l{n}"), Some("v".to_owned()))).collect();
    let refused = vault.commit(order(new(Patch { labels: Some(Some(many)), ..Patch::default() }))).unwrap_err();
    assert_eq!((refused, vault.seq()), (Refused::TooManyLabels("db".to_owned()), 0));

    vault.commit(order(new(Patch { rotation_days: Some(Some(3)), ..Patch::default() }))).unwrap();
    assert_eq!(vault.describe("db").unwrap().current.expires_at, START.plus_days(3));
    let events: Vec<_> = site.audit_lines().iter().map(|line| line["event"].clone()).collect();
    assert_eq!(events, ["create_secret", "configure_secret"]);
    drop(vault);
    let torn = site.bytes().len() - 1;
    site.write(&site.bytes()[..torn]);
    assert_eq!(site.look(0).unwrap().seq(), 0, "a crash between the two leaves neither");
}

#[test]
fn what_an_older_version_says_of_its_rotation_outlives_a_compaction() {
    let site = Site::new("older-settings");
    let vault = site.open();
    put(&vault, "db", "one");
    configure(&vault, "db", Patch { rotation: Some(Rotation::Off), ..Patch::default() });
    put(&vault, "db", "two");
    configure(&vault, "db", Patch { owner: Some(Some("ops".to_owned())), ..Patch::default() });
    let before = picture(&vault);
    vault.compact_dead().unwrap();
    let vault = site.reopen(vault);
    assert_eq!(picture(&vault).versions, before.versions);
}
