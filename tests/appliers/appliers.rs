//! What the programs of a secret are given, and what is made of their answers.

use std::path::Path;
use std::time::Duration;

use jarvis_secretsd::applier::{Action, ApplierConfig, Appliers, ToldVersion, Verdict};
use jarvis_secretsd::base::secret::Plaintext;

use crate::stage::{BINARY, Stage};

const OLD: ToldVersion = ToldVersion { kid: Some("db-1"), value: "old\"value" };
const NEW: ToldVersion = ToldVersion { kid: Some("db-2"), value: "new\"value" };

/// Appliers of the secret `db`: one program for the shell, which finds in `$1` what it is run for and in `$2` the stage's
/// directory.
fn appliers(stage: &Stage, text: &str) -> Appliers {
    let program = stage.shell(text);
    let words = |action: &str| {
        [program.to_str().unwrap(), action, stage.directory.path("").to_str().unwrap()].map(str::to_owned).to_vec()
    };
    let applier = ApplierConfig {
        prepare: Some(words("prepare")),
        apply: words("apply"),
        verify: words("verify"),
        retire: Some(words("retire")),
        timeout: Duration::from_secs(600),
    };
    let configured = [("db".to_owned(), applier)].into();
    Appliers::start(Path::new(BINARY), &configured, &stage.directory.path("vault.json")).unwrap().unwrap()
}

fn prepare(appliers: &Appliers) -> Result<String, String> {
    let made = appliers.prepare("db", OLD, Plaintext::new("generated".to_owned()));
    made.map(|value| value.expose().to_owned())
}

#[test]
fn each_program_gets_what_it_needs_and_no_more() {
    let stage = Stage::new();
    let appliers = appliers(&stage, "cat >$2/$1.json; echo made");
    prepare(&appliers).unwrap();
    appliers.apply("db", OLD, NEW).unwrap();
    assert_eq!(appliers.verify("db", NEW), Verdict::Works);
    appliers.retire("db", OLD, NEW).unwrap();
    let [old, new] =
        ["old", "new"].map(|word| format!(r#"{{"kid":"db-{}","value":"{word}\"value"}}"#, 1 + u8::from(word == "new")));
    for (action, told) in [
        ("prepare", format!(r#"{{"action":"prepare","name":"db","old":{old},"new":{{"value":"generated"}}}}"#)),
        ("apply", format!(r#"{{"action":"apply","name":"db","old":{old},"new":{new}}}"#)),
        ("verify", r#"{"action":"verify","name":"db","kid":"db-2","value":"new\"value"}"#.to_owned()),
        ("retire", format!(r#"{{"action":"retire","name":"db","old":{old},"current":{new}}}"#)),
    ] {
        assert_eq!(std::fs::read_to_string(stage.directory.path(&format!("{action}.json"))).unwrap(), told);
    }
}

#[test]
fn what_prepare_prints_is_the_value_without_the_newline_behind_a_single_line() {
    for (prints, value) in [
        ("printf 'user:new'", "user:new"),
        ("printf 'user:new\\n'", "user:new"),
        ("printf 'a\\nb\\n'", "a\nb\n"),
        ("echo 'not this' >&2; printf ' ü '", " ü "),
        ("head -c 65536 /dev/zero | tr '\\0' v", &"v".repeat(65_536)),
    ] {
        assert_eq!(prepare(&appliers(&Stage::new(), prints)).unwrap(), value, "{prints}");
    }
}

#[test]
fn what_prepare_prints_must_be_a_value() {
    for (prints, why) in [
        ("exit 0", "prepare: printed a value of 0 bytes, it must have 1 to 65536"),
        ("echo", "prepare: printed a value of 0 bytes, it must have 1 to 65536"),
        ("head -c 65537 /dev/zero | tr '\\0' v", "prepare: printed a value of 65537 bytes, it must have 1 to 65536"),
        ("printf '\\377'", "prepare: printed what is not UTF-8"),
        ("printf made; exit 1", "prepare: exit status 1"),
        ("printf made; kill -KILL $$", "prepare: ended by signal 9"),
        ("yes", "prepare: printed more than 1 MiB"),
    ] {
        assert_eq!(prepare(&appliers(&Stage::new(), prints)).unwrap_err(), why, "{prints}");
    }
}

#[test]
fn verify_says_yes_no_or_nothing() {
    for (program, verdict) in [
        ("exit 0", Verdict::Works),
        ("exit 1", Verdict::Refused),
        ("exit 2", Verdict::Unknown("verify: exit status 2".to_owned())),
        ("kill -TERM $$", Verdict::Unknown("verify: ended by signal 15".to_owned())),
    ] {
        assert_eq!(appliers(&Stage::new(), program).verify("db", NEW), verdict, "{program}");
    }
}

#[test]
fn apply_and_retire_have_done_it_when_they_exit_with_0() {
    let stage = Stage::new();
    let appliers = appliers(&stage, "[ $1 = apply ] && exit 1; exit 3");
    assert_eq!(appliers.apply("db", OLD, NEW), Err("apply: exit status 1".to_owned()));
    assert_eq!(appliers.retire("db", OLD, NEW), Err("retire: exit status 3".to_owned()));
    assert!(appliers.has("db") && !appliers.has("other"));
    assert!(appliers.can(Action::Retire, "db") && !appliers.can(Action::Apply, "other"));
}
