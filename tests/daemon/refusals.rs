//! What the API says no to, and how; and what every answer carries.

use std::collections::BTreeSet;

use crate::client::{Answer, Client};
use crate::running::Daemon;

fn bad_request() -> (u16, String) {
    (400, "bad_request".to_owned())
}

#[test]
fn an_error_is_a_code_and_a_sentence() {
    let daemon = Daemon::start();
    let mut reader = daemon.client("reader");
    let denied = reader.get("/secret/db_root");
    assert_eq!(denied.header("Content-Type"), Some("application/json; charset=utf-8"));
    assert_eq!(denied.body, r#"{"error":"not_authorized","message":"client reader not allowed to access db_root"}"#);
    let missing = reader.get("/secret/db_main");
    assert_eq!(missing.status, 404);
    assert_eq!(missing.body, r#"{"error":"not_found","message":"there is no secret db_main"}"#);
}

#[test]
fn every_answer_carries_the_fixed_headers_and_no_banner() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let kid = admin.store("db_main", "v");
    let answers = [
        ("GET", "/healthz", 200),
        ("GET", "/healthz?live=true", 200),
        ("GET", "/metrics", 200),
        ("GET", "/secrets", 200),
        ("GET", "/secret/db_main", 200),
        ("HEAD", "/secret/db_main", 200),
        ("GET", "/audit/checkpoint", 200),
        ("GET", "/secret/db_other", 404),
        ("GET", "/nowhere", 404),
        ("PUT", "/secret/db_main", 405),
        ("POST", "/secret", 400),
        ("POST", "/rotate", 400),
    ]
    .map(|(method, target, status)| (admin.ask(method, target, &[], ""), status));
    let unchanged = admin.ask("GET", "/secret/db_main", &[("If-None-Match", &kid)], "");
    let broken = admin.ask("GET", "no path", &[], "");
    let nobody = Client::with(&[], daemon.addr()).get("/secrets");
    let denied = daemon.client("idle").get("/secret/db_main");
    let mut ids = BTreeSet::new();
    for (answer, status) in answers.into_iter().chain([(unchanged, 304), (broken, 400), (nobody, 401), (denied, 403)]) {
        let head = &answer.head;
        assert_eq!(answer.status, status, "{head}");
        assert_eq!(answer.header("Cache-Control"), Some("no-store"), "{head}");
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"), "{head}");
        assert!(answer.header("Date").is_some_and(|date| date.ends_with(" GMT")), "{head}");
        assert!(answer.header("Server").is_none() && !head.to_lowercase().contains("rouille"), "{head}");
        let id = answer.header("X-Request-Id").unwrap();
        assert!(ids.insert(id.to_owned()), "{id} stands in two answers");
    }
}

#[test]
fn a_client_cannot_choose_the_request_id() {
    let daemon = Daemon::start();
    let answer = daemon.client("admin").ask("GET", "/secrets", &[("X-Request-Id", "chosen")], "");
    assert_ne!(answer.header("X-Request-Id"), Some("chosen"));
    assert!(!daemon.site.audit_lines().concat().contains("chosen"));
}

#[test]
fn a_path_that_is_not_there_is_not_found() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "v");
    for target in ["/", "/secre", "/secrets/", "/secret/a/b", "/healthz/", "/metrics/x", "/audit", "/rotate/db_main"] {
        for method in ["GET", "POST", "DELETE"] {
            assert_eq!(admin.ask(method, target, &[], "").status, 404, "{method} {target}");
        }
    }
}

#[test]
fn the_answer_to_a_wrong_method_lists_those_of_the_path() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "v");
    let paths = [
        ("/secret/db_main", "GET, HEAD, PATCH, DELETE"),
        ("/secret", "POST"),
        ("/secret/db_main/versions", "GET, HEAD"),
        ("/secret/db_main/consumers", "GET, HEAD"),
        ("/secret/db_main/retire", "POST"),
        ("/secret/db_main/rollback", "POST"),
        ("/secrets", "GET, HEAD, POST"),
        ("/rotate", "POST"),
        ("/audit/checkpoint", "GET, HEAD"),
        ("/healthz", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
    ];
    for (target, allow) in paths {
        let others = ["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "BREW", "get"];
        for method in others.into_iter().filter(|method| !allow.split(", ").any(|allowed| allowed == *method)) {
            let answer = admin.ask(method, target, &[], "");
            assert_eq!(answer.refusal(), (405, "method_not_allowed".to_owned()), "{method} {target}");
            assert_eq!(answer.header("Allow"), Some(allow), "{method} {target}");
        }
    }
    assert_eq!(admin.value("db_main"), "v");
}

#[test]
fn head_is_answered_as_get_without_the_body() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "v");
    let told = |answer: &Answer| {
        let named = ["Content-Length", "Content-Type", "ETag"].map(|name| answer.header(name).map(str::to_owned));
        (answer.status, named)
    };
    // Only answers whose length does not change from one to the next.
    for target in ["/secret/db_main", "/secrets", "/secret/db_other", "/nowhere"] {
        let (get, head) = (admin.get(target), admin.ask("HEAD", target, &[], ""));
        assert_eq!(told(&head), told(&get), "{target}");
        assert!(!get.body.is_empty());
    }
    for target in ["/healthz", "/metrics", "/audit/checkpoint"] {
        assert_eq!(admin.ask("HEAD", target, &[], "").status, 200, "{target}");
    }
    assert_eq!(admin.ask("HEAD", "/secret", &[], "").status, 405);
}

#[test]
fn a_query_parameter_that_is_not_known_is_refused() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let kid = admin.store("db_main", "v");
    for (method, target) in [
        ("GET", "/healthz?verbose=1".to_owned()),
        ("GET", "/healthz?live=1".to_owned()),
        ("GET", "/healthz?live=true&live=true".to_owned()),
        ("GET", "/metrics?x".to_owned()),
        ("GET", "/openapi.json?pretty=1".to_owned()),
        ("GET", "/secrets?name=db_main".to_owned()),
        ("GET", "/secrets?limit=1&limit=2".to_owned()),
        ("GET", "/audit/checkpoint?seq=1".to_owned()),
        ("GET", "/secret/db_main?KID=x".to_owned()),
        ("GET", format!("/secret/db_main?kid={kid}&versoin=2")),
        ("GET", format!("/secret/db_main?kid={kid}&kid={kid}")),
        ("GET", format!("/secret/db_main?%6bid={kid}")),
        ("DELETE", format!("/secret/db_main?kid={kid}")),
        ("POST", "/secret?name=db_main".to_owned()),
        ("POST", "/rotate?names=db_main".to_owned()),
    ] {
        let body = if target.starts_with("/rotate") { r#"{"names":["db_main"]}"# } else { "" };
        assert_eq!(admin.ask(method, &target, &[], body).refusal(), bad_request(), "{method} {target}");
    }
    assert_eq!(admin.get("/secrets?").status, 200, "nothing is asked for");
    assert_eq!(admin.get(&format!("/secret/db_main?kid={kid}")).text("value"), "v", "it is all still there");
}

#[test]
fn a_page_that_cannot_be_meant_is_refused_and_the_answer_says_what_can() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let long = "x".repeat(129);
    for limit in ["", "0", "-1", "+1", "1001", "1.0", "ten", "99999999999999999999"] {
        let answer = admin.get(&format!("/secrets?limit={limit}"));
        assert_eq!(answer.refusal(), bad_request(), "{limit}");
        assert!(answer.body.contains("limit is a number from 1 to 1000"), "{}", answer.body);
    }
    for wrong in ["a%20b", "a/b", "%c3%a9", "*", &long] {
        for parameter in ["after", "prefix"] {
            let answer = admin.get(&format!("/secrets?{parameter}={wrong}"));
            assert_eq!(answer.refusal(), bad_request(), "{parameter}={wrong}");
            assert!(
                answer.body.contains(&format!("{parameter} is at most 128 of A-Z a-z 0-9 _ . -")),
                "{}",
                answer.body
            );
        }
    }
    assert_eq!(admin.get("/secrets?limit=1000&after=&prefix=").status, 200, "from the first, whatever it begins with");
}

#[test]
fn a_body_of_another_form_is_refused_and_changes_nothing() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "before");
    for body in [
        "",
        "db_main=v",
        "null",
        "[]",
        r#""db_main""#,
        r#"["db_main","v",null,null]"#,
        r#"{"name":"db_main"}"#,
        r#"{"value":"v"}"#,
        r#"{"name":"db_main","value":"v","generate":true}"#,
        r#"{"name":"db_main","value":null}"#,
        r#"{"name":"db_main","value":7}"#,
        r#"{"name":"db_main","value":["v"]}"#,
        r#"{"name":["db_main"],"value":"v"}"#,
        r#"{"name":"db_main","value":"v","rotation":"weekly"}"#,
        r#"{"name":"db_main","value":"v","rotatoin":"auto"}"#,
        r#"{"name":"db_main","Value":"v"}"#,
        r#"{"name":"db_main","value":"v","value":"w"}"#,
        r#"{"name":"db_main","value":"v"} {}"#,
        r#"{"name":"db_main","value":"v""#,
        r#"{"name":"db_main","value":"v",}"#,
        r#"{'name':'db_main','value':'v'}"#,
    ] {
        assert_eq!(admin.post("/secret", body).refusal(), bad_request(), "{body}");
    }
    for body in [
        "",
        "{}",
        r#"{"names":"db_main"}"#,
        r#"{"names":null}"#,
        r#"{"names":[1]}"#,
        r#"{"names":["db_main"],"force":true}"#,
        r#"["db_main"]"#,
        r#"[["db_main"]]"#,
    ] {
        assert_eq!(admin.post("/rotate", body).refusal(), bad_request(), "{body}");
    }
    assert_eq!(admin.value("db_main"), "before");
}

#[test]
fn the_message_about_a_malformed_body_says_where_and_what_is_meant() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let message = admin.post("/secret", "{\n  \"name\": \"db_main\",\n  \"valeu\": \"v\"\n}").text("message");
    assert!(message.contains("line 3") && message.contains(r#"{"name":"…","value":"…"}"#), "{message}");
}

#[test]
fn json_may_be_spaced_ordered_and_labelled_as_one_likes() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    for (label, body) in [
        ("application/json", "{ \"value\" : \"v\" ,\r\n\t\"name\" : \"db_main\" }\n"),
        ("application/x-www-form-urlencoded", r#"{"name":"db_main","value":"v"}"#),
    ] {
        let answer = admin.ask("POST", "/secret", &[("Content-Type", label)], body);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}
