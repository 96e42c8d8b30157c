//! `import`: the values of a dotenv file become secrets, all or none.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::client::Client;
use crate::client_program::{ServingDaemon, failure, printed};

const FILE: &str = "# the database\nexport POSTGRES_PASSWORD=\"hunter2 \\$\"\nAPI.Key: 'it\\'s'\nEMPTY=\n";

fn import(asked: &ServingDaemon, arguments: &[&str]) -> Output {
    let path = asked.daemon.site.path(".env");
    command(asked, path.to_str().unwrap(), arguments).output().unwrap()
}

fn command(asked: &ServingDaemon, file: &str, arguments: &[&str]) -> Command {
    asked.local(&[&["import", file], arguments].concat())
}

fn client(asked: &ServingDaemon) -> Client {
    Client::unix(&[], &asked.daemon.site.path("sock"))
}

fn names(asked: &ServingDaemon) -> Vec<String> {
    let list = client(asked).get("/secrets").json();
    list["secrets"].as_array().unwrap().iter().map(|secret| secret["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn keys_in_lower_case_become_secrets_and_empty_values_are_passed_over_with_a_word() {
    let asked = ServingDaemon::plain();
    let file = asked.daemon.site.write(".env", FILE);
    let told = printed(import(&asked, &[]));
    let expected = format!(
        "imported: api.key\nimported: postgres_password\nskipped because its value is empty: empty\nimported in all: \
         2\n{} still holds them in the clear: delete it once nothing reads it any more\n",
        file.display()
    );
    assert_eq!(told, expected);
    assert_eq!(names(&asked), ["api.key", "postgres_password"]);
    assert_eq!(client(&asked).value("postgres_password"), "hunter2 $");
    assert_eq!(client(&asked).value("api.key"), "it's");
}

#[test]
fn a_prefix_stands_before_every_name_and_the_file_may_come_from_standard_input() {
    let asked = ServingDaemon::plain();
    let mut program = command(&asked, "-", &["--prefix", "Shop_"]);
    let mut run = || {
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"A=1\nB=$A$FROM_OUTSIDE").unwrap();
        program.env("FROM_OUTSIDE", "2");
        child.wait_with_output().unwrap()
    };
    let why = failure(&run(), 1);
    assert!(why.starts_with("standard input:2:5: this variable is not set"), "{why}");
    let told = printed(run());
    assert_eq!(told, "imported: Shop_a\nimported: Shop_b\nimported in all: 2\n", "there is no file to be deleted");
    assert_eq!(client(&asked).value("Shop_b"), "12");
}

#[test]
fn without_replace_one_name_that_exists_means_that_nothing_is_imported() {
    let asked = ServingDaemon::plain();
    asked.daemon.site.write(".env", "A=new\nB=new\nC=new\n");
    let (a, b) = (asked.store("a", "old"), asked.store("b", "old"));
    let why = failure(&import(&asked, &[]), 1);
    assert_eq!(why, "nothing was imported: these exist already: a, b; --replace adds versions to them");
    assert_eq!((names(&asked), client(&asked).value("a")), (vec!["a".into(), "b".into()], "old".into()));

    printed(import(&asked, &["--replace"]));
    for name in ["a", "b", "c"] {
        assert_eq!(client(&asked).value(name), "new");
    }
    for (name, kid) in [("a", a), ("b", b)] {
        assert_eq!(client(&asked).get(&format!("/secret/{name}?kid={kid}")).text("value"), "old");
    }
}

#[test]
fn a_dry_run_shows_names_and_which_exist_and_changes_nothing() {
    let asked = ServingDaemon::plain();
    let file = asked.daemon.site.write(".env", "A=hunter1\nB=hunter2\nC=\n");
    asked.store("a", "old");
    let told = printed(import(&asked, &["--dry-run"]));
    let names_told = "exists: a\nnew: b\nskipped because its value is empty: c\n";
    let outcome = "to import: 2, of which exist: 1; without --replace, nothing would be imported unless these have the same \
                   values\n";
    assert_eq!(told, format!("{names_told}{outcome}"));
    let told = printed(import(&asked, &["--dry-run", "--replace"]));
    assert!(told.ends_with("of which exist: 1; those with the same value would not change\n"), "{told}");
    assert_eq!((names(&asked), client(&asked).value("a")), (vec!["a".into()], "old".into()));
    assert!(file.exists());
}

#[test]
fn a_file_with_a_mistake_is_refused_with_its_place_before_any_request() {
    let asked = ServingDaemon::plain();
    let site = &asked.daemon.site;
    let lines = site.audit_lines().len();
    let long = format!("A=1\n{}=hunter2\n", "b".repeat(128));
    for (text, why) in [
        ("A=hunter2\nB='hunter2\n", ":2:3: this quote is never closed"),
        (
            "A=hunter2\nexport B=$hunter2\n",
            ":2:10: this variable is not set; write $$ for a dollar sign, or ${NAME-} if it may be missing",
        ),
        ("A=1\nb=2\na=3\n", ":3:1: a becomes x.a, as does line 1"),
        ("A=1\nA=1\n", ":2:1: A becomes x.a, as does line 1"),
        (&long, ":2:1: the name would be longer than 128 characters"),
        ("A=\n", ": holds no value that could be imported"),
        ("# nothing\n", ": holds no value that could be imported"),
    ] {
        let file = site.write(".env", text);
        assert_eq!(failure(&import(&asked, &["--prefix", "x."]), 1), format!("{}{why}", file.display()));
    }
    for prefix in ["a b", "ä"] {
        failure(&import(&asked, &["--prefix", prefix]), 2);
    }
    fs::remove_file(site.path(".env")).unwrap();
    assert!(failure(&import(&asked, &[]), 1).starts_with(&format!("{}: ", site.path(".env").display())));
    assert_eq!(site.audit_lines().len(), lines, "the daemon was not asked");
}

#[test]
fn who_may_not_change_one_of_the_names_imports_none() {
    let asked = ServingDaemon::secured();
    let file = asked.daemon.site.write(".env", "DB_MAIN=1\n");
    let why = failure(&asked.reader(&["import", file.to_str().unwrap()]).output().unwrap(), 4);
    assert_eq!(why, "nothing was imported: client reader may read db_main, but not change it");
    assert!(names(&asked).is_empty());
}

#[test]
fn no_value_is_printed_or_logged() {
    let asked = ServingDaemon::plain();
    asked.daemon.site.write(".env", "A=hunter2\nB=\"hunter2\\n\"\n");
    for arguments in [&["--dry-run"][..], &[], &[], &["--replace"], &["--dry-run"]] {
        let Output { stdout, stderr, .. } = import(&asked, arguments);
        for text in [stdout, stderr] {
            assert!(!String::from_utf8(text).unwrap().contains("hunter2"));
        }
    }
    let lines: Vec<Value> = asked.daemon.site.audit(1);
    assert!(lines.iter().any(|line| line["secret_name"] == "b"));
    assert!(!lines.iter().any(|line| line.to_string().contains("hunter2")));
    assert!(!asked.daemon.site.read("log").contains("hunter2"));
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once_each_with_its_place() {
    let asked = ServingDaemon::plain();
    let lines = asked.daemon.site.audit_lines().len();
    let text = "GOOD=1\nA=$UNSET_1\ngood=2\nB C=3\nD=\"x\" y\n";
    let file = asked.daemon.site.write(".env", text);
    let output = import(&asked, &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let said: Vec<_> = said.lines().collect();
    let starts = [
        ":2:3: this variable is not set",
        ":3:1: good becomes good, as does line 1",
        ":4:3: a name must not have white space",
        ":5:7: behind the closing quote",
        ": has 4 mistakes; nothing was imported",
    ];
    assert_eq!(said.len(), starts.len(), "{said:#?}");
    for (line, start) in said.iter().zip(starts) {
        assert!(line.starts_with(&format!("jarvis-secretsd: {}{start}", file.display())), "{line}");
    }
    assert_eq!(asked.daemon.site.audit_lines().len(), lines, "the daemon was not asked");
}

#[test]
fn only_the_keys_that_are_named_are_imported_and_each_must_be_there() {
    let asked = ServingDaemon::plain();
    let file = asked.daemon.site.write(".env", "PORT=8080\nAPI_KEY=k\nport=1\nDb.Pass=p\nREST=r\n");
    let told = printed(import(&asked, &["--only", "API_KEY,Db.Pass", "--only", "REST"]));
    assert!(told.starts_with("imported: api_key\nimported: db.pass\nimported: rest\nimported in all: 3\n"), "{told}");
    assert_eq!(names(&asked), ["api_key", "db.pass", "rest"]);
    failure(&import(&asked, &["--only", "REST,"]), 2);
    let why = failure(&import(&asked, &["--only", "REST,api_key"]), 1);
    assert_eq!(why, format!("{}: has no api_key, which --only names", file.display()));
}

#[test]
fn a_value_that_is_the_current_one_makes_no_version_and_nobody_a_consumer() {
    let asked = ServingDaemon::plain();
    asked.daemon.site.write(".env", "A=1\nB=2\n");
    printed(import(&asked, &[]));
    let (a, b) = (asked.kid("a"), asked.kid("b"));
    // Not even --replace is needed.
    let told = printed(import(&asked, &[]));
    assert!(told.starts_with("unchanged: a\nunchanged: b\nimported in all: 0\n"), "{told}");
    asked.daemon.site.write(".env", "A=1\nB=3\nC=4\n");
    failure(&import(&asked, &[]), 1);
    let told = printed(import(&asked, &["--replace"]));
    assert!(told.starts_with("unchanged: a\nimported: b\nimported: c\nimported in all: 2\n"), "{told}");
    assert_eq!(asked.kid("a"), a);
    assert_ne!(asked.kid("b"), b);
    let read = asked.daemon.site.audit(1).into_iter().filter(|line| line["event"] == "get_secret").count();
    assert_eq!(read, 4, "only this test has read any");
}

#[test]
fn where_no_dollar_sign_is_special_a_password_is_what_stands_there() {
    let asked = ServingDaemon::plain();
    asked.daemon.site.write(".env", "A=pa$word\nB=\"$$x${\"\n");
    assert_eq!(import(&asked, &[]).status.code(), Some(1));
    printed(import(&asked, &["--raw"]));
    assert_eq!((client(&asked).value("a"), client(&asked).value("b")), ("pa$word".into(), "$$x${".into()));
}
