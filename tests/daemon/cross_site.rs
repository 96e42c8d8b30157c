//! Requests that a browser sends for a page of another site, with whatever credential it has.

use std::net::SocketAddr;

use jarvis_secretsd::access::Token;

use crate::client::Client;
use crate::running::Daemon;
use crate::site::Site;
use crate::tls;
use crate::tls_client::{Offer, connect};

/// What makes a request one of another site, each by itself.
const SIGNS: [&[(&str, &str)]; 12] = [
    &[("Origin", "https://evil.example")],
    &[("origin", "null")],
    &[("ORIGIN", "")],
    &[("Origin", "http://127.0.0.1:8081")],
    &[("Sec-Fetch-Site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
    &[("Sec-Fetch-Site", "")],
    &[("Sec-Fetch-Site", "SAME-ORIGIN")],
    &[("Sec-Fetch-Site", "none, none")],
    &[("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")],
    &[("Sec-Fetch-Site", "same-origin"), ("Origin", "https://evil.example")],
    &[("Sec-Fetch-Site", "none"), ("Origin", "null"), ("Origin", "null")],
];

const CALLS: [(&str, &str, &str); 11] = [
    ("GET", "/secret/db_main", ""),
    ("HEAD", "/secret/db_main", ""),
    ("GET", "/secrets", ""),
    ("POST", "/secret", r#"{"name":"db_main","value":"evil"}"#),
    ("DELETE", "/secret/db_main", ""),
    ("GET", "/audit/checkpoint", ""),
    ("GET", "/metrics", ""),
    ("GET", "/openapi.json", ""),
    ("OPTIONS", "/secret", ""),
    ("GET", "/%68ealthz", ""),
    ("GET", "/nowhere", ""),
];

fn refused() -> (u16, String) {
    (403, "cross_site".to_owned())
}

/// Asks with a sign of each kind, and makes each call with one of them.
fn try_all(client: &mut Client) {
    for signs in SIGNS {
        assert_eq!(client.ask("GET", "/secrets", signs, "").refusal(), refused(), "{signs:?}");
    }
    for (method, target, body) in CALLS {
        let answer = client.ask(method, target, SIGNS[0], body);
        assert_eq!(answer.status, 403, "{method} {target}");
        if method != "HEAD" {
            assert_eq!(answer.refusal(), refused(), "{method} {target}");
            assert!(!answer.head.to_lowercase().contains("access-control"), "{}", answer.head);
        }
    }
}

fn bearer(client: &str, token: &Token, addr: SocketAddr) -> Client {
    Client::with(&[("X-Jarvis-Client", client), ("Authorization", &format!("Bearer {}", token.expose()))], addr)
}

#[test]
fn a_request_for_a_page_of_another_site_is_refused_whatever_the_credential() {
    let token = Token::generate().unwrap();
    let site = Site::new();
    site.edit("policy.toml", "[clients.keeper]", &format!("[clients.keeper]\ntoken_sha256 = [\"{}\"]", token.hash()));
    let uid = format!("[clients.idle]\nallow = [\"db_*\"]\nunix_uid = [{}]", rustix::process::geteuid().as_raw());
    site.edit("policy.toml", "[clients.idle]", &uid);
    site.edit("config.toml", "[paths]", &format!("unix_socket = {:?}\n[paths]", site.path("sock")));
    let daemon = site.start();
    daemon.client("admin").store("db_main", "v");
    let lines = site.audit_lines().len();
    try_all(&mut daemon.client("admin"));
    try_all(&mut bearer("keeper", &token, daemon.addr()));
    try_all(&mut Client::unix(&[], &site.path("sock")));
    try_all(&mut Client::with(&[], daemon.addr()));
    assert_eq!(site.audit_lines().len(), lines, "no page can fill the audit log");
    assert_eq!(daemon.client("admin").value("db_main"), "v");
}

#[test]
fn a_page_cannot_store_rotate_or_retire_by_the_browsers_certificate() {
    let site = Site::new();
    let _files = tls::secure(&site);
    site.write(
        "policy.toml",
        "[clients.keeper]\nallow = [\"*\"]\nadmin = true\ntls_subject = [\"DNS:keeper.internal\"]\n",
    );
    let daemon = site.start();
    let mut browser =
        Client::secure(&[], connect(daemon.addr(), Offer { certificate: Some("named"), ..Offer::default() }));
    let old = browser.store("db_main", "old");
    browser.store("db_main", "new");
    // It has read the current one, so that only we stand between the page and the older version.
    assert_eq!(browser.value("db_main"), "new");
    crate::consumers::await_past(&mut browser);
    // A form of the type text/plain makes `name=value` of a field, which is JSON if it is called as here.
    let back = format!(r#"{{"kid":"{old}"}}"#);
    let forms = [
        ("/secret", r#"{"name":"db_main","value":"evil","description":"="}"#),
        ("/secrets", r#"{"secrets":[{"name":"db_main","value":"evil","description":"="}]}"#),
        ("/rotate", r#"{"names":["db_main"]}"#),
        ("/secret/db_main/rollback", &back),
        ("/secret/db_main/retire", r#"{"force":true}"#),
        ("/rekey", "{}"),
    ];
    let sent_by_browsers: [&[(&str, &str)]; 3] = [
        &[("Content-Type", "text/plain"), ("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")],
        &[("Content-Type", "text/plain"), ("Origin", "null")],
        &[("Content-Type", "text/plain"), ("Sec-Fetch-Site", "cross-site")],
    ];
    for (target, form) in forms {
        for headers in sent_by_browsers {
            assert_eq!(browser.ask("POST", target, headers, form).refusal(), refused(), "{target} {headers:?}");
        }
    }
    assert_eq!(browser.value("db_main"), "new");
    assert_eq!(browser.get(&format!("/secret/db_main?kid={old}")).text("value"), "old", "it was not retired");
}

#[test]
fn programs_and_addresses_typed_in_a_browser_are_served() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let by_curl = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "*/*")];
    let stored = admin.ask("POST", "/secret", &by_curl, r#"{"name":"db_main","value":"v"}"#);
    assert_eq!(stored.status, 200, "{}", stored.body);
    for site in ["none", "same-origin"] {
        assert_eq!(admin.ask("GET", "/secret/db_main", &[("Sec-Fetch-Site", site)], "").status, 200, "{site}");
    }
    assert_eq!(admin.ask("GET", "/secrets", &[("Sec-Fetch-Mode", "cors")], "").status, 200);
}

#[test]
fn the_health_may_be_read_from_anywhere() {
    let daemon = Daemon::start();
    let mut nobody = Client::with(&[], daemon.addr());
    for signs in SIGNS {
        for target in ["/healthz", "/healthz?"] {
            assert_eq!(nobody.ask("GET", target, signs, "").status, 200, "{signs:?}");
        }
    }
}

#[test]
fn what_pages_send_is_counted_and_shuts_nobody_out() {
    let site = Site::new();
    site.edit("config.toml", "auth_failures_per_minute = 0", "auth_failures_per_minute = 2");
    let daemon = site.start();
    let mut browser = Client::with(&[], daemon.addr());
    for _ in 0..20 {
        assert_eq!(browser.ask("GET", "/secrets", SIGNS[0], "").refusal(), refused());
    }
    assert_eq!(site.audit_lines().len(), 1, "that it has started");
    assert_eq!(browser.get("/secrets").status, 401, "and not 429");
    let page = browser.get("/metrics").body;
    assert!(page.contains("\njarvis_secretsd_cross_site_requests_total 20\n"), "{page}");
    assert!(page.contains("\njarvis_secretsd_authentication_failures_total 1\n"), "{page}");
}
