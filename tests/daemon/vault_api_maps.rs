//! Maps by Vault's API: what is stored of them, and how a value that is none is shown.

use serde_json::{Value, json};

use crate::client::Client;
use crate::site::audit_fields;
use crate::vault_api::{bearer, connect, data, put, read, refused, served};

#[test]
fn a_map_of_one_text_called_value_is_that_text() {
    let (daemon, tokens) = served();
    let mut admin = connect(&daemon, &tokens.admin);
    let text = "quote \" backslash \\ newline \n key \u{1f511}";
    put(&mut admin, "db", &json!({ "value": text }));
    assert_eq!(read(&mut admin, "db").0, json!({ "value": text }));
    let mut own = Client::with(&[("Authorization", &bearer(&tokens.admin))], daemon.addr());
    assert_eq!(own.value("db"), text);
    own.store("db_own", text);
    assert_eq!(read(&mut admin, "db_own").0, json!({ "value": text }));
}

#[test]
fn any_other_map_is_kept_as_compact_json_and_read_as_it_was_sent() {
    let (daemon, tokens) = served();
    let mut admin = connect(&daemon, &tokens.admin);
    let mut own = Client::with(&[("Authorization", &bearer(&tokens.admin))], daemon.addr());
    for map in [
        json!({ "user": "u", "password": "p \" \\ \n \u{e9}" }),
        json!({ "value": 1 }),
        json!({ "value": "v", "other": "o" }),
        json!({ "deep": { "list": [1, 2.5, null, true, { "x": "y" }] } }),
        json!({ "": "" }),
    ] {
        put(&mut admin, "db", &map);
        assert_eq!(read(&mut admin, "db").0, map);
        assert_eq!(data(&admin.get("/v1/kv/db")), map);
        assert_eq!(own.value("db"), map.to_string(), "by the daemon's own API it is one value");
    }
    admin.ask("PUT", "/v1/secret/data/db", &[], "{ \"data\" :\n{ \"b\" : 1 , \"a\" : \" x \" } }");
    assert_eq!(own.value("db"), r#"{"b":1,"a":" x "}"#, "in the order in which it came");
}

#[test]
fn a_json_document_that_is_a_text_is_never_taken_for_a_map() {
    let (daemon, tokens) = served();
    let mut own = Client::with(&[("Authorization", &bearer(&tokens.admin))], daemon.addr());
    let document = r#"{"type":"service_account","private_key":"k"}"#;
    own.store("db", document);
    let mut admin = connect(&daemon, &tokens.admin);
    assert_eq!(read(&mut admin, "db").0, json!({ "value": document }));
    put(&mut admin, "db", &json!({ "value": document }));
    assert_eq!(read(&mut admin, "db").0, json!({ "value": document }));
}

#[test]
fn the_label_goes_with_the_map_and_a_text_beside_it_is_shown_as_one() {
    let (daemon, tokens) = served();
    let mut admin = connect(&daemon, &tokens.admin);
    let mut own = Client::with(&[("Authorization", &bearer(&tokens.admin))], daemon.addr());
    let label = |own: &mut Client| own.get("/secret/db/versions").json()["settings"]["labels"]["vault-map"].clone();
    put(&mut admin, "db", &json!({ "a": "b" }));
    assert_eq!(label(&mut own), "true");
    own.store("db", "a text");
    assert_eq!((label(&mut own), read(&mut admin, "db").0), (json!("true"), json!({ "value": "a text" })));
    put(&mut admin, "db", &json!({ "a": "c" }));
    assert_eq!((label(&mut own), read(&mut admin, "db").0), (json!("true"), json!({ "a": "c" })));
    put(&mut admin, "db", &json!({ "value": "v" }));
    assert_eq!((label(&mut own), read(&mut admin, "db").0), (Value::Null, json!({ "value": "v" })));
}

#[test]
fn value_and_label_change_in_one_commit() {
    let (daemon, tokens) = served();
    let mut admin = connect(&daemon, &tokens.admin);
    put(&mut admin, "db", &json!({ "value": "{}" }));
    let stored = admin.ask("PUT", "/v1/secret/data/db", &[], r#"{"data":{"a":"b"}}"#);
    assert_eq!(stored.status, 200);
    let id = stored.header("X-Request-Id").unwrap();
    let lines: Vec<_> = daemon.site.audit(1).into_iter().filter(|line| line["request_id"] == id).collect();
    let told: Vec<_> = lines.iter().map(|line| audit_fields(line)[0].unwrap()).collect();
    assert_eq!(told, ["create_secret", "configure_secret"], "as by POST /secret with labels");
    assert_eq!(lines[0].get("signature"), None, "they were written in one go");
    assert!(lines[1].get("signature").is_some());
}

#[test]
fn what_is_no_map_is_refused() {
    let (daemon, tokens) = served();
    let mut admin = connect(&daemon, &tokens.admin);
    for (body, text) in [
        ("", "no data provided"),
        ("{}", "no data provided"),
        (r#"{"data":null}"#, "no data provided"),
        (r#"{"data":{}}"#, "no data provided"),
        (r#"{"data":"v"}"#, "a JSON object"),
        (r#"{"data":["v"]}"#, "a JSON object"),
        (r#"{"data":{"a":1,"a":2}}"#, "more than once"),
        (r#"{"data":{"value":""}}"#, "must not be empty"),
        (r#"{"data":{"value":"\ud800"}}"#, "a JSON object"),
        (r#"{"data":{"value":"v"},"data":{"value":"w"}}"#, "the form"),
        (r#"{"data":{"value":"v"}"#, "not JSON"),
        (r#"[{"value":"v"}]"#, "a list"),
        ("value=v", "not JSON"),
    ] {
        let (status, why) = refused(&admin.ask("PUT", "/v1/secret/data/db", &[], body));
        assert_eq!((status, why.contains(text)), (400, true), "{body}: {why}");
    }
    for body in ["", "{}", "null", "[]", "1"] {
        assert_eq!(refused(&admin.ask("PUT", "/v1/kv/db", &[], body)).0, 400, "{body}");
    }
    assert_eq!(refused(&admin.get("/v1/kv/db")), (404, String::new()), "nothing was stored");
}

#[test]
fn a_map_has_the_length_of_a_value_at_most() {
    let (daemon, tokens) = served();
    let mut admin = connect(&daemon, &tokens.admin);
    let longest = "x".repeat(65_536 - r#"{"a":""}"#.len());
    put(&mut admin, "db", &json!({ "a": longest }));
    assert_eq!(read(&mut admin, "db").0["a"], longest);
    for data in [json!({ "a": longest.clone() + "x" }), json!({ "value": "x".repeat(65_537) })] {
        let answer = admin.ask("PUT", "/v1/secret/data/db", &[], &json!({ "data": data }).to_string());
        let (status, why) = refused(&answer);
        assert_eq!((status, why.contains("65536 bytes")), (413, true), "{why}");
    }
}

#[test]
fn a_patch_is_merged_into_the_current_map() {
    let (daemon, tokens) = served();
    let mut admin = connect(&daemon, &tokens.admin);
    let mut patch = |body: &str| {
        admin.ask("PATCH", "/v1/secret/data/db", &[("Content-Type", "application/merge-patch+json")], body)
    };
    assert_eq!(refused(&patch(r#"{"data":{"a":"b"}}"#)), (404, String::new()));
    put(&mut connect(&daemon, &tokens.admin), "db", &json!({ "user": "u", "password": "p" }));
    let patched = data(&patch(r#"{"data":{"password":"q","more":{"x":1}}}"#));
    let (map, version) = read(&mut connect(&daemon, &tokens.admin), "db");
    assert_eq!(map, json!({ "user": "u", "password": "q", "more": { "x": 1 } }));
    assert_eq!(patched["version"], version);
    data(&patch(r#"{"data":{"user":null,"more":{"x":null,"y":2}}}"#));
    assert_eq!(read(&mut connect(&daemon, &tokens.admin), "db").0, json!({ "password": "q", "more": { "y": 2 } }));
    data(&patch(r#"{"data":{"password":null,"more":null,"value":"v"}}"#));
    let mut own = Client::with(&[("Authorization", &bearer(&tokens.admin))], daemon.addr());
    assert_eq!(own.value("db"), "v", "one text is left");
    for body in [r#"{"data":{"value":null}}"#, r#"{"data":1}"#, "{}"] {
        assert_eq!(refused(&patch(body)).0, 400, "{body}");
    }
    assert_eq!(own.value("db"), "v");
}
