//! The value of an older version becomes the current one again.

use super::*;

fn roll_back(vault: &Arc<Vault>, name: &str, kid: &str) -> Result<Done, Refused> {
    vault.commit(order(roll_back_operation(name, kid))).map(|mut done| done.remove(0))
}

fn generated(name: &str, rotation: Rotation) -> Operation {
    let generator = serde_json::from_str(r#"{"type":"hex"}"#).unwrap();
    let Operation::Put { mut versions } = put_operation(name, "generated") else { unreachable!("it is a put") };
    versions[0].rotation = rotation;
    versions[0].generator = Some(generator);
    put_all(versions)
}

#[test]
fn the_value_of_an_older_version_becomes_a_new_one_that_is_due_a_whole_time_later() {
    let site = Site::new("rollback");
    let vault = site.open();
    let first = vault.commit(order(generated("db", Rotation::Auto))).unwrap()[0].version.clone().unwrap();
    site.dial.advance(DAY * 80);
    let second = put(&vault, "db", "two");
    site.dial.advance(DAY * 13);
    let done = roll_back(&vault, "db", &first.kid.of("db")).unwrap();
    let made = done.version.unwrap();
    assert!(made.kid.of("db") != second && made.kid != first.kid);
    let previous = (Kid::parse("db", &second).unwrap(), vault.now().plus_days(14));
    assert_eq!(done.previous, Some(previous), "what it replaces keeps its grace");
    assert_eq!((made.rotation, &made.generator), (Rotation::Auto, &first.generator), "as the older one says");
    assert_eq!(made.expires_at, vault.now().plus_days(90));
    assert_eq!(read(&vault, "db").unwrap(), "generated");
    let before = picture(&vault);
    let vault = site.reopen(vault);
    assert_eq!(picture(&vault), before);
}

#[test]
fn what_is_not_there_cannot_be_read_or_is_current_is_refused_and_nothing_changed() {
    let site = Site::new("rollback-refused");
    let vault = site.open();
    let first = put(&vault, "db", "one");
    let second = put(&vault, "db", "two");
    let seq = vault.seq();
    let refused = |kid: &str| roll_back(&vault, "db", kid).unwrap_err();
    assert_eq!(refused("db-20010101-000000"), Refused::NoSuchVersion("db".to_owned()));
    assert_eq!(refused("no kid"), Refused::NoSuchVersion("db".to_owned()));
    assert_eq!(refused(&second), Refused::IsCurrent(second.clone()));
    assert_eq!(roll_back(&vault, "none", &first).unwrap_err(), Refused::NotFound("none".to_owned()));
    let condition = Condition { if_match: Some(vec![first.clone()]), if_none_match: None };
    let unless = Order { condition, ..order(roll_back_operation("db", &first)) };
    assert_eq!(vault.commit(unless).unwrap_err(), Refused::PreconditionFailed(vec!["db".to_owned()]));
    site.dial.advance(DAY * 14);
    assert_eq!(refused(&first), Refused::Gone("db".to_owned()), "its grace is over");
    destroy_expired(&vault);
    assert_eq!(refused(&first), Refused::Gone("db".to_owned()), "it is destroyed");
    assert_eq!((vault.seq(), read(&vault, "db").unwrap()), (seq + 1, "two".to_owned()));
}

#[test]
fn in_one_batch_it_sees_what_came_before_it() {
    let site = Site::new("rollback-batch");
    let vault = site.open();
    let first = put(&vault, "db", "one");
    let refusal = |operation: Operation, kid: &str| {
        let answers = vault.commit_batch(vec![order(operation), order(roll_back_operation("db", kid))]);
        answers.into_iter().next_back().unwrap().map(|_| ()).unwrap_err()
    };
    let gone = || Refused::Gone("db".to_owned());
    assert_eq!(refusal(revoking_operation("db", "two", Previous::Ended), &first), gone());
    let second = vault.find("db", None).unwrap().kid;
    assert_eq!(refusal(revoking_operation("db", "three", Previous::Destroyed), &second), gone());
    let third = vault.find("db", None).unwrap().kid;
    put(&vault, "db", "four");
    assert_eq!(refusal(prepare_operation("db", "five"), &third), Refused::Pending("db".to_owned()));
    assert_eq!(refusal(delete_operation("db"), &third), Refused::NotFound("db".to_owned()));

    let first = put(&vault, "db", "one");
    let answers = vault.commit_batch(vec![order(put_operation("db", "two")), order(roll_back_operation("db", &first))]);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(read(&vault, "db").unwrap(), "one");
}

#[test]
fn one_that_is_prepared_is_what_the_older_one_was_also_after_a_compaction_unless_it_is_configured_meanwhile() {
    let site = Site::new("rollback-prepared");
    let vault = site.open();
    let first = vault.commit(order(generated("db", Rotation::Auto))).unwrap()[0].version.clone().unwrap();
    put(&vault, "db", "two");
    let prepare = |vault: &Arc<Vault>| {
        let operation = Operation::RollBack { name: "db".to_owned(), kid: first.kid.of("db"), is_prepared: true };
        vault.commit(order(operation)).unwrap()[0].kid.unwrap().of("db")
    };
    let kid = prepare(&vault);
    assert_eq!(read(&vault, "db").unwrap(), "two");
    let again = roll_back(&vault, "db", &first.kid.of("db"));
    assert_eq!(again.unwrap_err(), Refused::Pending("db".to_owned()));
    vault.compact().unwrap();
    let vault = site.reopen(vault);
    let made = vault.commit(order(promote_operation("db", &kid))).unwrap()[0].version.clone().unwrap();
    assert_eq!((made.rotation, &made.generator), (Rotation::Auto, &first.generator));
    assert_eq!(read(&vault, "db").unwrap(), "generated");

    let kid = prepare(&vault);
    configure(&vault, "db", Patch { rotation: Some(Rotation::Off), ..Patch::default() });
    vault.compact().unwrap();
    let vault = site.reopen(vault);
    let made = vault.commit(order(promote_operation("db", &kid))).unwrap()[0].version.clone().unwrap();
    assert_eq!(made.rotation, Rotation::Off, "what somebody says meanwhile counts");
}

#[test]
fn a_value_that_was_made_is_told_from_one_that_was_supplied() {
    let site = Site::new("supplied");
    let vault = site.open();
    let is_supplied = |vault: &Vault| vault.describe("db").unwrap().current.is_supplied();
    let supplied = put(&vault, "db", "one");
    assert!(is_supplied(&vault));
    rotate(&vault, "db");
    assert!(!is_supplied(&vault));
    roll_back(&vault, "db", &supplied).unwrap();
    assert!(is_supplied(&vault));
    let kid = prepare(&vault, "db", "made by an applier");
    vault.commit(order(promote_operation("db", &kid))).unwrap();
    assert!(!is_supplied(&vault));
    vault.commit(order(generated("db", Rotation::Manual))).unwrap();
    assert!(!is_supplied(&vault));
}
