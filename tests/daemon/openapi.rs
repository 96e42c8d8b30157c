//! `contrib/openapi.json` describes the daemon as it is: its paths and methods, the requests that it takes, the answers
//! that it gives.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::client::{Answer, Client};
use crate::consumers;
use crate::running::Daemon;

const DOCUMENT: &str = include_str!("../../contrib/openapi.json");

/// Every method that a document can describe.
pub const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];

/// The secret of the examples.
const NAME: &str = "postgres_password";

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

/// A call that the document describes.
struct Operation<'a> {
    method: &'static str,
    target: String,
    description: &'a Value,
}

impl Operation<'_> {
    /// The bodies of requests that the document shows; an empty one for a call that has none.
    fn bodies(&self) -> Vec<String> {
        match self.description.pointer("/requestBody/content/application~1json/examples") {
            Some(examples) => examples.as_object().unwrap().values().map(|e| e["value"].to_string()).collect(),
            None => vec![String::new()],
        }
    }

    fn needs_a_client(&self) -> bool {
        self.description.get("security").is_none()
    }

    /// The schema of the body of an answer with status 200, where that is JSON.
    fn answer_schema<'d>(&self, document: &'d Value) -> Option<&'d Value> {
        let reference = self.description.pointer("/responses/200/content/application~1json/schema/$ref")?;
        Some(resolve(document, reference.as_str().unwrap()))
    }

    fn ask(&self, client: &mut Client, body: &str) -> Answer {
        if !self.target.ends_with("/rollback") || body.is_empty() {
            return client.ask(self.method, &self.target, &[], body);
        }
        // The kid of the example is that of no version here.
        let versions = client.get(&format!("/secret/{NAME}/versions")).json();
        let before = versions["versions"][1]["kid"].clone();
        client.ask(self.method, &self.target, &[], &serde_json::json!({ "kid": before }).to_string())
    }
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            if let Some(description) = item.get(method.to_lowercase()) {
                operations.push(Operation { method, target: path.replace("{name}", NAME), description });
            }
        }
    }
    operations
}

pub fn resolve<'a>(document: &'a Value, reference: &str) -> &'a Value {
    document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// Shows `look` a value and everything in it.
fn visit<'a>(value: &'a Value, look: &mut impl FnMut(&'a Value)) {
    look(value);
    match value {
        Value::Object(fields) => fields.values().for_each(|field| visit(field, look)),
        Value::Array(items) => items.iter().for_each(|item| visit(item, look)),
        _ => {}
    }
}

#[test]
fn the_document_is_served_to_anyone_as_it_stands_in_the_source() {
    let daemon = Daemon::start();
    let mut nobody = Client::with(&[], daemon.addr());
    let answer = nobody.get("/openapi.json");
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/json")));
    assert_eq!(answer.body, DOCUMENT);
    let head = nobody.ask("HEAD", "/openapi.json", &[], "");
    assert_eq!((head.status, head.header("Content-Length")), (200, Some(DOCUMENT.len().to_string().as_str())));
    assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_methods_of_every_path_are_those_of_the_document() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        let target = path.replace("{name}", NAME);
        for method in METHODS {
            let answer = admin.ask(method, &target, &[], "");
            let described = item.get(method.to_lowercase()).is_some();
            assert_eq!(answer.status != 405, described, "{method} {target}: {}", answer.head);
            assert!(!answer.body.contains("there is no such path"), "{method} {target}");
        }
    }
}

#[test]
fn the_calls_of_the_document_are_those_of_the_handbook() {
    let document = document();
    let in_handbook: BTreeSet<(&str, &str)> = include_str!("../../docs/api.md")
        .lines()
        .filter_map(|line| {
            let (call, _) = line.strip_prefix("| `")?.split_once('`')?;
            let (method, target) = call.split_once(" /")?;
            Some((method, target.split('?').next()?))
        })
        .collect();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        // The handbook says of HEAD, once for all, that it works where GET does.
        let methods = METHODS.into_iter().filter(|method| *method != "HEAD");
        let methods = methods.filter(|method| item.get(method.to_lowercase()).is_some());
        described.extend(methods.map(|method| (method, path.trim_start_matches('/'))));
        assert_eq!(item.get("head").is_some(), item.get("get").is_some(), "{path}");
    }
    assert_eq!(described, in_handbook);
}

#[test]
fn the_requests_of_the_examples_are_taken() {
    let daemon = Daemon::start();
    daemon.site.lay_next_key(&[7; 32]);
    let mut admin = daemon.client("admin");
    consumers::await_past(&mut admin);
    let document = document();
    let mut count = 0;
    for operation in operations(&document) {
        admin.store(NAME, "v");
        // Who has not read that would be cut off from older versions.
        admin.value(NAME);
        for body in operation.bodies() {
            let answer = operation.ask(&mut admin, &body);
            assert_eq!(answer.status, 200, "{} {} {body}: {}", operation.method, operation.target, answer.body);
            count += usize::from(!body.is_empty());
        }
    }
    assert!(count >= 8, "only {count} bodies were sent");
}

#[test]
fn answers_have_exactly_the_fields_of_the_document() {
    let daemon = Daemon::start();
    daemon.site.lay_next_key(&[7; 32]);
    let mut admin = daemon.client("admin");
    consumers::await_past(&mut admin);
    let document = document();
    let mut compared = 0;
    for mut operation in operations(&document) {
        for name in [NAME, "redis_password"] {
            admin.store(name, "v");
        }
        if (operation.method, operation.target.as_str()) == ("GET", "/secrets") {
            // Of all lists, a page that is not the last has the most.
            operation.target += "?limit=1";
        }
        let Some(schema) = operation.answer_schema(&document) else { continue };
        let mut body = operation.bodies().pop().unwrap();
        if matches!((operation.method, operation.target.as_str()), ("POST", "/secret") | ("PATCH", _)) {
            // One about what the schedule replaces, untold, has a warning besides.
            let mut fields: Value = serde_json::from_str(&body).unwrap();
            fields["rotation"] = "auto".into();
            body = fields.to_string();
        }
        if operation.target.ends_with("/rollback") {
            admin.make(&serde_json::json!({ "name": NAME, "value": "v", "rotation": "auto" }));
            admin.store(NAME, "v");
        }
        let mut answer = operation.ask(&mut admin, &body).json();
        if operation.target == "/rotate" {
            // A dry run is answered with what would be made instead of what was.
            operation.target += "?dry_run=true";
            let dry = operation.ask(&mut admin, operation.bodies().last().unwrap()).json();
            answer.as_object_mut().unwrap().extend(dry.as_object().unwrap().clone());
        }
        let found: BTreeSet<&String> = answer.as_object().unwrap().keys().collect();
        // This daemon is alone with its vault.
        let fields = schema["properties"].as_object().unwrap().keys();
        let described: BTreeSet<&String> = fields.filter(|field| *field != "cluster").collect();
        assert_eq!(found, described, "{} {}", operation.method, operation.target);
        compared += 1;
    }
    assert_eq!(compared, 15);
}

#[test]
fn calls_that_the_document_leaves_open_need_no_client_and_all_others_do() {
    let daemon = Daemon::start();
    let mut nobody = Client::with(&[], daemon.addr());
    for operation in operations(&document()) {
        let status = operation.ask(&mut nobody, "").status;
        let expected = if operation.needs_a_client() { 401 } else { 200 };
        assert_eq!(status, expected, "{} {}", operation.method, operation.target);
    }
}

#[test]
fn what_is_refused_to_web_pages_is_described_so() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let document = document();
    for operation in operations(&document) {
        let described = operation.description.pointer("/responses/403/$ref").and_then(Value::as_str);
        let answer = admin.ask(operation.method, &operation.target, &[("Origin", "https://page.example")], "");
        let place = format!("{} {}", operation.method, operation.target);
        assert_eq!(answer.status, if described.is_some() { 403 } else { 200 }, "{place}");
        assert_eq!(described.is_none(), operation.target == "/healthz", "{place}");
        let misdirected = operation.description.pointer("/responses/421").is_some();
        assert_eq!(misdirected, described.is_some(), "{place}");
        let Some(described) = described.filter(|_| operation.method != "HEAD") else { continue };
        let error = resolve(&document, described).pointer("/content/application~1json/schema/properties/error");
        assert!(error.unwrap().to_string().contains("\"cross_site\""), "{place}");
    }
}

#[test]
fn every_error_code_that_the_daemon_has_is_in_the_document() {
    let document = document();
    let codes = document.pointer("/components/schemas/Error/properties/error/enum").unwrap().as_array().unwrap();
    let page = include_str!("../../docs/api.md");
    let in_handbook: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| {
            let (status, rest) = line.strip_prefix("| ")?.split_once(" | `")?;
            status.parse::<u16>().ok()?;
            rest.split('`').next()
        })
        .collect();
    let described: BTreeSet<&str> = codes.iter().map(|code| code.as_str().unwrap()).collect();
    assert!(in_handbook.len() > 15);
    assert!(described.is_superset(&in_handbook), "not described: {:?}", in_handbook.difference(&described));
}

/// Every reference in the document leads somewhere, and each of these kinds of its components is used.
pub fn check_references(document: &Value, kinds: &[&str]) {
    let mut used = BTreeSet::new();
    visit(document, &mut |value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            resolve(document, reference);
            used.insert(reference.to_owned());
        }
    });
    for kind in kinds {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(used.contains(&format!("#/components/{kind}/{name}")), "{kind}/{name} is not used");
        }
    }
}

#[test]
fn references_lead_somewhere_and_nothing_is_described_that_is_not_used() {
    check_references(&document(), &["schemas", "responses", "headers", "parameters"]);
}
