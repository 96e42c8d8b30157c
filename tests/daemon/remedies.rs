//! A message says what to do instead, and does not repeat what may be a value.

use std::fs;

use crate::client::Client;
use crate::client_program::{ServingDaemon, failure, program, refused};
use crate::running::Daemon;
use crate::site::{MASTER_KEY, Site, said};

/// Why these arguments are wrong usage; nobody is asked anything.
fn usage(arguments: &[&str]) -> String {
    let output = program(&Site::empty(), arguments).output().unwrap();
    failure(&output, 2).strip_prefix("usage: ").unwrap().replace("; see jarvis-secretsd --help", "")
}

const HOW: &str = "the value is never an argument, which others see in ps: give it on standard input (jarvis-secretsd set NAME \
                   <FILE), or type it when it is asked for";

#[test]
fn the_message_about_a_value_as_an_argument_says_where_it_goes_and_does_not_repeat_it() {
    for arguments in [&["set", "x", "hunter2"][..], &["set", "x", "--create", "hunter2"], &["set", "x", "hunter2", "y"]]
    {
        assert_eq!(usage(arguments), format!("set takes NAME; {HOW}"), "{arguments:?}");
    }
    assert_eq!(usage(&["set", "x=hunter2"]), format!("a secret's name has no equals sign; {HOW}"));
    let passphrase = "the passphrase is never an argument, which others see in ps: type it when it is asked for, or give it on \
         standard input";
    assert_eq!(usage(&["key", "export", "hunter2"]), format!("key export takes options only; {passphrase}"));
}

#[test]
fn the_message_about_a_wrong_generator_says_how_and_which_there_are() {
    let types = "base64, hex, password, urlsafe, uuid";
    let how = "set takes NAME; write the form after an equals sign: --generate=";
    for arguments in [["set", "x", "--generate", "password"], ["set", "--generate", "password", "x"]] {
        assert_eq!(usage(&arguments), format!("{how}password"));
    }
    assert_eq!(usage(&["set", "x", "--generate", "hunter2"]), format!("{how}WHAT, which is one of {types}"));
    for (option, arguments) in
        [("--generate", ["set", "x", "--generate=foo"]), ("--generator", ["configure", "x", "--generator=foo"])]
    {
        let expected =
            format!("{option} takes one of {types}, or an object such as {{\"type\":\"password\",\"length\":40}}");
        assert_eq!(usage(&arguments), expected);
    }
}

#[test]
fn the_message_about_a_change_by_a_reader_says_that_it_may_only_read() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let mut reader = daemon.client("reader");
    let changes = |client: &mut Client, name: &str| {
        [
            client.post("/secret", &format!("{{\"name\":\"{name}\",\"value\":\"v\"}}")),
            client.post("/secrets", &format!("{{\"secrets\":[{{\"name\":\"{name}\",\"value\":\"v\"}}]}}")),
            client.post("/rotate", &format!("{{\"names\":[\"{name}\"]}}")),
            client.post(&format!("/secret/{name}/retire"), ""),
            client.ask("PATCH", &format!("/secret/{name}"), &[], "{\"owner\":\"me\"}"),
            client.delete(&format!("/secret/{name}")),
            client.get(&format!("/secret/{name}/consumers")),
        ]
        .map(|answer| (answer.refusal(), answer.text("message")))
    };
    let denied = |message: &str| ((403, "not_authorized".to_owned()), message.to_owned());
    for _whether_it_exists in [false, true] {
        let message = "client reader may read db_main, but not change it";
        assert_eq!(changes(&mut reader, "db_main"), [(); 7].map(|()| denied(message)));
        // A client that may not read it does not learn that.
        let message = "client reader not allowed to access db_root";
        assert_eq!(changes(&mut reader, "db_root"), [(); 7].map(|()| denied(message)));
        admin.store("db_main", "v");
        admin.store("db_root", "v");
    }
}

#[test]
fn the_message_about_a_version_that_is_still_read_says_how_to_retire_it_all_the_same() {
    let asked = ServingDaemon::plain();
    asked.store("db_main", "one");
    Client::unix(&[], &asked.daemon.site.path("sock")).value("db_main");
    asked.store("db_main", "two");
    let retire = asked.local(&["retire", "db_main"]).output().unwrap();
    refused(&retire, "nothing was changed; to do it anyway, send {\"force\":true} (retire --force)");
}

#[test]
fn after_too_many_failures_the_message_says_when_to_try_again() {
    let site = Site::new();
    site.edit("config.toml", "auth_failures_per_minute = 0", "auth_failures_per_minute = 1");
    let daemon = site.start();
    let mut stranger = daemon.client("stranger");
    let throttled =
        [stranger.get("/secrets"), stranger.get("/secrets")].into_iter().find(|answer| answer.status == 429);
    // Where a minute has passed between the two, a third one is too soon behind the second.
    let throttled = throttled.unwrap_or_else(|| stranger.get("/secrets"));
    let seconds = match throttled.header("Retry-After").unwrap() {
        "1" => "1 second".to_owned(),
        seconds => format!("{seconds} seconds"),
    };
    assert_eq!(throttled.text("message"), format!("too many failed authentication attempts; try again in {seconds}"));
}

#[test]
fn an_unknown_path_points_to_the_description_of_all_calls() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    for path in ["/", "/secret", "/v1/secret/data/db_main"] {
        let message = admin.get(path).text("message");
        let expected = match path {
            "/secret" => "this resource allows the methods POST",
            _ => "there is no such path; GET /openapi.json lists the paths",
        };
        assert_eq!(message, expected);
    }
    let described = admin.get("/openapi.json").json();
    assert!(described["paths"]["/secret/{name}"].is_object());
}

#[test]
fn an_audit_log_that_is_not_there_is_said_to_be_missing() {
    let site = Site::empty();
    let (missing, there) = (site.path("none.jsonl"), site.write("a.jsonl", ""));
    let verify = |files: &[&std::path::Path]| {
        let output = program(&site, &["audit", "verify"]).args(files).output().unwrap();
        failure(&output, 1)
    };
    for files in [&[missing.as_path()][..], &[&there, &missing], &[&missing, &there]] {
        assert_eq!(verify(files), format!("{}: is missing", missing.display()));
    }
    let directory = site.path("");
    assert_eq!(verify(&[&directory]), format!("{}: is a directory; name the log in it", directory.display()));
    assert!(verify(&[&there]).contains("there is no public key; name one with --public-key FILE"));
}

#[test]
fn where_there_is_no_master_key_the_commands_that_need_one_say_how_to_name_it() {
    let daemon = Daemon::start();
    let site = daemon.stop();
    let backup = site.path("b.tar");
    let made = site.command("backup").arg("--output").arg(&backup).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    fs::rename(site.path(MASTER_KEY), site.path("key")).unwrap();
    let expected = format!(
        "{}: there is no master key; name a copy of it with --master-key FILE",
        site.path(MASTER_KEY).display()
    );
    for command in ["restore", "backup verify", "backup", "key export"] {
        let mut program = site.command(command);
        if !matches!(command, "backup" | "key export") {
            program.arg(&backup);
        }
        let why = failure(&program.output().unwrap(), 1);
        assert!(why.starts_with(&expected), "{command}: {why}");
    }
    let restored = site.command("restore").arg(&backup).arg("--master-key").arg(site.path("key")).output().unwrap();
    assert!(restored.status.success(), "{}", said(&restored));
}

#[test]
fn where_there_is_no_configuration_it_is_said_where_init_makes_one() {
    let site = Site::empty();
    let config = site.path("config.toml");
    let directory = site.path("");
    let directory = directory.to_str().unwrap().trim_end_matches('/');
    let why = failure(&site.command("check").output().unwrap(), 78);
    assert_eq!(why, format!("{}: does not exist; `jarvis-secretsd init {directory}` makes one", config.display()));
    let made = program(&site, &["init", directory]).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    // Now `init` makes nothing there.
    fs::remove_file(site.path("policy.toml")).unwrap();
    let explained =
        program(&site, &["policy", "explain", "admin", "db", "--policy"]).arg(site.path("policy.toml")).output();
    let why = failure(&explained.unwrap(), 78);
    assert!(
        why.ends_with(
            "does not exist; `jarvis-secretsd init DIR` makes a config.toml and a policy.toml in another DIR"
        ),
        "{why}"
    );
}
