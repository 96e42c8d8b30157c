//! The other calls of Vault's API: lists and labels, what clients ask for at their start, and what is refused, with its way out.

use std::net::Ipv4Addr;
use std::process::Command;

use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::json;

use crate::client::{Client, connect_from};
use crate::site::BINARY;
use crate::vault_api::{Tokens, bearer, connect, data, put, refused, served, site};

fn keys(client: &mut Client, method: &str, target: &str) -> Option<Vec<String>> {
    let answer = client.ask(method, target, &[], "");
    if answer.status == 404 {
        assert_eq!(refused(&answer), (404, String::new()));
        return None;
    }
    let listed = data(&answer);
    Some(listed["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect())
}

#[test]
fn a_list_has_what_the_client_may_read_by_whole_names_and_under_a_path_part_by_part() {
    let (daemon, tokens) = served();
    let mut admin = connect(&daemon, &tokens.admin);
    for path in ["db/main", "db/main/key", "db/main/old", "db/main-2", "db/root", "db", "other"] {
        put(&mut admin, path, &json!({ "value": "v" }));
    }
    let mut own = Client::with(&[("Authorization", &bearer(&tokens.admin))], daemon.addr());
    own.store("db.x..y", "v");
    let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let mut reader = connect(&daemon, &tokens.reader);
    let all = list(&["db", "db.main", "db.main-2", "db.main.key", "db.main.old", "db.x..y"]);
    for root in ["/v1/secret/metadata", "/v1/secret/metadata/", "/v1/kv", "/v1/kv/"] {
        assert_eq!(keys(&mut reader, "LIST", root), all, "{root}");
        for yes in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(keys(&mut reader, "GET", &format!("{root}?list={yes}")), all, "{root} {yes}");
        }
    }
    for under in ["/v1/secret/metadata/db", "/v1/secret/metadata/db/", "/v1/kv/db"] {
        assert_eq!(keys(&mut reader, "LIST", under), list(&["main", "main-2", "main/"]), "{under}");
    }
    assert_eq!(keys(&mut reader, "LIST", "/v1/secret/metadata/db/main/"), list(&["key", "old"]));
    assert_eq!(keys(&mut reader, "GET", "/v1/secret/metadata/db.main?list=true"), list(&["key", "old"]));
    for nothing in ["db/main/key", "db/mai", "other", "none", "d"] {
        assert_eq!(keys(&mut reader, "LIST", &format!("/v1/secret/metadata/{nothing}")), None, "{nothing}");
        assert_eq!(keys(&mut reader, "GET", &format!("/v1/kv/{nothing}?list=True")), None, "{nothing}");
    }
    assert_eq!(keys(&mut connect(&daemon, &tokens.idle), "LIST", "/v1/secret/metadata"), None);
    for wrong in ["db/main.key", "a//b", "a%20b", &"x".repeat(128)] {
        assert_eq!(refused(&reader.ask("LIST", &format!("/v1/kv/{wrong}"), &[], "")).0, 400, "{wrong}");
    }
    // No list is asked for.
    assert_eq!(reader.get("/v1/kv/db?list=false").status, 200);
    assert_eq!(refused(&reader.get("/v1/secret/metadata?list=0")).0, 405);
}

#[test]
fn labels_are_custom_metadata_but_for_the_one_of_maps() {
    let (daemon, tokens) = served();
    let mut keeper = connect(&daemon, &tokens.keeper);
    put(&mut keeper, "db", &json!({ "a": "b" }));
    let mut set = |custom: serde_json::Value| {
        keeper.ask("POST", "/v1/secret/metadata/db", &[], &json!({ "custom_metadata": custom }).to_string())
    };
    assert_eq!(set(json!({ "env": "prod", "team": "core" })).status, 204);
    assert_eq!(set(json!({ "env": "test", "managed-by": "external-secrets" })).status, 204);
    let expected = json!({ "env": "test", "managed-by": "external-secrets" });
    let mut reader = connect(&daemon, &tokens.reader);
    assert_eq!(data(&reader.get("/v1/secret/metadata/db"))["custom_metadata"], expected, "those before are gone");
    assert_eq!(data(&reader.get("/v1/secret/data/db"))["metadata"]["custom_metadata"], expected);
    assert_eq!(data(&reader.get("/v1/secret/data/db"))["data"], json!({ "a": "b" }), "it is a map still");
    for wrong in
        [json!({ "vault-map": "false" }), json!({ "a b": "c" }), json!({ "a": "" }), json!({ "a": 1 }), json!([1])]
    {
        assert_eq!(refused(&set(wrong.clone())).0, 400, "{wrong}");
    }
    assert_eq!(set(json!({})).status, 204);
    assert!(data(&reader.get("/v1/secret/metadata/db"))["custom_metadata"].is_null());
    assert_eq!(data(&reader.get("/v1/secret/data/db"))["data"], json!({ "a": "b" }));
}

#[test]
fn settings_of_versions_are_refused_unless_they_are_the_defaults() {
    let (daemon, tokens) = served();
    let mut keeper = connect(&daemon, &tokens.keeper);
    put(&mut keeper, "db", &json!({ "value": "v" }));
    let mut set = |body: &str| keeper.ask("PUT", "/v1/secret/metadata/db", &[], body);
    for defaults in [
        "",
        "{}",
        r#"{"max_versions":0,"cas_required":false,"delete_version_after":"0s","custom_metadata":null}"#,
        r#"{"delete_version_after":0,"unknown":1}"#,
    ] {
        assert_eq!(set(defaults).status, 204, "{defaults}");
    }
    for other in [r#"{"max_versions":5}"#, r#"{"cas_required":true}"#, r#"{"delete_version_after":"30m"}"#] {
        let (status, why) = refused(&set(other));
        assert_eq!((status, why.contains("grace_days")), (400, true), "{other}: {why}");
    }
    let (status, why) = refused(&keeper.ask("PUT", "/v1/secret/metadata/db2", &[], r#"{"custom_metadata":{"a":"b"}}"#));
    assert_eq!((status, why.contains("PUT secret/data/db2")), (404, true), "{why}");
}

#[test]
fn a_secret_is_deleted_with_all_its_versions_or_not_at_all() {
    let (daemon, tokens) = served();
    let mut keeper = connect(&daemon, &tokens.keeper);
    put(&mut keeper, "db/a", &json!({ "value": "v" }));
    for (method, target, way_out) in [
        ("DELETE", "/v1/secret/data/db/a", "DELETE secret/metadata/db/a destroys"),
        ("PUT", "/v1/secret/delete/db/a", "/secret/db.a/retire"),
        ("POST", "/v1/secret/undelete/db/a", "/secret/db.a/rollback"),
        ("PUT", "/v1/secret/destroy/db/a", "/secret/db.a/retire"),
    ] {
        let (status, why) = refused(&keeper.ask(method, target, &[], r#"{"versions":[1]}"#));
        assert_eq!((status, why.contains(way_out)), (400, true), "{method} {target}: {why}");
    }
    assert_eq!(keeper.get("/v1/secret/data/db/a").status, 200);
    let deleted = keeper.delete("/v1/secret/metadata/db/a");
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    assert_eq!(refused(&keeper.get("/v1/secret/data/db/a")), (404, String::new()));
    assert_eq!(refused(&keeper.get("/v1/secret/metadata/db/a")), (404, String::new()));
    assert_eq!(keeper.delete("/v1/secret/metadata/db/a").status, 204, "it is done already");
}

#[test]
fn namespaces_and_wrapped_answers_are_refused() {
    let (daemon, tokens) = served();
    let mut reader = connect(&daemon, &tokens.reader);
    put(&mut connect(&daemon, &tokens.keeper), "db", &json!({ "value": "v" }));
    let mut ask = |name: &str, value: &str| reader.ask("GET", "/v1/secret/data/db", &[(name, value)], "");
    for namespace in ["", "/", "root", "root/"] {
        assert_eq!(ask("X-Vault-Namespace", namespace).status, 200, "{namespace:?}");
    }
    for namespace in ["team", "admin/", "/root/team"] {
        let (status, why) = refused(&ask("X-Vault-Namespace", namespace));
        assert_eq!((status, why.contains("no namespaces")), (404, true), "{namespace}: {why}");
    }
    assert_eq!(ask("X-Vault-Request", "true").status, 200);
    assert_eq!(ask("X-Vault-Wrap-TTL", "0").status, 200);
    for span in ["60", "5m", "x"] {
        let (status, why) = refused(&ask("X-Vault-Wrap-TTL", span));
        assert_eq!((status, why.contains("wraps no answers")), (400, true), "{span}: {why}");
    }
}

#[test]
fn an_unknown_path_and_an_unknown_method_are_told_apart() {
    let (daemon, tokens) = served();
    let mut admin = connect(&daemon, &tokens.admin);
    for path in
        ["", "secret", "secret/data", "secret/data/", "pki/issue", "kv2/data/a", "auth/token", "sys", "secret/other/a"]
    {
        let expected = format!("no handler for route {:?}. route entry not found.", path.trim_end_matches('/'));
        assert_eq!(refused(&admin.get(&format!("/v1/{path}"))), (404, expected), "{path}");
    }
    for (method, path, allow) in [
        ("PUT", "sys/health", "GET, HEAD"),
        ("LIST", "secret/data/a", "GET, HEAD, PUT, POST, PATCH, DELETE"),
        ("GET", "secret/data/a?list=true", "GET, HEAD, PUT, POST, PATCH, DELETE"),
        ("PATCH", "kv/a", "GET, HEAD, LIST, PUT, POST, DELETE"),
        ("GET", "secret/metadata", "LIST"),
        ("GET", "secret/destroy/a", "PUT, POST"),
        ("BREW", "auth/token/lookup-self", "GET, HEAD"),
    ] {
        let answer = admin.ask(method, &format!("/v1/{path}"), &[], "");
        assert_eq!(refused(&answer), (405, "unsupported operation".to_owned()), "{method} {path}");
        assert_eq!(answer.header("Allow"), Some(allow), "{method} {path}");
    }
}

#[test]
fn anyone_may_ask_how_the_server_is() {
    let (daemon, _) = served();
    let mut nobody = Client::with(&[], daemon.addr());
    let health = nobody.get("/v1/sys/health?standbyok=true&perfstandbyok=1");
    assert_eq!(health.status, 200, "{}", health.body);
    let mut health = health.json();
    assert!(health["server_time_utc"].take().as_u64().unwrap() > 1_700_000_000);
    let version = health["version"].take();
    assert_eq!(version, "1.14.0+jarvis-secretsd", "some clients read it as semantic version");
    let expected = json!({ "initialized": true, "sealed": false, "standby": false, "performance_standby": false,
        "replication_performance_mode": "disabled", "replication_dr_mode": "disabled", "server_time_utc": null,
        "version": null, "cluster_name": "", "cluster_id": "" });
    assert_eq!(health, expected);
    let head = nobody.ask("HEAD", "/v1/sys/health", &[], "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let mut seal = nobody.get("/v1/sys/seal-status").json();
    assert_eq!(seal["version"].take(), version);
    let expected = json!({ "type": "shamir", "initialized": true, "sealed": false, "t": 1, "n": 1, "progress": 0, "nonce": "",
        "version": null, "build_date": "", "migration": false, "recovery_seal": false, "storage_type": "file" });
    assert_eq!(seal, expected);
    let leader = nobody.get("/v1/sys/leader").json();
    assert_eq!(
        leader,
        json!({ "ha_enabled": false, "is_self": true, "leader_address": "", "leader_cluster_address": "" })
    );
    assert_eq!(nobody.get("/v1/sys/init").json(), json!({ "initialized": true }));
    let before = daemon.site.audit(1).len();
    nobody.get("/v1/sys/health");
    assert_eq!(daemon.site.audit(1).len(), before, "as of /healthz, no line tells of it");
}

#[test]
fn a_client_finds_out_what_is_mounted_where() {
    let (daemon, tokens) = served();
    let mut idle = connect(&daemon, &tokens.idle);
    let mount = |name: &str, version: &str| {
        json!({ "type": "kv", "options": { "version": version }, "description": "", "accessor": format!("kv_{name}"),
            "config": { "default_lease_ttl": 0, "max_lease_ttl": 0, "force_no_cache": false }, "local": false,
            "seal_wrap": false, "uuid": "", "external_entropy_access": false, "plugin_version": "",
            "running_plugin_version": "", "running_sha256": "" })
    };
    let both = json!({ "secret/": mount("secret", "2"), "kv/": mount("kv", "1") });
    let answer = idle.get("/v1/sys/mounts");
    assert_eq!(data(&answer), both);
    let beside = answer.json();
    assert_eq!(json!({ "secret/": beside["secret/"], "kv/": beside["kv/"] }), both, "once more, beside the data");
    assert_eq!(data(&idle.get("/v1/sys/internal/ui/mounts")), json!({ "auth": {}, "secret": both }));
    for (path, name, version) in
        [("secret", "secret", "2"), ("secret/", "secret", "2"), ("secret/data/a/b", "secret", "2"), ("kv/a", "kv", "1")]
    {
        let mut expected = mount(name, version);
        expected["path"] = format!("{name}/").into();
        assert_eq!(data(&idle.get(&format!("/v1/sys/internal/ui/mounts/{path}"))), expected, "{path}");
    }
    for path in ["pki", "secrets/a", "kv2"] {
        let answer = idle.get(&format!("/v1/sys/internal/ui/mounts/{path}"));
        assert_eq!(refused(&answer), (403, "permission denied".to_owned()), "{path}");
    }
    let mut nobody = Client::with(&[], daemon.addr());
    for path in ["sys/mounts", "sys/internal/ui/mounts", "sys/internal/ui/mounts/secret", "secret/config"] {
        assert_eq!(refused(&nobody.get(&format!("/v1/{path}"))).0, 403, "{path}");
    }
}

#[test]
fn a_call_without_a_body_needs_no_length() {
    let (daemon, tokens) = served();
    let mut client = Client::with(&[], daemon.addr());
    let mut silent = |target: &str| {
        let token = bearer(&tokens.idle);
        client.send(format!("POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {token}\r\n\r\n")).unwrap();
        client.answer().unwrap()
    };
    assert_eq!(silent("/v1/auth/token/renew-self").json()["auth"]["client_token"], json!(tokens.idle.expose()));
    assert_eq!(refused(&silent("/v1/auth/token/revoke-self")).0, 400);
    assert_eq!(refused(&silent("/v1/secret/data/db")).0, 403);
    assert_eq!(silent("/secret").json()["error"], "length_required", "in the daemon's own API as before");
}

#[test]
fn requests_of_web_pages_are_refused_and_a_rebound_name_too() {
    let (daemon, tokens) = served();
    let mut admin = connect(&daemon, &tokens.admin);
    for (name, value) in [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")] {
        for path in ["secret/data/db", "sys/health", "none"] {
            let answer = admin.ask("GET", &format!("/v1/{path}"), &[(name, value)], "");
            assert_eq!(answer.status, 403, "{name} {path}");
            assert!(refused(&answer).1.contains("web page"), "{}", answer.body);
        }
    }
    let mut rebound = Client::with(&[("Host", "evil.example")], daemon.addr());
    assert_eq!(refused(&rebound.get("/v1/sys/health")).0, 421);
    // With a token it does not matter under which name the daemon is known.
    let token = tokens.idle.expose();
    let mut named = Client::with(&[("Host", "vault.example"), ("X-Vault-Token", token)], daemon.addr());
    assert_eq!(named.get("/v1/auth/token/lookup-self").status, 200);
}

#[test]
fn an_address_that_fails_too_often_is_told_to_wait() {
    let tokens = Tokens::new();
    let site = site(&tokens.policy());
    site.edit("config.toml", "auth_failures_per_minute = 0", "auth_failures_per_minute = 3");
    let daemon = site.start();
    let from = |headers: &[(&str, &str)]| {
        let mut client = Client::over_tcp(connect_from(Ipv4Addr::new(127, 9, 9, 9).into(), daemon.addr()));
        client.ask("GET", "/v1/auth/token/lookup-self", headers, "")
    };
    for _ in 0..3 {
        assert_eq!(refused(&from(&[("X-Vault-Token", "hvs.false")])).0, 403);
    }
    let answer = from(&[("X-Vault-Token", "hvs.false")]);
    let (status, why) = refused(&answer);
    assert_eq!((status, why.contains("try again in")), (429, true), "{why}");
    let after: u64 = answer.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    let logins = [r#"{"role_id":"reader","secret_id":"x"}"#, "{}"];
    for body in logins {
        let mut client = Client::over_tcp(connect_from(Ipv4Addr::new(127, 9, 9, 9).into(), daemon.addr()));
        assert_eq!(refused(&client.post("/v1/auth/approle/login", body)).0, 429, "{body}");
    }
}

#[test]
fn where_the_audit_log_cannot_be_written_nothing_is_served_or_changed() {
    let tokens = Tokens::new();
    let site = site(&tokens.policy());
    let mut command = Command::new("sh");
    // A file that would become too large is an error then, and not the end.
    let script = r#"trap "" XFSZ; exec "$@""#;
    command
        .args(["-c", script, "sh", BINARY, "serve", "--config"])
        .arg(site.path("config.toml"))
        .env_remove("RUST_LOG");
    let daemon = site.started(command);
    let mut keeper = connect(&daemon, &tokens.keeper);
    put(&mut keeper, "db/a", &json!({ "value": "before" }));
    let limit = |current| {
        prlimit(Some(daemon.pid()), Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
    };
    limit(Some(1));
    let value = r#"{"data":{"value":"after"}}"#;
    for (method, path, body) in [
        ("GET", "secret/data/db/a", ""),
        ("GET", "kv/db/a", ""),
        ("PUT", "secret/data/db/a", value),
        ("DELETE", "kv/db/a", ""),
        ("LIST", "kv", ""),
        ("GET", "auth/token/lookup-self", ""),
    ] {
        let answer = keeper.ask(method, &format!("/v1/{path}"), &[], body);
        let (status, why) = refused(&answer);
        assert_eq!((status, why.contains("nothing was")), (503, true), "{method} {path}: {why}");
        assert_eq!(answer.header("Retry-After"), Some("1"), "{method} {path}");
    }
    let health = Client::with(&[], daemon.addr()).get("/v1/sys/health");
    assert_eq!((health.status, &health.json()["sealed"]), (503, &json!(false)));
    limit(None);
    assert_eq!(data(&keeper.get("/v1/kv/db/a")), json!({ "value": "before" }));
    assert_eq!(Client::with(&[], daemon.addr()).get("/v1/sys/health").status, 200);
}

#[test]
fn requests_are_counted_by_the_calls_of_the_api() {
    let (daemon, tokens) = served();
    let mut admin = connect(&daemon, &tokens.admin);
    put(&mut admin, "db/a", &json!({ "value": "v" }));
    admin.get("/v1/secret/data/db/a/");
    admin.ask("LIST", "/v1/kv", &[], "");
    admin.get("/v1/nothing/here");
    let page = Client::with(&[], daemon.addr()).metrics();
    for labels in [
        r#"route="/v1/secret/data/{path}",method="PUT",status="200""#,
        r#"route="/v1/secret/data/{path}",method="GET",status="200""#,
        r#"route="/v1/kv",method="LIST",status="200""#,
        r#"route="unknown",method="GET",status="404""#,
    ] {
        assert!(page.contains(&format!("jarvis_secretsd_http_requests_total{{{labels}}} 1\n")), "{labels}: {page}");
    }
}
