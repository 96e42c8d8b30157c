//! How a client command has failed, for a script: its exit status, and errors in JSON.

use std::process::Command;

use serde_json::{Value, json};

use crate::client_program::{ServingDaemon, failure, fed};
use crate::site::said;

/// Its one line of failure, which is JSON.
fn error(mut program: Command, status: i32) -> Value {
    let output = program.output().unwrap();
    assert!(output.status.code() == Some(status) && output.stdout.is_empty(), "{}", said(&output));
    serde_json::from_slice(&output.stderr).unwrap_or_else(|why| panic!("{why}: {}", said(&output)))
}

#[test]
fn a_script_can_tell_what_is_not_there_from_what_is_not_permitted_and_from_a_daemon_that_is_not_there() {
    let asked = ServingDaemon::secured();
    asked.store("api_key", "v");
    for command in [&["get"][..], &["versions"], &["consumers"], &["retire"], &["delete", "--force"], &["rotate"]] {
        failure(&asked.admin(&[command, &["db_none"]].concat()).output().unwrap(), 3);
        failure(&asked.reader(&[command, &["api_key"]].concat()).output().unwrap(), 4);
    }
    failure(&asked.admin(&["configure", "db_none", "--owner", "x"]).output().unwrap(), 3);
    let stranger = asked.admin(&["list", "--client", "stranger"]).output().unwrap();
    failure(&stranger, 4);
    let nowhere = |arguments: &[&str]| {
        failure(&asked.admin(arguments).args(["--addr", "http://127.0.0.1:1"]).output().unwrap(), 5)
    };
    nowhere(&["get", "db_main"]);
    nowhere(&["list"]);
    nowhere(&["set", "db_main", "--generate"]);
    // A name that has no address, too.
    failure(&asked.admin(&["list", "--addr", "http://none.invalid:1"]).output().unwrap(), 5);
}

#[test]
fn before_a_program_is_run_its_wrapper_fails_as_every_client_command() {
    let asked = ServingDaemon::plain();
    let exec = |arguments: &[&str]| asked.local(&[&["exec"], arguments, &["--", "true"]].concat());
    failure(&exec(&["--secrets", "none"]).output().unwrap(), 3);
    let mut stranger = exec(&["--secrets", "none", "--client", "stranger"]);
    failure(&stranger.output().unwrap(), 4);
    failure(&exec(&["--secrets", "none", "--addr", "http://127.0.0.1:1"]).output().unwrap(), 5);
}

#[test]
fn with_json_an_error_has_the_code_of_the_api_and_what_would_be_said() {
    let asked = ServingDaemon::secured();
    asked.store("api_key", "v");
    let unknown = json!({ "error": "not_found", "message": "db_none: there is no secret db_none" });
    assert_eq!(error(asked.admin(&["get", "db_none", "--json"]), 3), unknown);
    assert_eq!(error(asked.admin(&["--json", "get", "db_none"]), 3), unknown);
    let denied = error(asked.reader(&["get", "api_key", "--json"]), 4);
    assert_eq!(denied["error"], "not_authorized");
    let stranger = error(asked.admin(&["list", "--json", "--client", "stranger"]), 4);
    assert_eq!(stranger["error"], "unauthenticated");
    assert!(stranger["message"].as_str().unwrap().contains("the client's name stranger (--client)"), "{stranger}");

    // What else the answer says comes with it.
    asked.store("db_main", "one");
    let reader = asked.reader(&["get", "db_main"]).output().unwrap();
    assert!(reader.status.success());
    asked.store("db_main", "two");
    let behind = error(asked.admin(&["retire", "db_main", "--json"]), 1);
    assert_eq!((&behind["error"], &behind["consumers"][0]["client"]), (&"consumers_behind".into(), &"reader".into()));
}

#[test]
fn with_json_a_failure_without_an_answer_has_a_code_of_its_own() {
    let asked = ServingDaemon::plain();
    for (arguments, status, code) in [
        (&["get", "a", "--json", "--addr", "http://127.0.0.1:1"][..], 5, "unreachable"),
        (&["get", "a b", "--json"], 2, "usage"),
        (&["get", "a", "--json", "--unknown"], 2, "usage"),
        (&["get", "a", "--json", "--client-config", "/nowhere"], 78, "configuration"),
    ] {
        let error = error(asked.admin(arguments), status);
        assert_eq!(error["error"], code, "{error}");
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
    let exists = fed(asked.local(&["set", "a", "--create", "--json"]), b"v");
    assert!(exists.status.success());
    let exists = fed(asked.local(&["set", "a", "--create", "--json"]), b"v");
    let error: Value = serde_json::from_slice(&exists.stderr).unwrap();
    assert_eq!((exists.status.code(), &error["error"]), (Some(1), &"precondition_failed".into()));
}
