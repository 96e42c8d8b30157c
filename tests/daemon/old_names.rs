//! Names that a path or a command line would take for something else: no new secret gets one, and those that have one from an
//! earlier build are still of use.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::json;

use crate::client::Client;
use crate::client_program::{failure, fed, printed, program};
use crate::running::Daemon;
use crate::site::{MASTER_KEY, Site, VAULT};

/// The vault of an earlier build under the master key of 32 times the byte 7, with the secrets `-old`, `.` and `..`, whose
/// value is `v`.
const OLD: &str = include_str!("old-names.json");

const NAMES: [&str; 3] = ["-old", ".", ".."];

const WHY: &str =
    "a new secret may not be named . or .., which are directories, and its name may not begin with -, like an option";

/// A daemon with that vault.
fn with_old_names() -> Daemon {
    let site = Site::new();
    let directory = site.path(VAULT).parent().unwrap().to_owned();
    fs::create_dir_all(&directory).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
    site.write(VAULT, OLD);
    fs::write(site.path(MASTER_KEY), [7; 32]).unwrap();
    fs::set_permissions(site.path(MASTER_KEY), Permissions::from_mode(0o600)).unwrap();
    let mut accepting = site.command("serve");
    accepting.arg("--accept-rollback");
    site.started(accepting)
}

#[test]
fn no_new_secret_gets_a_name_that_would_be_taken_for_a_directory_or_an_option() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    for name in ["-", "-x", "--help", ".", ".."] {
        for body in [json!({ "name": name, "value": "v" }), json!({ "name": name, "generate": true })] {
            let refused = admin.post("/secret", &body.to_string());
            assert_eq!(refused.refusal(), (400, "bad_request".to_owned()), "{name}");
            let expected = format!("there is no secret {name}, and {WHY}; nothing was changed");
            assert_eq!(refused.text("message"), expected);
        }
        let all = json!({ "secrets": [{ "name": "db_new", "value": "v" }, { "name": name, "value": "v" }] });
        assert_eq!(admin.post("/secrets", &all.to_string()).status, 400, "{name}");
    }
    assert_eq!(admin.get("/secrets").json(), json!({ "secrets": [] }));
    let denied = daemon.client("keeper").post("/secret", r#"{"name":"-x","value":"v"}"#);
    assert_eq!(denied.status, 403, "a client that may not learns no more than that");
}

#[test]
fn secrets_that_have_such_a_name_are_read_replaced_rotated_and_deleted_as_others_are() {
    let daemon = with_old_names();
    let mut admin = daemon.client("admin");
    let listed = admin.get("/secrets").json();
    let listed: Vec<_> =
        listed["secrets"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(listed, NAMES);
    for name in NAMES {
        assert_eq!(admin.value(name), "v");
        let kid = admin.store(name, "another");
        assert_eq!(admin.value(name), "another");
        assert_eq!(admin.post("/rotate", &json!({ "names": [name] }).to_string()).status, 200);
        let back = admin.post(&format!("/secret/{name}/rollback"), &json!({ "kid": kid }).to_string());
        assert_eq!((back.status, admin.value(name).as_str()), (200, "another"));
        assert_eq!(admin.delete(&format!("/secret/{name}")).status, 200);
        let gone = admin.post("/secret", &json!({ "name": name, "value": "v" }).to_string());
        assert_eq!(gone.status, 400, "it is a new one then");
    }
}

/// A command of the program against this daemon, as its administrator.
fn asked(daemon: &Daemon, arguments: &[&str]) -> Command {
    let mut command = program(&daemon.site, arguments);
    command.env("JARVIS_SECRETSD_ADDR", format!("http://{}", daemon.addr())).env("JARVIS_SECRETSD_CLIENT", "admin");
    command
}

#[test]
fn on_the_command_line_they_stand_behind_two_hyphens() {
    let daemon = with_old_names();
    let run = |arguments: &[&str]| -> Output { asked(&daemon, arguments).output().unwrap() };
    assert_eq!(printed(run(&["get", "--", "-old"])), "v");
    let set = printed(fed(asked(&daemon, &["set", "--", "-old"]), b"another"));
    assert!(set.starts_with("-old: made -old-2"), "{set}");
    let rotated = printed(run(&["rotate", "--force", "--", "-old", "."]));
    assert!(rotated.ends_with("to go back: jarvis-secretsd rollback NAME\n"), "{rotated}");
    let rotated = printed(run(&["rotate", "--", "-old"]));
    assert!(rotated.ends_with("to go back: jarvis-secretsd rollback -- -old\n"), "{rotated}");
    let back = printed(run(&["rollback", "--", "-old"]));
    let (_, command) = back.trim_end().rsplit_once("jarvis-secretsd ").unwrap();
    printed(run(&command.split(' ').collect::<Vec<_>>()));
    printed(run(&["delete", "--force", "--", "-old"]));
    assert_eq!(
        failure(&fed(asked(&daemon, &["set", "--", "-old"]), b"v"), 1),
        format!("-old: there is no secret -old, and {WHY}; nothing was changed")
    );
}

#[test]
fn an_import_names_each_line_whose_key_would_be_such_a_name() {
    let daemon = with_old_names();
    let file = daemon.site.write("values.env", "A=1\nOLD=2\n");
    let file = file.to_str().unwrap();
    let mistake = |place: &str, name: &str| format!("{file}:{place}: the secret would be called {name}: {WHY}");
    let mistakes =
        [mistake("1:1", "-a"), mistake("2:1", "-old"), format!("{file}: has 2 mistakes; nothing was imported")];
    for dry_run in [&["--dry-run"][..], &[]] {
        let import = [&["import", "--prefix=-", file], dry_run].concat();
        let refused = asked(&daemon, &import).output().unwrap();
        assert_eq!(refused.status.code(), Some(1));
        assert_eq!(
            refused.stderr,
            mistakes.each_ref().map(|line| format!("jarvis-secretsd: {line}\n")).concat().as_bytes()
        );
    }
    let replace = asked(&daemon, &["import", "--prefix=-", "--replace", file]).output().unwrap();
    assert!(failure(&replace, 1).contains("there is no secret -a, and"), "which is the daemon's message");
    daemon.site.write("values.env", "OLD=2\n");
    printed(asked(&daemon, &["import", "--prefix=-", "--replace", file]).output().unwrap());
    assert_eq!(Client::named("admin", daemon.addr()).value("-old"), "2");
}
