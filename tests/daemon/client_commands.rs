//! The commands that ask a daemon: what they send, print and exit with.

use std::fs::{File, OpenOptions};
use std::io::PipeWriter;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::client::Client;
use crate::client_program::{ServingDaemon, failure, fed, printed, program};
use crate::site::{Site, audit_fields};

/// A way in which somebody asks.
type Way<'a> = &'a dyn Fn(&[&str]) -> Command;

fn json(output: Output) -> Value {
    serde_json::from_str(&printed(output)).unwrap()
}

#[test]
fn each_command_works_over_tcp_tls_and_the_unix_socket_with_token_certificate_and_user() {
    let (plain, secured) = (ServingDaemon::plain(), ServingDaemon::secured());
    let admin: Way = &|arguments| plain.admin(arguments);
    let admin_by_tls: Way = &|arguments| secured.admin(arguments);
    let local: Way = &|arguments| plain.local(arguments);
    for (asked, way) in [(&plain, admin), (&secured, admin_by_tls), (&plain, local)] {
        let run = |arguments: &[&str]| printed(way(arguments).output().unwrap());
        let set = printed(fed(way(&["set", "db_main"]), b"one\n"));
        assert!(set.starts_with("db_main: made db_main-2"), "{set}");
        assert_eq!(run(&["get", "db_main"]), "one");
        let old = asked.kid("db_main");
        let rotated = run(&["rotate", "db_main", "--force"]);
        assert!(rotated.starts_with(&format!("db_main  rotated; {old} can be read until 2")), "{rotated}");
        assert_eq!(run(&["get", "db_main", "--kid", &old]), "one");
        assert_eq!(run(&["rotate", "--due"]), "no rotation was due\n");
        let versions = run(&["versions", "db_main"]);
        let kids: Vec<&str> = versions.lines().skip(1).map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(kids, [&asked.kid("db_main"), &old]);
        assert!(versions.lines().nth(1).unwrap().ends_with("  (current)"), "{versions}");
        let list = run(&["list"]);
        assert!(list.starts_with("NAME     KID ") && list.contains("\ndb_main  db_main-2"), "{list}");
        assert_eq!(run(&["delete", "db_main", "--force"]), "db_main: destroyed, with its versions: 2\n");
        assert_eq!(run(&["list"]), "NAME  KID  ROTATION  ROTATION DUE\n");
    }
    secured.store("db_main", "v");
    let by_certificate = |arguments: &[&str]| printed(secured.reader(arguments).output().unwrap());
    assert!(by_certificate(&["list"]).contains("\ndb_main  "));
    assert!(by_certificate(&["versions", "db_main"]).contains("(current)"));
    for arguments in
        [&["set", "db_main", "--generate"][..], &["rotate", "db_main", "--force"], &["delete", "db_main", "--force"]]
    {
        let refused = failure(&secured.reader(arguments).output().unwrap(), 4);
        assert!(refused.ends_with(": client reader may read db_main, but not change it"), "{refused}");
    }
}

#[test]
fn json_is_the_answer_of_the_api_on_each_command() {
    let asked = ServingDaemon::plain();
    let run = |arguments: &[&str]| json(asked.local(arguments).output().unwrap());
    let made = json(fed(asked.local(&["set", "db_main", "--json"]), b"v"));
    assert_eq!((&made["name"], &made["rotation"]), (&"db_main".into(), &"manual".into()));
    assert_eq!(run(&["list", "--json"])["secrets"][0]["kid"], made["kid"]);
    assert_eq!(run(&["list", "--json", "--prefix", "x"])["secrets"], Value::Array(Vec::new()));
    assert_eq!(run(&["versions", "db_main", "--json"])["versions"][0]["is_current"], true);
    assert_eq!(run(&["rotate", "db_main", "--json", "--force"])["rotated"][0], "db_main");
    assert_eq!(run(&["rotate", "--due", "--json"])["rotated_count"], 0);
    assert_eq!(run(&["delete", "db_main", "--json", "--force"])["versions_destroyed"], 2);
}

#[test]
fn a_list_of_several_pages_is_one_table() {
    let asked = ServingDaemon::plain();
    let mut client = Client::unix(&[], &asked.daemon.site.path("sock"));
    for portion in 0..3 {
        let secrets: Vec<_> = (0..700).map(|n| json!({ "name": format!("s{portion}{n:03}"), "value": "v" })).collect();
        assert_eq!(client.post("/secrets", &json!({ "secrets": secrets }).to_string()).status, 200);
    }
    let names = |arguments: &[&str]| -> Vec<String> {
        let table = printed(asked.admin(arguments).output().unwrap());
        table.lines().skip(1).map(|row| row.split(' ').next().unwrap().to_owned()).collect()
    };
    let all = names(&["list"]);
    assert!(all.len() == 2100 && all.is_sorted(), "{}", all.len());
    assert_eq!(names(&["list", "--prefix", "s20"]), all[1400..1500]);
}

#[test]
fn the_daemon_makes_a_value_of_the_wanted_kind() {
    let asked = ServingDaemon::plain();
    for (option, length, rotation) in [
        ("--generate", 44, "auto"),
        ("--generate=base64", 44, "auto"),
        ("--generate=hex", 64, "auto"),
        ("--generate=password", 24, "auto"),
        ("--generate=urlsafe", 32, "auto"),
        ("--generate=uuid", 36, "auto"),
        (r#"--generate={"type":"password","length":40}"#, 40, "auto"),
        ("--generate", 44, "manual"),
    ] {
        let mut set = asked.local(&["set", "db_main", option, "--json", "--rotation", rotation]);
        // Nothing is read that nobody asks for.
        assert_eq!(json(set.stdin(Stdio::null()).output().unwrap())["rotation"], rotation, "{option}");
        assert_eq!(printed(asked.local(&["get", "db_main"]).output().unwrap()).len(), length, "{option}");
    }
    let auto = json(fed(asked.local(&["set", "db_main", "--rotation", "auto", "--json"]), b"v"));
    assert_eq!(auto["rotation"], "auto");
}

#[test]
fn settings_come_with_a_value_or_without() {
    let asked = ServingDaemon::plain();
    let run = |arguments: &[&str]| printed(asked.local(arguments).output().unwrap());
    let settings = || json(asked.local(&["versions", "db_main", "--json"]).output().unwrap())["settings"].clone();
    printed(fed(
        asked.local(&["set", "db_main", "--rotation-days", "30", "--generator", "hex", "--labels", "env=prod,a=b=c"]),
        b"v",
    ));
    let configured = run(&["configure", "db_main", "--owner", "ops", "--rotation", "off", "--grace-days=0"]);
    assert!(configured.starts_with("db_main: configured; db_main-2"), "{configured}");
    let labels = json!({ "env": "prod", "a": "b=c" });
    let expected = json!({
        "rotation": "off", "rotation_days": 30, "grace_days": 0, "generator": { "type": "hex", "bytes": 32 },
        "owner": "ops", "labels": labels,
    });
    assert_eq!(settings(), expected);
    let all = ["--rotation-days=", "--grace-days=", "--generator=", "--owner=", "--labels", "env=,x=y"];
    run(&[&["configure", "db_main"][..], &all].concat());
    let expected = json!({
        "rotation": "off", "rotation_days": 90, "grace_days": 14, "generator": { "type": "base64", "bytes": 32 },
        "labels": { "a": "b=c", "x": "y" },
    });
    assert_eq!(settings(), expected);
    assert_eq!(run(&["get", "db_main"]), "v");
}

#[test]
fn create_replaces_nothing() {
    let asked = ServingDaemon::plain();
    let create = |value: &[u8]| fed(asked.local(&["set", "db_main", "--create"]), value);
    printed(create(b"first"));
    let refused = create(b"second");
    assert_eq!(failure(&refused, 1), "db_main: there is a secret of that name already; nothing was changed");
    assert_eq!(printed(asked.local(&["get", "db_main"]).output().unwrap()), "first");
}

#[test]
fn several_are_rotated_or_none() {
    let asked = ServingDaemon::plain();
    asked.store("db_main", "v");
    let unknown = asked.local(&["rotate", "db_main", "db_none"]).output().unwrap();
    assert_eq!(failure(&unknown, 3), "rotate: there is no secret db_none");
    assert_eq!(printed(asked.local(&["get", "db_main"]).output().unwrap()), "v");
    asked.store("db_other", "v");
    let both = asked.local(&["rotate", "db_other", "db_main", "--force"]).output().unwrap();
    let both = printed(both);
    let rows: Vec<_> = both.lines().map(|line| line.split(';').next().unwrap()).collect();
    assert_eq!(rows, ["db_main   rotated", "db_other  rotated", "to go back: jarvis-secretsd rollback NAME"]);
    let lines = asked.daemon.site.audit(1);
    assert_eq!(audit_fields(lines.last().unwrap())[..2], [Some("rotate"), Some("local")]);
}

#[test]
fn a_value_that_has_leaked_is_replaced_and_no_version_before_it_can_be_read() {
    let asked = ServingDaemon::plain();
    let run = |arguments: &[&str]| printed(asked.local(arguments).output().unwrap());
    let old = ["one", "two"].map(|value| {
        asked.store("db_main", value);
        asked.kid("db_main")
    });
    let set = printed(fed(asked.local(&["set", "db_main", "--revoke-previous"]), b"three"));
    assert!(set.ends_with(&format!("; {} can no longer be read\n", old[1])), "{set}");
    for kid in &old {
        let gone = asked.local(&["get", "db_main", "--kid", kid]).output().unwrap();
        assert_eq!(failure(&gone, 1), "db_main: the grace period of this version of db_main is over");
    }
    let third = asked.kid("db_main");
    let rotated = run(&["rotate", "db_main", "--revoke-previous", "--force"]);
    assert_eq!(rotated, format!("db_main  rotated; {third} can no longer be read\n"));
    assert_eq!(run(&["versions", "db_main"]).lines().filter(|line| line.contains("db_main-")).count(), 1);
    let due = asked.local(&["rotate", "--due", "--revoke-previous"]).output().unwrap();
    assert_eq!(due.status.code(), Some(2));
}

#[test]
fn what_is_due_and_what_would_be_rotated_is_reported() {
    let asked = ServingDaemon::plain();
    let run = |arguments: &[&str]| printed(asked.local(arguments).output().unwrap());
    asked.store("db_main", "v");
    run(&["set", "db_other", "--generate", "--rotation", "auto", "--rotation-days", "1"]);
    let schedule = run(&["schedule"]);
    let rows: Vec<Vec<&str>> = schedule.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "ROTATION", "ROTATION", "DUE", "SCHEDULED", "FOR"]);
    assert_eq!(rows[1][..4], ["db_other", "auto", "(no", "applier)"]);
    assert_eq!((&rows[2][..2], &rows[2][3..]), (&["db_main", "manual"][..], &["(by", "a", "person)"][..]));
    assert_eq!(run(&["rotate", "--due", "--dry-run"]), "no rotation was due\n");
    let kid = asked.kid("db_main");
    assert!(run(&["rotate", "db_main", "--dry-run"]).starts_with("db_main  would become db_main-2"));
    assert_eq!(asked.kid("db_main"), kid);
}

#[test]
fn an_output_that_takes_nothing_is_a_failure() {
    let asked = ServingDaemon::plain();
    asked.store("db_main", "v");
    let config = asked.daemon.site.path("config.toml");
    let config = config.to_str().unwrap();
    for arguments in [
        &["get", "db_main"][..],
        &["list"],
        &["--help"],
        &["list", "--help"],
        &["--version"],
        &["completions", "bash"],
        &["token", "db"],
        &["check", "--config", config],
        &["rotate", "--due", "--dry-run"],
        &["policy", "explain", "--config", config, "db", "db_main"],
    ] {
        let output = asked.local(arguments).stdout(full()).output().unwrap();
        assert_eq!(failure(&output, 1), "standard output: No space left on device (os error 28)", "{arguments:?}");
        let output = asked.local(arguments).stdout(closed()).output().unwrap();
        assert_eq!(failure(&output, 1), "standard output: Broken pipe (os error 32)", "{arguments:?}");
        // Nothing can be printed, and that is no other failure.
        let output = asked.local(arguments).stdout(full()).stderr(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    }
}

/// A file that takes nothing.
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// A pipe that nobody reads any more.
fn closed() -> PipeWriter {
    std::io::pipe().unwrap().1
}

#[test]
fn what_was_done_is_no_failure_where_it_cannot_be_printed() {
    let asked = ServingDaemon::plain();
    asked.store("db_main", "v");
    asked.store("db_other", "v");
    for arguments in [
        &["configure", "db_main", "--owner", "dba"][..],
        &["rotate", "db_main", "--force"],
        &["rollback", "db_main"],
        &["retire", "db_main", "--force"],
        &["set", "db_made", "--generate"],
        &["delete", "db_main", "--force"],
        &["delete", "db_other", "--json", "--force"],
    ] {
        let output = asked.local(arguments).stdout(closed()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
        let told = "jarvis-secretsd: standard output: Broken pipe (os error 32); this was done anyway: ";
        assert!(said.starts_with(told), "{arguments:?}: {said}");
    }
    let list = printed(asked.local(&["list"]).output().unwrap());
    assert!(!list.contains("db_main") && list.contains("db_made"), "{list}");
}

#[test]
fn tokens_that_nobody_was_shown_are_in_no_policy() {
    let site = Site::empty();
    let directory = site.path("etc");
    let init = || program(&site, &["init", directory.to_str().unwrap()]);
    for output in [Stdio::from(full()), Stdio::from(closed())] {
        let output = init().stdout(output).output().unwrap();
        assert!(failure(&output, 1).starts_with("standard output: "), "{output:?}");
        assert_eq!(directory.read_dir().unwrap().count(), 0);
    }
    let output = init().output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().matches("shown only once: ").count(), 3);
}

#[test]
fn wrong_usage_of_the_client_commands_exits_with_2_before_anything_is_sent() {
    let site = Site::empty();
    for arguments in [
        &["get"][..],
        &["get", "a", "b"],
        &["get", "a b"],
        &["get", ""],
        &["get", "a/../b"],
        &["get", "a", "--kid", "a?b"],
        &["get", "a", "--kid", ""],
        &["get", "a", "--addr", "127.0.0.1:1"],
        &["get", "a", "--client", "a b"],
        &["get", "a", "--token", "x"],
        &["get", "a", "--generate"],
        &["get", "a", "--json=x"],
        &["set", "a", "the value"],
        &["set", "a", "--value", "x"],
        &["set", "a", "--rotation", "never"],
        &["set", "a", "--generate=rot13"],
        &["set", "a", "--generate={"],
        &["set", "a", "--generate", "hex"],
        &["set", "a", "--generate", "--exact"],
        &["configure", "a"],
        &["configure", "a", "--rotation-days", "soon"],
        &["configure", "a", "--generator", "rot13"],
        &["configure", "a", "--labels", "env"],
        &["configure", "a", "--create", "--owner", "x"],
        &["list", "a"],
        &["list", "--prefix", "a b"],
        &["versions"],
        &["rotate"],
        &["rotate", "a", "--due"],
        &["delete"],
        &["delete", "a", "b"],
        &["rollback"],
        &["rollback", "a", "b"],
    ] {
        // Nobody listens there: who asked would exit with 1.
        let output = program(&site, arguments).env("JARVIS_SECRETSD_ADDR", "http://127.0.0.1:1").output().unwrap();
        let why = failure(&output, 2);
        assert!(why.starts_with("usage: ") && why.ends_with(" see jarvis-secretsd --help"), "{arguments:?}: {why}");
    }
}

#[test]
fn a_list_is_filtered_by_owner_and_labels_and_shows_them() {
    let asked = ServingDaemon::plain();
    let run = |arguments: &[&str]| printed(asked.local(arguments).output().unwrap());
    let names = |arguments: &[&str]| {
        let table = run(&[&["list"], arguments].concat());
        table.lines().skip(1).map(|row| row.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    for name in ["a", "b", "c"] {
        asked.store(name, "v");
    }
    run(&["configure", "a", "--owner", "Äpfel & Co", "--labels", "env=prod", "--labels", "team=x y,tier=1"]);
    run(&["configure", "b", "--owner", "ops", "--labels", "env=prod"]);
    assert_eq!(names(&["--label", "env=prod"]), "a b");
    assert_eq!(names(&["--label", "env=prod", "--label", "team=x y"]), "a");
    assert_eq!(names(&["--label", "env=prod,tier=1"]), "a");
    assert_eq!(names(&["--label", "env=test"]), "");
    assert_eq!(names(&["--owner", "Äpfel & Co"]), "a");
    assert_eq!(names(&["--owner", "ops", "--label", "tier=1"]), "");
    assert_eq!(names(&["--owner", ""]), "c", "what nobody answers for");
    assert_eq!(json(asked.local(&["list", "--json", "--owner", "ops"]).output().unwrap())["secrets"][0]["name"], "b");

    let long = run(&["list", "--long"]);
    let rows: Vec<_> = long.lines().collect();
    assert!(rows[0].ends_with("  OWNER       LABELS"), "{long}");
    assert!(rows[1].ends_with("  Äpfel & Co  env=prod,team=x y,tier=1"), "{long}");
    assert!(rows[2].ends_with("  ops         env=prod"), "{long}");
    let versions = run(&["versions", "a", "--long"]);
    assert!(versions.starts_with("owner:        Äpfel & Co\nlabels:       env=prod,team=x y,tier=1\n"), "{versions}");
    assert!(versions.contains("\n\nKID "), "{versions}");

    run(&["configure", "a", "--labels", ""]);
    assert_eq!(names(&["--label", "env=prod"]), "b", "an empty list takes all labels away");
    for wrong in [
        &["list", "--label", "env"][..],
        &["list", "--label", "=x"],
        &["configure", "a", "--labels=", "--labels", "a=b"],
    ] {
        failure(&asked.local(wrong).output().unwrap(), 2);
    }
}

#[test]
fn a_checkpoint_is_printed_as_the_log_is_verified_against_it() {
    let asked = ServingDaemon::plain();
    asked.store("a", "v");
    failure(&asked.admin(&["audit", "checkpoint", "--client", "reader"]).output().unwrap(), 4);
    let checkpoint = printed(asked.admin(&["audit", "checkpoint"]).output().unwrap());
    let file = asked.daemon.site.write("checkpoint.json", &checkpoint);
    let config = asked.daemon.site.path("config.toml");
    // By default, it is the log of the configuration.
    let verify = ["audit", "verify", "--config", config.to_str().unwrap(), "--checkpoint", file.to_str().unwrap()];
    let verified = printed(program(&asked.daemon.site, &verify).output().unwrap());
    assert!(verified.contains("chain and signatures hold"), "{verified}");
    let later = serde_json::from_str::<Value>(&checkpoint).unwrap()["seq"].as_u64().unwrap();
    let lines = asked.daemon.site.audit_lines();
    asked.daemon.site.write(crate::site::AUDIT, &(lines[..later as usize - 1].join("\n") + "\n"));
    let cut = failure(&program(&asked.daemon.site, &verify).output().unwrap(), 1);
    assert!(cut.contains("lines were cut off"), "{cut}");
}
