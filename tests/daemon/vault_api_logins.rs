//! Tokens by Vault's API: whose one is, for how long it is good, and logins, which give it back.

use jarvis_secretsd::access::Token;
use jarvis_secretsd::base::clock::{Clock, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::jwt::{self, Signer};
use crate::site::audit_fields;
use crate::vault_api::{connect, data, known, refused, served, site};

/// The policy's line about a token that is good until the end of a day.
fn ending(token: &Token, day: &str) -> String {
    let hash = token.policy_line();
    format!("token_sha256 = [{{ sha256 = \"{}\", expires = {day} }}]", hash.split('"').nth(1).unwrap())
}

/// What is told under `auth` of a token that was granted.
#[track_caller]
fn auth(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let mut envelope = answer.json();
    assert!(envelope["data"].is_null() && envelope["lease_duration"] == 0, "{}", answer.body);
    envelope["auth"].take()
}

#[test]
fn a_token_says_whose_it_is() {
    let (daemon, tokens) = served();
    let token = tokens.idle.expose();
    let known = data(&connect(&daemon, &tokens.idle).get("/v1/auth/token/lookup-self"));
    let expected = json!({
        "accessor": "", "creation_time": 0, "creation_ttl": 0, "display_name": "token-idle", "entity_id": "",
        "expire_time": null, "explicit_max_ttl": 0, "id": token, "meta": { "client": "idle" }, "num_uses": 0,
        "orphan": true, "path": "auth/token/create", "policies": ["idle"], "renewable": false, "ttl": 0,
        "type": "service",
    });
    assert_eq!(known, expected);
}

#[test]
fn a_token_is_renewed_by_saying_that_it_is_good() {
    let (daemon, tokens) = served();
    let expected = json!({
        "client_token": tokens.idle.expose(), "accessor": "", "policies": ["idle"], "token_policies": ["idle"],
        "metadata": null, "lease_duration": 2_764_800, "renewable": true, "entity_id": "", "token_type": "service",
        "orphan": true,
    });
    for (method, body) in [("PUT", r#"{"increment":60}"#), ("POST", "")] {
        let answer = connect(&daemon, &tokens.idle).ask(method, "/v1/auth/token/renew-self", &[], body);
        assert_eq!(auth(&answer), expected);
    }
}

#[test]
fn a_token_with_an_end_says_when_that_is_and_is_not_renewed() {
    let (good, over) = (Token::generate().unwrap(), Token::generate().unwrap());
    let policy =
        format!("[clients.web]\n{}\n[clients.db]\n{}\n", ending(&good, "2099-12-30"), ending(&over, "2020-01-01"));
    let daemon = site(&policy).start();
    let known = data(&connect(&daemon, &good).get("/v1/auth/token/lookup-self"));
    let end = Timestamp::from_nanos(4_102_358_400_000_000_000);
    assert_eq!(known["expire_time"], end.to_string(), "the day is over then: {known}");
    assert_eq!(end.to_the_second(), "2099-12-31T00:00:00Z");
    let about = |seconds: u64| (end.seconds() - Clock::system().now().seconds()).abs_diff(seconds) < 3600;
    assert!(about(known["ttl"].as_u64().unwrap()), "{known}");
    let granted = auth(&connect(&daemon, &good).post("/v1/auth/token/renew-self", ""));
    assert!(about(granted["lease_duration"].as_u64().unwrap()), "{granted}");
    assert_eq!(granted["renewable"], false);
    let answer = connect(&daemon, &over).get("/v1/auth/token/lookup-self");
    assert_eq!(refused(&answer), (403, "permission denied".to_owned()));
    let line = daemon.site.audited(answer.header("X-Request-Id").unwrap());
    assert_eq!(audit_fields(&line)[4], Some("vault api: expired token"));
}

#[test]
fn a_role_is_a_client_and_its_secret_is_the_clients_token() {
    let (daemon, tokens) = served();
    let (idle, reader) = (tokens.idle.expose(), tokens.reader.expose());
    let mut nobody = Client::with(&[], daemon.addr());
    let mut login = |role: &str, secret: &str| {
        nobody.post("/v1/auth/approle/login", &json!({ "role_id": role, "secret_id": secret }).to_string())
    };
    let answer = login("idle", idle);
    let granted = auth(&answer);
    assert_eq!((granted["client_token"].as_str(), &granted["policies"]), (Some(idle), &json!(["idle"])));
    let line = daemon.site.audited(answer.header("X-Request-Id").unwrap());
    assert_eq!(audit_fields(&line), [Some("identify"), Some("idle"), None, Some("success"), Some("vault api")]);
    for (role, secret) in [("idle", reader), ("none", idle), ("", idle), ("idle", ""), ("idle", "hvs.x"), (idle, idle)]
    {
        let answer = login(role, secret);
        assert_eq!(refused(&answer), (403, "permission denied".to_owned()), "{role}");
        let line = daemon.site.audited(answer.header("X-Request-Id").unwrap());
        assert_eq!((&line["event"], &line["result"]), (&json!("auth_failure"), &json!("denied")));
        assert!(!line.to_string().contains("jst_"), "{line}");
    }
}

#[test]
fn a_token_that_several_clients_share_is_of_the_one_that_a_login_names() {
    let token = Token::generate().unwrap();
    let daemon = site(&format!("[clients.a]\n{0}\n[clients.b]\n{0}\n", known(&token))).start();
    let mut nobody = Client::with(&[], daemon.addr());
    let login = json!({ "role_id": "b", "secret_id": token.expose() }).to_string();
    assert_eq!(auth(&nobody.post("/v1/auth/approle/login", &login))["policies"], json!(["b"]));
    // The token alone does not say which one it is.
    assert_eq!(refused(&connect(&daemon, &token).get("/v1/auth/token/lookup-self")).0, 403);
}

#[test]
fn a_malformed_login_is_told_what_is_wrong_and_counts_as_a_failed_one() {
    let (daemon, _) = served();
    let mut nobody = Client::with(&[], daemon.addr());
    for (path, body, form) in [
        ("approle", "", "role_id"),
        ("approle", r#"{"role_id":"idle"}"#, "secret_id"),
        ("approle", r#"{"role_id":1,"secret_id":2}"#, "secret_id"),
        ("approle", "role_id=idle", "role_id"),
        ("jwt", r#"{"role":"idle"}"#, "jwt"),
        ("kubernetes", "[]", "jwt"),
    ] {
        let answer = nobody.post(&format!("/v1/auth/{path}/login"), body);
        let (status, why) = refused(&answer);
        assert_eq!((status, why.contains(form)), (400, true), "{path} {body}: {why}");
        let line = daemon.site.audited(answer.header("X-Request-Id").unwrap());
        let expected = [Some("auth_failure"), None, None, Some("denied"), Some("vault api: malformed login")];
        assert_eq!(audit_fields(&line), expected);
    }
}

#[test]
fn what_the_policy_decides_is_refused_with_the_way_out() {
    let (daemon, tokens) = served();
    let mut idle = connect(&daemon, &tokens.idle);
    for (path, way_out) in [
        ("token/revoke-self", "in its policy"),
        ("token/create", "skip_child_token = true"),
        ("cert/login", "the token of a client"),
    ] {
        let (status, why) = refused(&idle.ask("PUT", &format!("/v1/auth/{path}"), &[], ""));
        assert_eq!((status, why.contains(way_out)), (400, true), "{path}: {why}");
    }
}

#[test]
fn a_jwt_is_logged_in_with_and_is_then_the_token_as_long_as_it_is_good() {
    let signer = Signer::new();
    let shop = jwt::rule("subject = \"system:serviceaccount:shop:*\"");
    let site = jwt::site(&signer, &[("shop", &shop), ("other", &jwt::rule("subject = \"*:till\""))]);
    site.edit("config.toml", "[server]\n", "[server]\nvault_api = true\n");
    let daemon = site.start();
    daemon.client("admin").store("db_main", "v");
    let jwt = signer.jwt("system:serviceaccount:shop:web", json!({}));
    let mut nobody = Client::with(&[], daemon.addr());
    for path in ["jwt", "kubernetes"] {
        for login in [json!({ "jwt": jwt }), json!({ "jwt": jwt, "role": "" }), json!({ "jwt": jwt, "role": "shop" })] {
            let answer = nobody.post(&format!("/v1/auth/{path}/login"), &login.to_string());
            let granted = auth(&answer);
            assert_eq!(granted["client_token"], jwt, "{login}");
            assert_eq!((&granted["policies"], &granted["renewable"]), (&json!(["shop"]), &json!(false)));
            let left = granted["lease_duration"].as_u64().unwrap();
            assert!(left <= 300, "{granted}");
            let line = daemon.site.audited(answer.header("X-Request-Id").unwrap());
            assert_eq!(line["jwt"]["subject"], "system:serviceaccount:shop:web", "{line}");
            assert!(!line.to_string().contains(&jwt), "{line}");
        }
        let login = json!({ "jwt": jwt, "role": "admin" }).to_string();
        let answer = nobody.post(&format!("/v1/auth/{path}/login"), &login);
        assert_eq!(refused(&answer), (403, "permission denied".to_owned()));
    }
    let mut shop = Client::with(&[("X-Vault-Token", &jwt)], daemon.addr());
    assert_eq!(data(&shop.get("/v1/secret/data/db_main"))["data"], json!({ "value": "v" }));
    let known = data(&shop.get("/v1/auth/token/lookup-self"));
    assert_eq!((&known["id"], &known["meta"]["client"]), (&json!(jwt), &json!("shop")));
    let end = Timestamp::deserialize(&known["expire_time"]).unwrap();
    assert!(
        (end.seconds() - Clock::system().now().seconds()).abs_diff(known["ttl"].as_u64().unwrap()) < 3600,
        "{known}"
    );
    // A role is needed where the JWT is of several clients.
    let of_both = signer.jwt("system:serviceaccount:shop:till", json!({}));
    let mut login = |body: Value| nobody.post("/v1/auth/jwt/login", &body.to_string());
    assert_eq!(refused(&login(json!({ "jwt": of_both }))).0, 403);
    assert_eq!(auth(&login(json!({ "jwt": of_both, "role": "other" })))["policies"], json!(["other"]));
    let forged = Signer::new().jwt("system:serviceaccount:shop:web", json!({}));
    let over = signer.jwt("system:serviceaccount:shop:web", json!({ "exp": 1_700_000_000 }));
    for bad in [forged.as_str(), &over, "eyJ.x.y", ""] {
        assert_eq!(refused(&login(json!({ "jwt": bad }))), (403, "permission denied".to_owned()), "{bad}");
    }
}

#[test]
fn a_jwt_login_takes_a_token_as_well() {
    let (daemon, tokens) = served();
    let login = json!({ "jwt": tokens.idle.expose(), "role": "idle" }).to_string();
    let granted = auth(&Client::with(&[], daemon.addr()).post("/v1/auth/jwt/login", &login));
    assert_eq!(
        (granted["client_token"].as_str(), &granted["policies"]),
        (Some(tokens.idle.expose()), &json!(["idle"]))
    );
}
