//! `rollback`, and what is asked before a value is lost.

use serde_json::Value;

use crate::client_program::{ServingDaemon, failure, printed};
use crate::needs;
use crate::terminal::Terminal;

fn run(asked: &ServingDaemon, arguments: &[&str]) -> String {
    printed(asked.local(arguments).output().unwrap())
}

fn value(asked: &ServingDaemon) -> String {
    run(asked, &["get", "db_main"])
}

#[test]
fn a_rotation_is_undone_by_what_it_prints_and_so_is_that() {
    let asked = ServingDaemon::plain();
    asked.store("db_main", "v");
    let first = asked.kid("db_main");
    let rotated = run(&asked, &["rotate", "db_main", "--force"]);
    let lines: Vec<_> = rotated.lines().collect();
    assert!(lines[0].starts_with(&format!("db_main  rotated; {first} can be read until 2")), "{rotated}");
    assert_eq!(lines[1..], ["to go back: jarvis-secretsd rollback db_main"]);
    let second = asked.kid("db_main");
    let made_by_the_daemon = value(&asked);

    let back = run(&asked, &["rollback", "db_main"]);
    let third = asked.kid("db_main");
    let lines: Vec<_> = back.lines().collect();
    let told = format!("db_main: made {third} with the value of {first}, rotation is due on 2");
    assert!(lines[0].starts_with(&told) && lines[0].contains(&format!("; {second} can be read until 2")), "{back}");
    assert_eq!(lines[1..], [format!("to undo that: jarvis-secretsd rollback --to {second} db_main")]);
    assert_eq!(value(&asked), "v");
    run(&asked, &["rollback", "--to", &second, "db_main"]);
    assert_eq!(value(&asked), made_by_the_daemon);

    let answer: Value = serde_json::from_str(&run(&asked, &["rollback", "db_main", "--json"])).unwrap();
    assert_eq!((&answer["kid"], value(&asked).as_str()), (&asked.kid("db_main").into(), "v"));
}

#[test]
fn what_is_gone_back_to_is_said_to_be_replaced_again_if_it_will_be() {
    let asked = ServingDaemon::plain();
    asked.store("db_main", "v");
    run(&asked, &["configure", "db_main", "--rotation", "auto"]);
    asked.store("db_main", "by hand");
    let back = run(&asked, &["rollback", "db_main"]);
    assert!(back.contains("\ndb_main: will be replaced on 2"), "{back}");
    assert!(!run(&asked, &["rollback", "db_main"]).contains("will be replaced"));
}

#[test]
fn where_there_is_no_way_back_that_is_said() {
    let asked = ServingDaemon::plain();
    asked.store("db_main", "v");
    let refused = |arguments: &[&str]| failure(&asked.local(arguments).output().unwrap(), 1);
    let unknown = |arguments: &[&str]| failure(&asked.local(arguments).output().unwrap(), 3);
    let none = "db_main: there is no older version that can still be read; to store a value that you have, use set";
    assert_eq!(unknown(&["rollback", "db_main"]), none);
    let kid = asked.kid("db_main");
    let same = refused(&["rollback", "db_main", "--to", &kid]);
    assert_eq!(same, format!("db_main: {kid} is the current version already; nothing was changed"));
    let absent = unknown(&["rollback", "db_main", "--to", "db_main-20010101-000000"]);
    assert_eq!(absent, "db_main: there is no such version of db_main");
    assert!(unknown(&["rollback", "db_none"]).ends_with("there is no secret db_none"));
    let revoked = run(&asked, &["rotate", "db_main", "--force", "--revoke-previous"]);
    assert_eq!(revoked, format!("db_main  rotated; {kid} can no longer be read\n"), "nothing leads back");
    assert_eq!(unknown(&["rollback", "db_main"]), none);
    assert_eq!(
        refused(&["rollback", "db_main", "--to", &kid]),
        "db_main: the grace period of this version of db_main is over"
    );
}

#[test]
fn without_a_terminal_what_a_person_supplied_is_neither_replaced_nor_destroyed_unless_that_is_forced() {
    let asked = ServingDaemon::plain();
    asked.store("db_main", "v");
    asked.store("db_other", "v");
    run(&asked, &["set", "db_made", "--generate", "--rotation", "manual"]);
    let how = "nothing was changed: there is no terminal to confirm this at, so it needs --force";
    let refused = |arguments: &[&str]| failure(&asked.local(arguments).output().unwrap(), 1);
    let told = refused(&["rotate", "db_made", "db_main"]);
    let why = "rotate: a generated value would replace that of db_main, which a person supplied";
    assert_eq!(told, format!("{why}; {how}"));
    let output = asked.local(&["rotate", "db_other", "db_main", "--json"]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stderr).unwrap();
    let several = told["message"].as_str().unwrap();
    assert!(
        several.starts_with("rotate: generated values would replace those of db_main, db_other, which"),
        "{several}"
    );
    let told = refused(&["delete", "db_main"]);
    let why = "delete: db_main would be destroyed with all its versions; this cannot be undone";
    assert_eq!(told, format!("{why}; {how}"));
    assert_eq!(value(&asked), "v");

    run(&asked, &["rotate", "db_made"]);
    run(&asked, &["rotate", "db_main", "--force"]);
    run(&asked, &["rotate", "db_main"]);
    run(&asked, &["configure", "db_other", "--generator", "hex"]);
    run(&asked, &["rotate", "db_other"]);
    run(&asked, &["delete", "db_main", "--force"]);
    failure(&asked.local(&["get", "db_main"]).output().unwrap(), 3);
}

#[test]
fn at_a_terminal_only_a_yes_goes_on() {
    if !needs::is_installed("script") {
        return;
    }
    let asked = ServingDaemon::plain();
    asked.store("db_main", "v");
    let question = "Continue? [y/N] ";
    let ended = |command: &str, typed: &str| {
        let mut terminal = Terminal::open(&asked.local(&[]), command);
        terminal.answer(question, typed);
        terminal.ended()
    };
    for (command, typed, status) in [
        ("rotate db_main", "\n", "status=1"),
        ("rotate db_main", "no\n", "status=1"),
        ("delete db_main", "n\n", "status=1"),
        ("delete db_main", "\u{4}", "status=1"),
        ("delete db_main", "\u{3}", "status=130"),
    ] {
        let shown = ended(command, typed);
        assert!(shown.contains(&format!("{status}\r\n")), "{command} {typed:?}: {shown}");
        assert_eq!(value(&asked), "v", "{command} {typed:?}");
    }
    let shown = ended("rotate db_main", "y\n");
    assert!(
        shown.contains("a generated value would replace that of db_main") && shown.contains("status=0\r\n"),
        "{shown}"
    );
    assert_ne!(value(&asked), "v");
    let shown = ended("delete db_main", "YES\n");
    assert!(shown.contains("this cannot be undone") && shown.contains("status=0\r\n"), "{shown}");
    failure(&asked.local(&["get", "db_main"]).output().unwrap(), 3);
}
