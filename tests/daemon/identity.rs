//! Authentication by the client header, and the host for which a request was meant.

use crate::client::{Answer, Client};
use crate::running::Daemon;
use crate::site::Site;

const CLIENT: &str = "X-Jarvis-Client";

fn ask(daemon: &Daemon, headers: &[(&str, &str)], target: &str) -> Answer {
    Client::with(headers, daemon.addr()).get(target)
}

fn unauthenticated() -> (u16, String) {
    (401, "unauthenticated".to_owned())
}

#[test]
fn every_failed_authentication_gets_the_same_answer() {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "v");
    let long = "n".repeat(129);
    let expected = ask(&daemon, &[], "/secret/db_main");
    assert_eq!(expected.refusal(), unauthenticated());
    for name in
        ["", "stranger", "Admin", "ADMIN", "admin,admin", "admin admin", "admin;", "*", "../admin", "админ", &long]
    {
        for target in ["/secret/db_main", "/secret/db_missing", "/secret/%0a", "/secrets", "/audit/checkpoint"] {
            let answer = ask(&daemon, &[(CLIENT, name)], target);
            assert_eq!(answer.refusal(), unauthenticated(), "{name:?} {target}");
            assert_eq!(answer.body, expected.body, "{name:?} {target}");
        }
    }
}

#[test]
fn unknown_clients_change_nothing() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "before");
    let mut stranger = daemon.client("stranger");
    assert_eq!(stranger.post("/secret", r#"{"name":"db_main","value":"after"}"#).refusal(), unauthenticated());
    assert_eq!(stranger.post("/rotate", r#"{"names":["db_main"]}"#).refusal(), unauthenticated());
    assert_eq!(stranger.delete("/secret/db_main").refusal(), unauthenticated());
    assert_eq!(admin.value("db_main"), "before");
}

#[test]
fn two_client_headers_are_refused_even_if_they_agree() {
    let daemon = Daemon::start();
    for second in ["admin", "reader", ""] {
        let answer = ask(&daemon, &[(CLIENT, "admin"), ("x-jarvis-client", second)], "/secrets");
        assert_eq!(answer.refusal(), (400, "bad_request".to_owned()), "{second:?}");
    }
}

#[test]
fn the_name_of_the_client_header_is_read_in_any_case_and_its_value_trimmed() {
    let daemon = Daemon::start();
    for header in [("x-jarvis-client", "admin"), ("X-JARVIS-CLIENT", "admin"), (CLIENT, " \tadmin \t")] {
        assert_eq!(ask(&daemon, &[header], "/secrets").status, 200, "{header:?}");
    }
}

#[test]
fn a_refusal_does_not_tell_whether_the_secret_exists() {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_root", "v");
    let (mut reader, mut keeper) = (daemon.client("reader"), daemon.client("keeper"));
    let told = |answer: Answer| (answer.status, answer.body.replace("db_none", "db_root"), answer.head.lines().count());
    let expected = (403, r#"{"error":"not_authorized","message":"client reader not allowed to access db_root"}"#);
    // Neither may be read: the one is denied, no rule mentions the other.
    let existing = told(reader.get("/secret/db_root"));
    assert_eq!((existing.0, existing.1.as_str()), expected);
    assert_eq!(told(daemon.client("idle").get("/secret/db_root")), told(daemon.client("idle").get("/secret/db_none")));
    for kid in ["", "?kid=db_root-20010101-000000", "?kid=x"] {
        assert_eq!(reader.get(&format!("/secret/db_root{kid}")).status, 403, "{kid}");
    }
    let denied = |answer: Answer| assert_eq!(answer.refusal(), (403, "not_authorized".to_owned()));
    denied(keeper.delete("/secret/db_root"));
    denied(keeper.post("/secret", r#"{"name":"db_root","value":"w"}"#));
    denied(keeper.post("/rotate", r#"{"names":["db_root"]}"#));
    denied(keeper.post("/rotate", r#"{"names":["db_unknown","db_root"]}"#));
    denied(keeper.ask("DELETE", "/secret/db_root", &[("If-Match", "x")], ""));
    assert_eq!(daemon.client("admin").value("db_root"), "v");
}

#[test]
fn a_request_that_was_meant_for_another_host_is_misdirected() {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "v");
    let port = daemon.addr().port();
    for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", "localhost.evil.example"] {
        for name in ["admin", "stranger"] {
            let answer = ask(&daemon, &[("Host", host), (CLIENT, name)], "/secret/db_main");
            assert_eq!(answer.refusal(), (421, "misdirected".to_owned()), "{host} {name}");
        }
    }
}

#[test]
fn a_request_for_an_address_or_localhost_is_served() {
    let daemon = Daemon::start();
    let port = daemon.addr().port();
    let with_port = ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}"));
    let without = ["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "192.0.2.7"].map(str::to_owned);
    for host in with_port.iter().chain(&without) {
        assert_eq!(ask(&daemon, &[("Host", host), (CLIENT, "admin")], "/secrets").status, 200, "{host}");
    }
}

#[test]
fn a_host_in_the_target_counts_as_the_one_that_was_meant() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    assert_eq!(admin.get("http://evil.example/secrets").refusal(), (421, "misdirected".to_owned()));
    assert_eq!(admin.get("http://localhost/secrets").status, 200);
}

#[test]
fn health_metrics_and_the_description_are_for_anyone() {
    let daemon = Daemon::start();
    for target in ["/healthz", "/metrics", "/openapi.json"] {
        assert_eq!(ask(&daemon, &[], target).status, 200, "{target}");
    }
    assert_eq!(ask(&daemon, &[("Host", "monitor.example")], "/healthz").status, 200);
    assert_eq!(daemon.site.audit_lines().len(), 1, "they leave no audit line");
}

/// What a page may do that has its name lead to 127.0.0.1: it is then of the same origin, and sets what headers it likes.
#[test]
fn a_rebound_page_reads_neither_metrics_nor_the_description() {
    let daemon = Daemon::start();
    let port = daemon.addr().port();
    let rebound = format!("evil.example:{port}");
    for target in ["/metrics", "/openapi.json", "http://evil.example/metrics"] {
        for besides in
            [&[][..], &[(CLIENT, "admin")], &[("Authorization", "Bearer x")], &[("Sec-Fetch-Site", "same-origin")]]
        {
            let headers: Vec<_> = [("Host", rebound.as_str())].into_iter().chain(besides.iter().copied()).collect();
            let answer = ask(&daemon, &headers, target);
            assert_eq!(answer.refusal(), (421, "misdirected".to_owned()), "{target} {besides:?}");
        }
    }
    for host in [&format!("localhost:{port}"), "127.0.0.1", "[::1]:1"] {
        assert_eq!(ask(&daemon, &[("Host", host)], "/metrics").status, 200, "{host}");
    }
    assert_eq!(daemon.site.audit_lines().len(), 1, "nothing of that is written down");
}

#[test]
fn where_the_header_is_trusted_metrics_are_read_under_any_name() {
    let site = Site::new();
    site.edit("config.toml", "[security]\n", "[security]\ntrust_client_header = true\n");
    let daemon = site.start();
    assert_eq!(ask(&daemon, &[("Host", "monitor.example")], "/metrics").status, 200);
}
