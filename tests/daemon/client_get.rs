//! `get`: a value for a script, over every way to a daemon.

use crate::client_program::{ServingDaemon, failure, printed};
use crate::needs;
use crate::site::{BINARY, audit_fields};
use crate::terminal;

#[test]
fn a_value_is_read_over_tcp_tls_and_the_unix_socket_with_each_credential() {
    for (asked, ways) in
        [(ServingDaemon::plain(), &["admin", "local"][..]), (ServingDaemon::secured(), &["admin", "reader", "local"])]
    {
        asked.store("db_main", "pa\u{df} \"word\"");
        for way in ways {
            let arguments = ["get", "db_main"];
            let mut program = match *way {
                "admin" => asked.admin(&arguments),
                "reader" => asked.reader(&arguments),
                _ => asked.local(&arguments),
            };
            let output = program.output().unwrap();
            assert!(output.stderr.is_empty(), "{way}: {output:?}");
            assert_eq!(printed(output), "pa\u{df} \"word\"", "{way}: the value and nothing else");
            let lines = asked.daemon.site.audit(1);
            assert_eq!(audit_fields(lines.last().unwrap())[..3], [Some("get_secret"), Some(way), Some("db_main")]);
        }
    }
}

#[test]
fn an_older_version_is_read_by_its_kid_and_json_is_the_answer_of_the_api() {
    let asked = ServingDaemon::plain();
    let (old, new) = (asked.store("db_main", "one"), asked.store("db_main", "two"));
    let get = |arguments: &[&str]| asked.local(&[&["get", "db_main"], arguments].concat()).output().unwrap();
    assert_eq!(printed(get(&["--kid", &old])), "one");
    assert_eq!(printed(get(&["--kid", &new])), "two");
    let answer: serde_json::Value = serde_json::from_str(&printed(get(&["--json"]))).unwrap();
    assert_eq!((&answer["name"], &answer["value"], &answer["kid"]), (&"db_main".into(), &"two".into(), &new.into()));
    let unknown = get(&["--kid", "db_main-20250101-000000"]);
    assert_eq!(failure(&unknown, 3), "db_main: there is no such version of db_main");
}

#[test]
fn at_a_terminal_the_next_prompt_begins_on_a_line_of_its_own() {
    if !needs::is_installed("script") {
        return;
    }
    let asked = ServingDaemon::plain();
    for value in ["one line", "two\nlines", "two\nlines\n"] {
        asked.store("db_main", value);
        let program = asked.local(&[]);
        let shown = terminal::shown(&program, &format!("{BINARY} get db_main && printf prompt"));
        let lines = value.trim_end().replace('\n', "\r\n");
        assert_eq!(shown, format!("{lines}\r\nprompt"), "{value:?}");
    }
}

#[test]
fn what_the_daemon_refuses_is_printed_in_its_words_and_exits_with_3_or_4() {
    let asked = ServingDaemon::secured();
    let of = |mut program: std::process::Command, status| failure(&program.output().unwrap(), status);
    assert_eq!(of(asked.admin(&["get", "db_none"]), 3), "db_none: there is no secret db_none");
    assert_eq!(of(asked.reader(&["get", "api_key"]), 4), "api_key: client reader not allowed to access api_key");
}

#[test]
fn a_certificate_that_is_not_of_the_ca_is_refused_before_anything_is_sent() {
    let asked = ServingDaemon::secured();
    let lines = asked.daemon.site.audit_lines().len();
    let mut program = asked.admin(&["get", "db_main"]);
    let foreign = crate::tls_client::data("foreign.pem");
    let why = failure(&program.env("JARVIS_SECRETSD_CA", foreign).output().unwrap(), 5);
    assert!(why.starts_with(&format!("{}: invalid peer certificate", asked.addr())), "{why}");
    assert!(why.contains("JARVIS_SECRETSD_CA or `ca_path`"), "{why}");
    let elsewhere = format!("https://0.0.0.0:{}", asked.daemon.addr().port());
    let unnamed = asked.admin(&["get", "db_main", "--addr", &elsewhere]).output().unwrap();
    assert!(failure(&unnamed, 5).contains("certificate not valid for name"), "{unnamed:?}");
    assert_eq!(asked.daemon.site.audit_lines().len(), lines, "no request came");
}

#[test]
fn an_unreachable_daemon_is_reported_with_what_to_do() {
    let asked = ServingDaemon::plain();
    let addr = asked.addr();
    let mut tcp = asked.admin(&["get", "db_main"]);
    let mut unix = asked.local(&["get", "db_main"]);
    let _site = asked.daemon.stop();
    for program in [&mut tcp, &mut unix] {
        let why = failure(&program.output().unwrap(), 5);
        assert!(why.contains("no daemon listens there; start it, or name its address with --addr"), "{why}");
    }
    assert!(failure(&tcp.output().unwrap(), 5).starts_with(&format!("{addr}: ")));
}

#[test]
fn mistaking_tls_for_plain_http_or_the_other_way_round_is_reported() {
    for (asked, wrong, status, told) in [
        (ServingDaemon::plain(), "https", 5, "if the daemon does not use TLS, the address must begin with http://"),
        (ServingDaemon::secured(), "http", 1, "db_main: this port speaks TLS; use https://"),
    ] {
        let addr = format!("{wrong}://localhost:{}", asked.daemon.addr().port());
        let why = failure(&asked.admin(&["get", "db_main", "--addr", &addr]).output().unwrap(), status);
        assert!(why.ends_with(told), "{why}");
    }
}
