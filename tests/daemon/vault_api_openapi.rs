//! `contrib/openapi-vault.json` describes Vault's API as it is: its paths, methods, requests and answers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::Client;
use crate::openapi::{METHODS, check_references, resolve};
use crate::vault_api::{connect, put, served};

const DOCUMENT: &str = include_str!("../../contrib/openapi-vault.json");

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

/// A target for a path of the document.
fn target(path: &str) -> String {
    let mounted = path.ends_with("/mounts/{path}");
    let list = if matches!(path, "/v1/kv" | "/v1/secret/metadata") { "?list=true" } else { "" };
    path.replace("{path}", if mounted { "secret" } else { "db_password" }) + list
}

#[test]
fn the_methods_of_every_path_are_those_of_the_document_of_vaults_api() {
    let (daemon, tokens) = served();
    let mut admin = connect(&daemon, &tokens.admin);
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            put(&mut admin, "db_password", &json!({ "value": "v" }));
            let answer = admin.ask(method, &target(path), &[], "");
            let described = item.get(method.to_lowercase()).is_some();
            // Of a list, GET is another method.
            let is_list = target(path).contains("list=") && !matches!(method, "GET" | "HEAD");
            assert_eq!(answer.status != 405, described && !is_list, "{method} {path}: {}", answer.body);
            assert!(!answer.body.contains("no handler for route"), "{method} {path}");
        }
    }
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_requests_of_the_document_of_vaults_api_are_answered_with_the_fields_that_it_has() {
    let (daemon, tokens) = served();
    let mut admin = connect(&daemon, &tokens.admin);
    let document = document();
    let mut compared = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
            let Some(operation) = item.get(method.to_lowercase()) else { continue };
            if path.ends_with("/login") && operation["responses"].get("200").is_some() {
                // With what is in the document, nobody is logged in.
                continue;
            }
            put(&mut admin, "db_password", &json!({ "value": "v" }));
            let body = operation.pointer("/requestBody/$ref").and_then(Value::as_str).map(|reference| {
                resolve(&document, reference).pointer("/content/application~1json/example").unwrap().to_string()
            });
            let answer = admin.ask(method, &target(path), &[], &body.unwrap_or_default());
            let expected =
                ["200", "204", "400"].into_iter().find(|status| operation["responses"].get(status).is_some());
            assert_eq!(answer.status.to_string(), expected.unwrap(), "{method} {path}: {}", answer.body);
            let Some(example) = operation.pointer("/responses/200/content/application~1json/example") else { continue };
            let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
            let answer = answer.json();
            assert_eq!(fields(&answer), fields(example), "{method} {path}");
            if example["data"].is_object() && !path.starts_with("/v1/kv") {
                assert_eq!(fields(&answer["data"]), fields(&example["data"]), "{method} {path}");
            }
            compared += 1;
        }
    }
    assert!(compared >= 17, "only {compared} answers were compared");
}

#[test]
fn calls_that_the_document_of_vaults_api_leaves_open_need_no_token_and_all_others_do() {
    let (daemon, _) = served();
    let mut nobody = Client::with(&[], daemon.addr());
    for (path, item) in document()["paths"].as_object().unwrap() {
        for method in METHODS {
            let Some(operation) = item.get(method.to_lowercase()) else { continue };
            let status = nobody.ask(method, &target(path), &[], "").status;
            let is_open = operation["security"] == json!([]);
            assert_eq!(status != 403, is_open, "{method} {path}: {status}");
        }
    }
}

#[test]
fn references_in_the_document_of_vaults_api_lead_somewhere_and_each_is_used() {
    check_references(&document(), &["schemas", "responses", "headers", "parameters", "requestBodies"]);
}
