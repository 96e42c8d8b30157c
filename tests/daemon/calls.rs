//! The calls of the API, one by one: who may make them, and what exactly they answer.
//!
//! `picture()` of an answer has a 9 for every digit: a kid is then `db_main-99999999-999999`.

use crate::client::{Answer, Client};
use crate::consumers::await_past;
use crate::running::Daemon;

/// What the API shows of a version of `db_main`.
const METADATA: &str = concat!(
    r#""name":"db_main","kid":"db_main-99999999-999999","created_at":"9999-99-99T99:99:99.999999999Z","#,
    r#""expires_at":"9999-99-99T99:99:99.999999999Z","rotation":"manual""#,
);

#[test]
fn who_may_make_which_call() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let clients = [None, Some("stranger"), Some("idle"), Some("reader"), Some("keeper"), Some("admin")];
    // A status for each of the clients above.
    let calls = [
        ("GET", "/healthz", "", [200, 200, 200, 200, 200, 200]),
        ("GET", "/metrics", "", [200, 200, 200, 200, 200, 200]),
        ("POST", "/secret", r#"{"name":"db_main","value":"v"}"#, [401, 401, 403, 403, 200, 200]),
        ("POST", "/secret", r#"{"name":"db_root","value":"v"}"#, [401, 401, 403, 403, 403, 200]),
        ("POST", "/secret", r#"{"name":"api_key","generate":true}"#, [401, 401, 403, 403, 403, 200]),
        ("GET", "/secret/db_main", "", [401, 401, 403, 200, 200, 200]),
        ("GET", "/secret/db_root", "", [401, 401, 403, 403, 403, 200]),
        ("GET", "/secret/api_key", "", [401, 401, 403, 200, 403, 200]),
        ("DELETE", "/secret/db_main", "", [401, 401, 403, 403, 200, 200]),
        ("DELETE", "/secret/api_key", "", [401, 401, 403, 403, 403, 200]),
        ("GET", "/secrets", "", [401, 401, 200, 200, 200, 200]),
        ("POST", "/rotate", r#"{"names":["db_main"]}"#, [401, 401, 403, 403, 200, 200]),
        ("POST", "/rotate", r#"{"names":["db_main","api_key"]}"#, [401, 401, 403, 403, 403, 200]),
        ("POST", "/rotate", r#"{"names":[]}"#, [401, 401, 403, 403, 200, 200]),
        ("GET", "/audit/checkpoint", "", [401, 401, 403, 403, 200, 200]),
    ];
    for (method, target, body, statuses) in calls {
        for (name, status) in clients.iter().zip(statuses) {
            for secret in ["db_main", "db_root", "api_key"] {
                admin.store(secret, "value");
            }
            let mut client = name.map_or_else(|| Client::with(&[], daemon.addr()), |name| daemon.client(name));
            let answer = client.ask(method, target, &[], body);
            assert_eq!(answer.status, status, "{name:?}: {method} {target} {body}: {}", answer.body);
        }
    }
}

#[test]
fn healthz_says_how_the_daemon_is() {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "v");
    let answer = Client::with(&[], daemon.addr()).get("/healthz");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(answer.header("Content-Type"), Some("application/json; charset=utf-8"));
    let uptime = answer.json()["uptime_secs"].as_u64().unwrap();
    let expected = format!(r#"{{"status":"ok","version":"{version}","uptime_secs":{uptime},"secrets_count":1}}"#);
    assert_eq!(answer.body, expected);
}

#[test]
fn metrics_are_prometheus_text_that_names_no_secret_and_no_client() {
    let daemon = Daemon::start();
    let mut keeper = daemon.client("keeper");
    keeper.store("db_metered", "v");
    keeper.value("db_metered");
    let answer = Client::with(&[], daemon.addr()).get("/metrics");
    assert_eq!(answer.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("jarvis_secretsd_"), "{line}");
    }
    for name in ["db_metered", "keeper"] {
        assert!(!answer.body.contains(name), "{name}");
    }
}

#[test]
fn metrics_are_those_of_the_example_in_their_order() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "v");
    await_past(&mut admin);
    let page = admin.metrics();
    let example = include_str!("../../src/metrics/example.txt");
    let [described, expected] = [&page, example].map(|page| page.lines().filter(|line| line.starts_with('#')));
    assert_eq!(described.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    let mut name = "";
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            name = rest.split(' ').next().unwrap();
        } else if !line.starts_with('#') {
            let suffix = line.split(['{', ' ']).next().unwrap().strip_prefix(name);
            assert!(matches!(suffix, Some("" | "_bucket" | "_sum" | "_count")), "{line}");
        }
    }
}

#[test]
fn a_stored_value_is_answered_with_its_metadata_and_read_back() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let stored = admin.post("/secret", r#"{"name":"db_main","value":"correct horse"}"#);
    assert_eq!(stored.status, 200);
    assert_eq!(stored.header("Content-Type"), Some("application/json; charset=utf-8"));
    assert_eq!(stored.picture(), format!("{{{METADATA}}}"));
    let (kid, created_at, expires_at) = (stored.text("kid"), stored.text("created_at"), stored.text("expires_at"));
    let second: String = created_at[..19].chars().filter(char::is_ascii_digit).collect();
    assert_eq!(kid, format!("db_main-{}-{}", &second[..8], &second[8..]));
    let time = |text: &str| humantime::parse_rfc3339(text).unwrap();
    let days = time(&expires_at).duration_since(time(&created_at)).unwrap().as_secs_f64() / 86_400.0;
    assert_eq!(days, 90.0);

    let read = daemon.client("reader").get("/secret/db_main");
    assert_eq!(read.status, 200);
    let expected = format!(r#"{{"name":"db_main","value":"correct horse","kid":"{kid}","expires_at":"{expires_at}"}}"#);
    assert_eq!(read.body, expected);
}

#[test]
fn a_value_is_a_persons_to_replace_however_it_was_made_unless_it_is_said_otherwise() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    for (wanted, rotation) in [
        (r#""value":"v""#, "manual"),
        (r#""value":"v","rotation":"manual""#, "manual"),
        (r#""value":"v","rotation":"auto""#, "auto"),
        (r#""generate":true"#, "manual"),
        (r#""generate":true,"rotation":"auto""#, "auto"),
        (r#""generate":true,"rotation":"off""#, "off"),
    ] {
        let answer = admin.post("/secret", &format!(r#"{{"name":"db_main",{wanted}}}"#));
        assert_eq!(answer.text("rotation"), rotation, "{wanted}");
        assert_eq!(answer.json().get("value"), None, "a value is only in the answer to those who read it");
    }
}

#[test]
fn an_older_version_is_read_by_its_kid() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let first = admin.store("db_main", "one");
    let second = admin.store("db_main", "two");
    assert_ne!(first, second);
    let mut reader = daemon.client("reader");
    assert_eq!(reader.value("db_main"), "two");
    for (kid, value) in [(&first, "one"), (&second, "two")] {
        let answer = reader.get(&format!("/secret/db_main?kid={kid}"));
        assert_eq!((answer.status, answer.text("value")), (200, value.to_owned()));
        assert_eq!(answer.text("kid"), *kid);
    }
}

#[test]
fn a_kid_that_never_was_is_not_found_and_shows_no_other_secret() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let kid = admin.store("db_main", "v");
    let other = admin.store("db_root", "v");
    let mut reader = daemon.client("reader");
    for wrong in [&other, &format!("{kid}-7"), &format!("{kid}-1"), "db_main-20010101-000000", "db_main", "x", ""] {
        let answer = reader.get(&format!("/secret/db_main?kid={wrong}"));
        assert_eq!(answer.refusal(), (404, "not_found".to_owned()), "{wrong}");
    }
}

#[test]
fn a_deleted_secret_is_gone_with_all_its_versions() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let first = admin.store("db_main", "one");
    admin.store("db_main", "two");
    let deleted = admin.delete("/secret/db_main");
    assert_eq!((deleted.status, deleted.body.as_str()), (200, r#"{"name":"db_main","versions_destroyed":2}"#));
    assert_eq!(admin.get("/secret/db_main").refusal(), (404, "not_found".to_owned()));
    assert_eq!(admin.get(&format!("/secret/db_main?kid={first}")).refusal(), (404, "not_found".to_owned()));
    assert_eq!(admin.delete("/secret/db_main").refusal(), (404, "not_found".to_owned()));
    assert_eq!(admin.get("/secrets").body, r#"{"secrets":[]}"#);
    assert_eq!(admin.get("/healthz").json()["secrets_count"], 0);
    assert_ne!(admin.store("db_main", "three"), first, "a kid never comes twice");
}

#[test]
fn the_list_is_sorted_and_shows_only_what_the_client_may_read() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    for name in ["zebra", "db_main", "api_key", "db_root", "Zebra", "db.main"] {
        admin.store(name, "v");
    }
    let names = |client: &str| -> Vec<String> {
        let answer = daemon.client(client).get("/secrets").json();
        let items = answer["secrets"].as_array().unwrap();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("admin"), ["Zebra", "api_key", "db.main", "db_main", "db_root", "zebra"]);
    assert_eq!(names("reader"), ["api_key", "db_main"]);
    assert_eq!(names("keeper"), ["db_main"]);
    assert_eq!(names("idle"), [""; 0]);
    let picture = daemon.client("keeper").get("/secrets").picture();
    assert_eq!(picture, format!(r#"{{"secrets":[{{{METADATA},"is_expired":false,"has_appliers":false}}]}}"#));
}

/// The names of all pages, page by page.
fn pages(client: &mut Client, prefix: &str, limit: usize) -> Vec<Vec<String>> {
    let (mut pages, mut after) = (Vec::new(), String::new());
    loop {
        let answer = client.get(&format!("/secrets?prefix={prefix}&limit={limit}&after={after}")).json();
        let items = answer["secrets"].as_array().unwrap();
        pages.push(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect());
        match answer.get("next") {
            Some(next) => after = next.as_str().unwrap().to_owned(),
            None => return pages,
        }
    }
}

#[test]
fn the_list_comes_in_pages_that_miss_nothing_and_repeat_nothing() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    for name in ["a", "b", "b.c", "b_d", "c", "db_a", "db_root", "db_z"] {
        admin.store(name, "v");
    }
    assert_eq!(pages(&mut admin, "", 3), [&["a", "b", "b.c"][..], &["b_d", "c", "db_a"], &["db_root", "db_z"]]);
    assert_eq!(pages(&mut admin, "b", 1), [["b"], ["b.c"], ["b_d"]], "no empty page at the end");
    assert_eq!(pages(&mut admin, "", 8).len(), 1, "no next where there is no more");
    assert_eq!(pages(&mut admin, "x", 8), [[""; 0]]);
    let mut reader = daemon.client("reader");
    assert_eq!(pages(&mut reader, "", 1), [["db_a"], ["db_z"]], "db_root is passed over, and nothing tells of it");
    assert_eq!(pages(&mut reader, "db_r", 1), [[""; 0]]);
    let names = |answer: Answer| answer.json()["secrets"].as_array().unwrap().len();
    assert_eq!(names(admin.get("/secrets?after=b")), 6);
    assert_eq!(names(admin.get("/secrets?after=bb")), 4, "there need not be a secret of that name");
    assert_eq!(names(admin.get("/secrets?after=zz")), 0);
    assert_eq!(names(admin.get("/secrets?prefix=b&after=a")), 3);
    assert_eq!(names(admin.get("/secrets?prefix=b&after=c")), 0);
    admin.delete("/secret/b.c");
    assert_eq!(pages(&mut admin, "b", 2), [["b", "b_d"]]);
}

#[test]
fn a_page_has_all_that_stands_in_the_list_and_its_audit_line_says_how_much() {
    let daemon = Daemon::start();
    let mut keeper = daemon.client("keeper");
    keeper.store("db_main", "v");
    keeper.store("db_next", "v");
    let picture = keeper.get("/secrets?limit=1").picture();
    assert_eq!(
        picture,
        format!(r#"{{"secrets":[{{{METADATA},"is_expired":false,"has_appliers":false}}],"next":"db_main"}}"#)
    );
    let line = daemon.site.audit_lines().pop().unwrap();
    assert!(line.contains(r#""event":"list_secrets""#) && line.contains(r#""detail":"1 names""#), "{line}");
    assert_eq!(keeper.ask("HEAD", "/secrets?limit=1", &[], "").status, 200);
}

#[test]
fn rotation_by_name_gives_each_a_new_value_and_keeps_the_one_before() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let first = admin.store("db_main", "supplied");
    admin.make(&serde_json::json!({ "name": "db_spare", "generate": { "type": "hex", "bytes": 16 } }));
    let spare = admin.value("db_spare");

    let answer = admin.post("/rotate", r#"{"names":["db_spare","db_main"]}"#);
    let versions =
        METADATA.replace("manual\"", "manual\",\"previous_kid\":\"db_main-99999999-999999\",\"previous_readable_until\":\"9999-99-99T99:99:99.999999999Z\"");
    let versions = format!("{{{versions}}},{{{}}}", versions.replace("db_main", "db_spare"));
    let expected = format!(r#"{{"rotated_count":9,"rotated":["db_main","db_spare"],"versions":[{versions}]}}"#);
    // The one of the same second as the one before has a number behind it.
    let picture = answer.picture().replace("-999999-9\"", "-999999\"");
    assert_eq!((answer.status, picture), (200, expected));
    assert_ne!(admin.value("db_main"), "supplied");
    assert_ne!(admin.value("db_spare"), spare);
    assert_eq!(admin.value("db_spare").len(), 32, "the new value is of the kind of the one before");
    assert_eq!(admin.get(&format!("/secret/db_main?kid={first}")).text("value"), "supplied");
}

#[test]
fn rotation_with_one_unknown_name_rotates_nothing() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "supplied");
    let answer = admin.post("/rotate", r#"{"names":["db_main","db_unknown"]}"#);
    assert_eq!(answer.refusal(), (404, "not_found".to_owned()));
    assert!(answer.text("message").contains("db_unknown"));
    assert_eq!(admin.value("db_main"), "supplied");
}

#[test]
fn rotation_of_what_is_due_rotates_nothing_while_nothing_is_due() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.make(&serde_json::json!({ "name": "db_main", "generate": true }));
    let value = admin.value("db_main");
    let answer = admin.post("/rotate", r#"{"names":[]}"#);
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"rotated_count":0,"rotated":[]}"#));
    assert_eq!(admin.value("db_main"), value);
}

#[test]
fn a_checkpoint_says_where_the_audit_log_stands() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "v");
    let answer = admin.get("/audit/checkpoint");
    let checkpoint = answer.json();
    let (seq, hash, signature) = (&checkpoint["seq"], answer.text("hash"), answer.text("signature"));
    assert_eq!((hash.len(), signature.len()), (64, 88));
    let expected = format!(
        r#"{{"seq":{seq},"hash":"{hash}","vault_seq":1,"timestamp":"{}","signature":"{signature}"}}"#,
        answer.text("timestamp")
    );
    assert_eq!(answer.body, expected);
    assert_eq!(*seq, daemon.site.audit_lines().len(), "nobody else is asking");
}
