//! `exec`: a program that is given secrets in its environment.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::client_program::{ServingDaemon, failure, printed};
use crate::site::audit_fields;

fn exec(asked: &ServingDaemon, secrets: &str, program: &[&str]) -> Command {
    asked.local(&[&["exec", "--secrets", secrets, "--"], program].concat())
}

#[test]
fn a_program_gets_each_secret_in_its_variable_and_its_arguments_as_they_are() {
    let asked = ServingDaemon::plain();
    asked.store("postgres_password", "two\nlines $HOME 'ß'\n");
    asked.store("api.key-2", "k");
    let script = "printf '%s|' \"$PGPASSWORD\" \"$API_KEY_2\" \"$@\"";
    let arguments = ["sh", "-c", script, "sh", "--secrets", "-h", "--", "a b", ""];
    let output = exec(&asked, "postgres_password=PGPASSWORD,api.key-2", &arguments).output().unwrap();
    assert_eq!(printed(output), "two\nlines $HOME 'ß'\n|k|--secrets|-h|--|a b||");
    let lines = asked.daemon.site.audit(1);
    let read: Vec<_> = lines.iter().map(audit_fields).filter(|line| line[0] == Some("get_secret")).collect();
    assert_eq!(read.len(), 2, "each was read once: {read:?}");
}

#[test]
fn it_is_the_same_process_with_the_rest_of_its_environment_and_its_exit_status() {
    let asked = ServingDaemon::plain();
    asked.store("key", "value");
    let mut program = exec(&asked, "key", &["sh", "-c", "echo $$ $KEY $OTHER; exit 42"]);
    let child = program.env("OTHER", "kept").stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{pid} value kept\n"));
    assert_eq!(output.status.code(), Some(42));
}

#[test]
fn the_token_that_fetches_them_does_not_go_on_to_the_program() {
    let asked = ServingDaemon::plain();
    asked.store("key", "value");
    let mut program = asked.admin(&["exec", "--secrets", "key", "--", "env"]);
    let environment = printed(program.output().unwrap());
    assert!(environment.contains("KEY=value\n") && environment.contains("JARVIS_SECRETSD_CLIENT=admin\n"));
    assert!(!environment.contains(&asked.token) && !environment.contains("JARVIS_SECRETSD_TOKEN"), "{environment}");

    let file = asked.daemon.site.write("token", &asked.token);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    program.env_remove("JARVIS_SECRETSD_TOKEN").env("JARVIS_SECRETSD_TOKEN_FILE", file);
    let environment = printed(program.output().unwrap());
    assert!(environment.contains("KEY=value\n") && !environment.contains("JARVIS_SECRETSD_TOKEN"), "{environment}");
}

#[test]
fn if_one_secret_cannot_be_had_nothing_is_run() {
    let asked = ServingDaemon::plain();
    asked.store("key", "value");
    asked.store("nul", "a\0b");
    let ran = asked.daemon.site.path("ran");
    for (secrets, status, why) in [
        ("key,none", 3, "none: there is no secret none"),
        ("key,nul", 1, "nul: has a NUL byte, which the environment cannot hold"),
    ] {
        let output = exec(&asked, secrets, &["touch", ran.to_str().unwrap()]).output().unwrap();
        assert_eq!(failure(&output, status), why);
    }
    assert!(!ran.exists());
    let output = exec(&asked, "key", &["touch", ran.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success() && ran.exists(), "{output:?}");
}

#[test]
fn a_program_that_is_not_there_or_cannot_be_run_is_127_or_126_as_in_a_shell() {
    let asked = ServingDaemon::plain();
    asked.store("key", "value");
    let plain = asked.daemon.site.write("plain", "");
    let plain = plain.to_str().unwrap();
    for (program, status) in [("no-such-program", 127), ("/no/such/program", 127), (plain, 126), ("/", 126)] {
        let why = failure(&exec(&asked, "key", &[program]).output().unwrap(), status);
        assert!(why.starts_with(&format!("{program}: ")), "{why}");
    }
}

#[test]
fn what_would_be_read_in_two_ways_is_wrong_usage() {
    let asked = ServingDaemon::plain();
    for arguments in [
        &["exec", "--", "true"][..],
        &["exec", "--secrets", "key"],
        &["exec", "--secrets", "key", "--"],
        &["exec", "--secrets", "key", "true"],
        &["exec", "--secrets", "key", "true", "--", "x"],
        &["exec", "--secrets", "a=B C", "--", "true"],
        &["exec", "--secrets", "a=X,b=X", "--", "true"],
        &["exec", "--secrets", "1password", "--", "true"],
        &["exec", "--secrets", "key", "--json", "--", "true"],
    ] {
        let why = failure(&asked.local(arguments).output().unwrap(), 2);
        assert!(why.starts_with("usage: "), "{arguments:?}: {why}");
    }
}

#[test]
fn a_prefix_stands_for_all_secrets_under_it_that_the_client_may_read() {
    let asked = ServingDaemon::secured();
    for (name, value) in [("db_main.user", "u"), ("db_pass", "p"), ("api_key", "k"), ("db", "no")] {
        asked.store(name, value);
    }
    let environment = |arguments: &[&str]| {
        let arguments = [&["exec"], arguments, &["--", "env"]].concat();
        let environment = printed(asked.reader(&arguments).output().unwrap());
        let mut lines: Vec<_> = environment.lines().map(str::to_owned).collect();
        lines.retain(|line| !["HOME=", "JARVIS_"].iter().any(|other| line.starts_with(other)));
        lines.sort();
        lines
    };
    assert_eq!(environment(&["--prefix", "db_"]), ["MAIN_USER=u", "PASS=p"]);
    // One that is named has the variable that it is named for, and no other.
    assert_eq!(environment(&["--prefix", "db_", "--secrets", "db_pass=PGPASSWORD"]), ["MAIN_USER=u", "PGPASSWORD=p"]);
    assert_eq!(environment(&["--prefix", ""]), ["DB_MAIN_USER=u", "DB_PASS=p"], "what it may not read is passed over");
    let twice = environment(&["--secrets", "db_pass=A", "--secrets", "db_main.user"]);
    assert_eq!(twice, ["A=p", "DB_MAIN_USER=u"]);
}

#[test]
fn a_secret_under_a_prefix_that_makes_no_variable_or_one_twice_lets_nothing_run() {
    let asked = ServingDaemon::plain();
    let ran = asked.daemon.site.path("ran");
    let run = |arguments: &[&str], status| {
        let arguments = [&["exec"], arguments, &["--", "touch", ran.to_str().unwrap()]].concat();
        failure(&asked.local(&arguments).output().unwrap(), status)
    };
    let none = "this client may read no secret whose name begins with that";
    assert_eq!(run(&["--prefix", "shop_"], 3), format!("--prefix shop_: {none}"));
    for (name, prefix, why) in [
        ("a_", "a_", "a_: \"\" cannot be a variable's name; add --secrets a_=VARIABLE"),
        ("b_1", "b_", "b_1: \"1\" cannot be a variable's name; add --secrets b_1=VARIABLE"),
    ] {
        asked.store(name, "v");
        assert_eq!(run(&["--prefix", prefix], 1), why);
    }
    asked.store("c_x.y", "v");
    asked.store("c_X_Y", "v");
    let why = "c_x.y: would be in the variable X_Y, as is c_X_Y; add --secrets c_x.y=ANOTHER_VARIABLE";
    assert_eq!(run(&["--prefix", "c_"], 1), why);
    run(&["--prefix", "a b"], 2);
    assert!(!ran.exists());
}
