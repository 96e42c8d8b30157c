//! What may be a secret's name and what its value, and what the daemon generates.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::Client;
use crate::running::Daemon;

const LARGEST: usize = 64 * 1024;

fn bad_request() -> (u16, String) {
    (400, "bad_request".to_owned())
}

/// The value that is generated when this is asked for.
fn generated(admin: &mut Client, generate: Value) -> String {
    admin.make(&json!({ "name": "db_main", "generate": generate }));
    admin.value("db_main")
}

#[test]
fn a_name_is_1_to_128_letters_digits_underscores_dots_and_hyphens() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    for name in ["a", "9", "A-z_0.9", "a-", "...", "..a", ".a", "__proto__", &"n".repeat(128)] {
        admin.store(name, name);
        assert_eq!(admin.value(name), name);
    }
    for name in ["", &"n".repeat(129), "a b", "a/b", "../a", "a\\b", "a\nb", "a\0", "a%41", "ключ", "a\u{202e}b"] {
        for wanted in [json!({ "name": name, "value": "v" }), json!({ "name": name, "generate": true })] {
            assert_eq!(admin.post("/secret", &wanted.to_string()).refusal(), bad_request(), "{name:?}");
        }
        let rotate = json!({ "names": ["a", name] });
        assert_eq!(admin.post("/rotate", &rotate.to_string()).refusal(), bad_request(), "{name:?}");
    }
    assert_eq!(admin.value("a"), "a", "nothing was rotated");
}

#[test]
fn a_name_in_a_path_may_be_percent_encoded_once() {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "v");
    let mut reader = daemon.client("reader");
    assert_eq!(reader.get("/secret/%64b%5Fmain").text("value"), "v");
    assert_eq!(reader.get("/secret/%2564b_main").refusal(), bad_request(), "twice is another name");
}

#[test]
fn no_trick_with_a_path_reaches_a_secret() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "reachable");
    let lines_before = daemon.site.audit_lines().len();
    let long = format!("/secret/{}", "n".repeat(129));
    let tricks = [
        "/secret/..%2fdb_main",
        "/secret/..%2Fsecret%2Fdb_main",
        "/secret/../secret/db_main",
        "/secret/./db_main",
        "/secret//db_main",
        "//secret/db_main",
        "/secret/db_main/",
        "/secret/%2fdb_main",
        "/secret/db_main%00",
        "/secret/db_main%0a",
        "/secret/db_main%0d%0a",
        "/secret/db_main%20",
        "/secret/%ff%fe",
        "/secret/db_main;v=1",
        "/secret/db_main%3fkid=x",
        "/secret/db_main%23",
        "/secret/DB_MAIN",
        "/secret/db_mai%6",
        "/secret/db_mai%",
        "/SECRET/db_main",
        "/secret/%252e%252e",
        "/secret/",
        &long,
    ];
    for trick in tricks {
        for method in ["GET", "HEAD", "DELETE"] {
            let answer = admin.ask(method, trick, &[], "");
            assert!(matches!(answer.status, 400 | 404), "{method} {trick}: {}", answer.head);
            assert!(!answer.body.contains("reachable"), "{method} {trick}");
        }
    }
    assert_eq!(admin.value("db_main"), "reachable", "nothing was deleted");
    for line in &daemon.site.audit_lines()[lines_before..] {
        let line: Value = serde_json::from_str(line).unwrap();
        let name = line["secret_name"].as_str();
        assert!(matches!(name, None | Some("db_main" | "DB_MAIN")), "{line}");
        assert!(line["result"] == "error" || name == Some("db_main"), "{line}");
    }
}

#[test]
fn a_name_that_holds_a_line_forges_no_audit_line() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let forged = r#"{"seq":2,"event":"server_stop"}"#;
    let name = format!("db\n{forged}\n");
    admin.post("/secret", &json!({ "name": name, "value": "v" }).to_string());
    admin.post("/rotate", &json!({ "names": [name] }).to_string());
    let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let answer = admin.get(&format!("/secret/{encoded}"));
    assert_eq!(answer.refusal(), bad_request());
    let lines = daemon.site.audit_lines();
    assert_eq!(lines.len(), 4, "the start, and three refusals: {lines:#?}");
    assert!(!lines.concat().contains("server_stop"));
    daemon.site.verify_audit();
}

#[test]
fn a_value_survives_byte_for_byte() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let controls: String = (0..=0x9f).filter_map(char::from_u32).collect();
    let odd = "\"quotes\" and \\ and / and \u{2028}\u{feff}\u{fffd}\u{ffff}\u{10ffff}";
    for value in [controls.as_str(), odd, "👩‍👩‍👧‍👦 🔑", " ", "\n", "\0", "null", "e\u{301}", "é"] {
        admin.store("db_main", value);
        assert_eq!(admin.value("db_main"), value);
        assert_eq!(daemon.client("reader").value("db_main").as_bytes(), value.as_bytes());
    }
}

#[test]
fn a_value_may_be_spelt_with_escapes() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let stored = admin.post("/secret", r#"{"name":"db_\u006dain","value":"\ud83d\udd11\u0000\/"}"#);
    assert_eq!(stored.status, 200, "{}", stored.body);
    assert_eq!(admin.value("db_main"), "🔑\0/");
}

#[test]
fn a_value_has_1_to_65536_bytes() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    for largest in ["x".repeat(LARGEST), "\u{1}".repeat(LARGEST), "🔑".repeat(LARGEST / 4)] {
        admin.store("db_main", &largest);
        assert!(admin.value("db_main") == largest);
    }
    for too_large in
        ["x".repeat(LARGEST + 1), "\u{1}".repeat(LARGEST + 1), "é".repeat(LARGEST / 2 + 1), "x".repeat(LARGEST * 16)]
    {
        let answer =
            daemon.client("admin").post("/secret", &json!({ "name": "db_main", "value": too_large }).to_string());
        assert_eq!(answer.refusal(), (413, "too_large".to_owned()), "{} bytes", too_large.len());
    }
    let empty = admin.post("/secret", r#"{"name":"db_main","value":""}"#);
    assert_eq!(empty.refusal(), bad_request());
    assert_eq!(admin.value("db_main").len(), LARGEST, "nothing was stored");
}

#[test]
fn bytes_that_are_no_text_are_no_value() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    for lone in [r"\ud83d", r"\udd11", r"\ud83dx"] {
        let answer = admin.post("/secret", &format!(r#"{{"name":"db_main","value":"{lone}"}}"#));
        assert_eq!(answer.refusal(), bad_request(), "{lone}");
    }
    let raw = admin.post_bytes("/secret", b"{\"name\":\"db_main\",\"value\":\"\xff\xfe\"}");
    assert_eq!(raw.refusal(), bad_request());
    assert_eq!(admin.get("/secret/db_main").status, 404);
}

#[test]
fn a_generated_value_is_of_the_kind_that_was_asked_for() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let decoded = |text: &str| base64::decode(text).unwrap().len();
    assert_eq!(decoded(&generated(&mut admin, json!(true))), 32);
    assert_eq!(decoded(&generated(&mut admin, json!({ "type": "base64" }))), 32);
    for bytes in [16, 17, 1024] {
        assert_eq!(decoded(&generated(&mut admin, json!({ "type": "base64", "bytes": bytes }))), bytes);
        let hex = generated(&mut admin, json!({ "type": "hex", "bytes": bytes }));
        assert_eq!(hex.len(), bytes * 2);
        assert!(hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{hex}");
    }
    let uuid = generated(&mut admin, json!({ "type": "uuid" }));
    let picture: String = uuid.chars().map(|c| if c.is_ascii_hexdigit() { 'x' } else { c }).collect();
    assert_eq!(picture, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
    assert!(uuid[14..].starts_with('4') && uuid[19..].starts_with(['8', '9', 'a', 'b']), "{uuid}");
}

#[test]
fn a_generated_password_is_of_the_length_and_classes_that_were_asked_for() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let classes = |password: &str| -> BTreeSet<&str> {
        let class = |c: char| match c {
            'a'..='z' => "lower",
            'A'..='Z' => "upper",
            '0'..='9' => "digits",
            _ => "symbols",
        };
        password.chars().map(class).collect()
    };
    let default = generated(&mut admin, json!({ "type": "password" }));
    assert_eq!(default.len(), 24);
    assert_eq!(classes(&default), ["lower", "upper", "digits", "symbols"].into());
    for wanted in [vec!["digits"], vec!["lower", "upper"], vec!["digits", "lower", "symbols"]] {
        let password = generated(&mut admin, json!({ "type": "password", "length": 1024, "classes": wanted }));
        assert_eq!(password.len(), 1024);
        assert_eq!(classes(&password), wanted.into_iter().collect());
        assert!(!password.contains(['0', 'O', 'o', '1', 'l', 'I', '|', '"', '\'', '`', '\\']), "{password}");
    }
    let digits = json!({ "type": "password", "length": 1024, "classes": ["digits"], "look_alikes": true });
    assert!(generated(&mut admin, digits).contains(['0', '1']), "of 1024 digits some are 0 or 1");
}

#[test]
fn no_two_generated_values_are_alike() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let values: BTreeSet<String> = (0..32).map(|_| generated(&mut admin, json!(true))).collect();
    assert_eq!(values.len(), 32);
}

#[test]
fn a_generator_out_of_its_bounds_or_unknown_is_refused() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    for wrong in [
        json!(false),
        json!("hex"),
        json!(32),
        json!([]),
        json!({}),
        json!({ "type": "octal" }),
        json!({ "type": "hex", "bytes": 15 }),
        json!({ "type": "hex", "bytes": 1025 }),
        json!({ "type": "base64", "bytes": -1 }),
        json!({ "type": "base64", "length": 32 }),
        json!({ "type": "uuid", "bytes": 16 }),
        json!({ "type": "password", "length": 11 }),
        json!({ "type": "password", "length": 1025 }),
        json!({ "type": "password", "classes": [] }),
        json!({ "type": "password", "classes": ["kanji"] }),
    ] {
        let answer = admin.post("/secret", &json!({ "name": "db_main", "generate": wrong }).to_string());
        assert_eq!(answer.refusal(), bad_request(), "{wrong}");
    }
    assert_eq!(admin.get("/secret/db_main").status, 404);
}
