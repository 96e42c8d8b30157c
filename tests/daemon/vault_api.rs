//! Vault's API as its clients use it: values in KV version 2 and 1, and what is refused.

use jarvis_secretsd::access::Token;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::running::Daemon;
use crate::site::{Site, audit_fields};

/// Clients as in [`POLICY`](crate::site::POLICY), who have tokens instead of names.
pub struct Tokens {
    pub admin: Token,
    pub reader: Token,
    pub keeper: Token,
    pub idle: Token,
}

impl Tokens {
    pub fn new() -> Self {
        let [admin, reader, keeper, idle] = [(); 4].map(|()| Token::generate().unwrap());
        Self { admin, reader, keeper, idle }
    }

    pub fn policy(&self) -> String {
        format!(
            "[clients.admin]\nallow = [\"*\"]\n{}\n[clients.reader]\nallow = [\"db*\", \"api_key\"]\ndeny = [\"db.root\"]\n{}\n\
             [clients.keeper]\nallow = [\"db*\"]\ndeny = [\"db.root\"]\nadmin = true\n{}\n[clients.idle]\n{}\n",
            known(&self.admin),
            known(&self.reader),
            known(&self.keeper),
            known(&self.idle)
        )
    }
}

pub fn known(token: &Token) -> String {
    format!("token_sha256 = [\"{}\"]", token.policy_line().split('"').nth(1).unwrap())
}

/// A site for a daemon that serves Vault's API, too.
pub fn site(policy: &str) -> Site {
    let site = Site::new();
    site.configure("127.0.0.1:0", policy);
    site.edit("config.toml", "[server]\n", "[server]\nvault_api = true\n");
    site
}

/// A daemon that serves Vault's API, and the tokens of its clients.
pub fn served() -> (Daemon, Tokens) {
    let tokens = Tokens::new();
    (site(&tokens.policy()).start(), tokens)
}

/// Connects as a client of Vault does.
pub fn connect(daemon: &Daemon, token: &Token) -> Client {
    Client::with(&[("X-Vault-Token", token.expose())], daemon.addr())
}

/// What is told under `data` in an answer that is as it should be.
#[track_caller]
pub fn data(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let mut envelope = answer.json();
    assert_eq!(envelope["request_id"].as_str(), answer.header("X-Request-Id"));
    assert_eq!(envelope["lease_id"], "");
    for field in ["wrap_info", "warnings", "auth"] {
        assert!(envelope[field].is_null(), "{field}: {}", answer.body);
    }
    envelope["data"].take()
}

/// The status of a refusal, and what it says, which is one text or none.
#[track_caller]
pub fn refused(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("Content-Type"), Some("application/json"), "{}", answer.body);
    let body = answer.json();
    assert_eq!(body.as_object().unwrap().len(), 1, "{}", answer.body);
    let texts: Vec<_> = body["errors"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert!(texts.len() <= 1, "{texts:?}");
    (answer.status, texts.concat())
}

/// Stores a map, and returns the number of its version.
#[track_caller]
pub fn put(client: &mut Client, path: &str, map: &Value) -> u64 {
    let answer = client.ask("PUT", &format!("/v1/secret/data/{path}"), &[], &json!({ "data": map }).to_string());
    data(&answer)["version"].as_u64().unwrap()
}

/// The map at a path, and the number of its version.
#[track_caller]
pub fn read(client: &mut Client, path: &str) -> (Value, u64) {
    let read = data(&client.get(&format!("/v1/secret/data/{path}")));
    (read["data"].clone(), read["metadata"]["version"].as_u64().unwrap())
}

#[test]
fn it_is_off_unless_the_configuration_says_otherwise() {
    let daemon = Daemon::start();
    for path in ["/v1/secret/data/db", "/v1/sys/health", "/v1/auth/token/lookup-self"] {
        assert_eq!(daemon.client("admin").get(path).refusal(), (404, "not_found".to_owned()), "{path}");
    }
}

#[test]
fn a_value_is_stored_and_read_in_kv_version_2() {
    let (daemon, tokens) = served();
    let mut keeper = connect(&daemon, &tokens.keeper);
    for (number, method) in [(1, "PUT"), (2, "POST")] {
        let body = format!(r#"{{"data":{{"value":"v{number}"}}}}"#);
        let stored = data(&keeper.ask(method, "/v1/secret/data/db", &[], &body));
        let created_time = stored["created_time"].as_str().unwrap();
        assert_eq!(
            stored,
            json!({ "created_time": created_time, "custom_metadata": null, "deletion_time": "", "destroyed": false,
                "version": number })
        );
        let read = data(&connect(&daemon, &tokens.reader).get("/v1/secret/data/db"));
        assert_eq!(read, json!({ "data": { "value": format!("v{number}") }, "metadata": stored }));
    }
    for (version, value) in [("1", "v1"), ("2", "v2"), ("0", "v2"), ("", "v2")] {
        let read = data(&keeper.get(&format!("/v1/secret/data/db?version={version}")));
        assert_eq!(read["data"]["value"], value, "{version}");
    }
    // It is a secret like every other.
    let mut client = Client::with(&[("Authorization", &bearer(&tokens.reader))], daemon.addr());
    assert_eq!(client.value("db"), "v2");
}

pub fn bearer(token: &Token) -> String {
    format!("Bearer {}", token.expose())
}

#[test]
fn a_value_is_stored_and_read_in_kv_version_1() {
    let (daemon, tokens) = served();
    let mut keeper = connect(&daemon, &tokens.keeper);
    let stored = keeper.ask("PUT", "/v1/kv/db/main", &[], r#"{"user":"u","password":"p"}"#);
    assert_eq!((stored.status, stored.body.as_str(), stored.header("Content-Type")), (204, "", None));
    let read = keeper.get("/v1/kv/db/main");
    assert_eq!(data(&read), json!({ "user": "u", "password": "p" }));
    assert_eq!(read.json()["lease_duration"], 300, "a client that goes by it looks again soon");
    assert_eq!(keeper.post("/v1/kv/db/main", r#"{"value":"v"}"#).status, 204);
    assert_eq!(data(&keeper.get("/v1/kv/db.main")), json!({ "value": "v" }));
    assert_eq!(keeper.delete("/v1/kv/db/main").status, 204);
    assert_eq!(refused(&keeper.get("/v1/kv/db/main")), (404, String::new()));
}

#[test]
fn a_path_with_slashes_is_the_name_with_dots() {
    let (daemon, tokens) = served();
    let mut keeper = connect(&daemon, &tokens.keeper);
    put(&mut keeper, "db/main/key", &json!({ "value": "v" }));
    for path in [
        "db/main/key",
        "db/main/key/",
        "db.main.key",
        "db%2Fmain%2fkey",
        "%64b/main/key",
        "db/main/key?",
        "db/main/key?x=1",
    ] {
        assert_eq!(read(&mut keeper, path).0, json!({ "value": "v" }), "{path}");
    }
    let mut admin = Client::with(&[("Authorization", &bearer(&tokens.admin))], daemon.addr());
    assert_eq!(admin.value("db.main.key"), "v");
    for path in ["db/main.key", "db.main/key", "db//main", "db/main//", "db/./main", "db/../main", "db/main%20key"] {
        let (status, why) = refused(&keeper.get(&format!("/v1/secret/data/{path}")));
        assert_eq!(status, 400, "{path}: {why}");
    }
}

#[test]
fn a_token_comes_in_either_header_and_no_other_credential_counts() {
    let (daemon, tokens) = served();
    let lookup = |headers: &[(&str, &str)]| Client::with(headers, daemon.addr()).get("/v1/auth/token/lookup-self");
    let (reader, keeper) = (tokens.reader.expose(), tokens.keeper.expose());
    let client = |headers: &[(&str, &str)]| data(&lookup(headers))["meta"]["client"].as_str().unwrap().to_owned();
    assert_eq!(client(&[("X-Vault-Token", reader)]), "reader");
    assert_eq!(client(&[("Authorization", &bearer(&tokens.reader))]), "reader");
    assert_eq!(client(&[("X-Vault-Token", ""), ("Authorization", &bearer(&tokens.reader))]), "reader");
    assert_eq!(client(&[("X-Vault-Token", reader), ("Authorization", &bearer(&tokens.keeper))]), "reader");
    assert_eq!(client(&[("X-Vault-Token", reader), ("X-Jarvis-Client", "keeper")]), "reader");
    let basic = format!("Basic {}", base64::encode(format!("reader:{reader}")));
    let none = Token::generate().unwrap();
    for headers in [
        &[][..],
        &[("X-Jarvis-Client", "reader")],
        &[("X-Vault-Token", "hvs.CAESI")],
        &[("X-Vault-Token", none.expose())],
        &[("Authorization", reader)],
        &[("Authorization", &basic)],
        &[("Authorization", "Bearer ")],
    ] {
        assert_eq!(refused(&lookup(headers)), (403, "permission denied".to_owned()), "{headers:?}");
    }
    let (status, why) = refused(&lookup(&[("X-Vault-Token", reader), ("x-vault-token", keeper)]));
    assert_eq!((status, why.contains("X-Vault-Token")), (400, true), "{why}");
}

#[test]
fn a_client_without_a_credential_is_not_believed_on_its_name() {
    let site = site("[clients.admin]\nallow = [\"*\"]\n");
    site.edit("config.toml", "[security]\n", "[security]\nrequire_client_id_header = false\n");
    let daemon = site.start();
    let mut admin = daemon.client("admin");
    admin.store("db", "v");
    assert_eq!(refused(&admin.get("/v1/secret/data/db")), (403, "permission denied".to_owned()));
    assert_eq!(refused(&Client::with(&[], daemon.addr()).get("/v1/kv/db")), (403, "permission denied".to_owned()));
}

#[test]
fn what_is_not_permitted_looks_like_a_false_token_and_the_audit_log_tells_them_apart() {
    let (daemon, tokens) = served();
    put(&mut connect(&daemon, &tokens.admin), "db/root", &json!({ "value": "v" }));
    let body = r#"{"data":{"value":"v"}}"#;
    let cases = [
        (&tokens.reader, "GET", "/v1/secret/data/db/root", "", "get_secret", Some("db.root")),
        (&tokens.reader, "GET", "/v1/kv/db/root", "", "get_secret", Some("db.root")),
        (&tokens.reader, "GET", "/v1/secret/data/none", "", "get_secret", Some("none")),
        (&tokens.reader, "GET", "/v1/secret/metadata/db/root", "", "list_versions", Some("db.root")),
        (&tokens.reader, "PUT", "/v1/secret/data/db/main", body, "create_secret", Some("db.main")),
        (&tokens.reader, "PUT", "/v1/kv/db/main", r#"{"a":"b"}"#, "create_secret", Some("db.main")),
        (&tokens.reader, "PATCH", "/v1/secret/data/db/main", body, "create_secret", Some("db.main")),
        (&tokens.reader, "PUT", "/v1/secret/metadata/db/main", "{}", "configure_secret", Some("db.main")),
        (&tokens.reader, "DELETE", "/v1/secret/metadata/db/main", "", "delete_secret", Some("db.main")),
        (&tokens.reader, "DELETE", "/v1/kv/db/main", "", "delete_secret", Some("db.main")),
        (&tokens.reader, "DELETE", "/v1/secret/data/db/main", "", "delete_secret", Some("db.main")),
        (&tokens.keeper, "DELETE", "/v1/secret/metadata/db/root", "", "delete_secret", Some("db.root")),
        (&tokens.idle, "GET", "/v1/secret/data/db/root", "", "get_secret", Some("db.root")),
    ];
    for (token, method, target, body, event, name) in cases {
        let answer = connect(&daemon, token).ask(method, target, &[], body);
        assert_eq!(refused(&answer), (403, "permission denied".to_owned()), "{method} {target}");
        let line = daemon.site.audited(answer.header("X-Request-Id").unwrap());
        let client = if std::ptr::eq(token, &tokens.reader) {
            "reader"
        } else if std::ptr::eq(token, &tokens.keeper) {
            "keeper"
        } else {
            "idle"
        };
        let expected = [Some(event), Some(client), name, Some("denied"), Some("vault api: not_authorized")];
        assert_eq!(audit_fields(&line), expected, "{method} {target}");
    }
    let stranger = Token::generate().unwrap();
    let answer = connect(&daemon, &stranger).get("/v1/secret/data/db/root");
    assert_eq!(refused(&answer), (403, "permission denied".to_owned()));
    assert_eq!(answer.header("WWW-Authenticate"), None);
    let line = daemon.site.audited(answer.header("X-Request-Id").unwrap());
    assert_eq!(audit_fields(&line), [Some("auth_failure"), None, None, Some("denied"), Some("vault api: wrong token")]);
}

#[test]
fn each_request_has_one_audit_line_that_says_by_which_api_it_came() {
    let (daemon, tokens) = served();
    let mut keeper = connect(&daemon, &tokens.keeper);
    let audited = |answer: Answer| {
        let line = daemon.site.audited(answer.header("X-Request-Id").unwrap());
        let fields = audit_fields(&line).map(|field| field.map(str::to_owned));
        assert_eq!(fields[1].as_deref(), Some("keeper"));
        let [event, _, name, result, detail] = fields.map(Option::unwrap_or_default);
        [event, name, result, detail].join(" ")
    };
    let mut ask = |method: &str, target: &str, body: &str| audited(keeper.ask(method, target, &[], body));
    let value = r#"{"data":{"value":"v"}}"#;
    assert_eq!(ask("PUT", "/v1/secret/data/db/a", value), "create_secret db.a success vault api");
    assert_eq!(ask("GET", "/v1/secret/data/db/a", ""), "get_secret db.a success vault api");
    assert_eq!(ask("HEAD", "/v1/secret/data/db/a", ""), "get_secret db.a success vault api: head only");
    assert_eq!(ask("GET", "/v1/kv/db/a", ""), "get_secret db.a success vault api");
    assert_eq!(ask("GET", "/v1/secret/data/db/b", ""), "get_secret db.b error vault api: not_found");
    assert_eq!(ask("PATCH", "/v1/secret/data/db/a", value), "create_secret db.a success vault api");
    assert_eq!(ask("GET", "/v1/secret/metadata/db/a", ""), "list_versions db.a success vault api: 2 versions");
    assert_eq!(ask("LIST", "/v1/secret/metadata/db", ""), "list_secrets  success vault api: 1 names");
    let labels = r#"{"custom_metadata":{"env":"prod"}}"#;
    assert_eq!(ask("PUT", "/v1/secret/metadata/db/a", labels), "configure_secret db.a success vault api: labels");
    assert_eq!(ask("PUT", "/v1/secret/metadata/db/a", labels), "configure_secret db.a success vault api: no change");
    assert_eq!(ask("PUT", "/v1/secret/metadata/db/a", "{}"), "configure_secret db.a success vault api");
    assert_eq!(ask("DELETE", "/v1/secret/data/db/a", ""), "delete_secret db.a error vault api: unsupported");
    assert_eq!(ask("DELETE", "/v1/secret/metadata/db/a", ""), "delete_secret db.a success vault api");
    assert_eq!(ask("DELETE", "/v1/secret/metadata/db/a", ""), "delete_secret db.a success vault api: no change");
    for target in ["/v1/auth/token/lookup-self", "/v1/sys/mounts", "/v1/sys/internal/ui/mounts", "/v1/secret/config"] {
        assert_eq!(ask("GET", target, ""), "identify  success vault api", "{target}");
    }
    assert_eq!(ask("PUT", "/v1/auth/token/renew-self", ""), "identify  success vault api");
    assert_eq!(ask("PUT", "/v1/auth/token/create", ""), "identify  error vault api: unsupported");
    assert_eq!(ask("GET", "/v1/sys/internal/ui/mounts/pki", ""), "identify  denied vault api: not_authorized");
    daemon.stop().verify_audit();
}
