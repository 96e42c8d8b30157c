//! A signed JWT of another issuer proves a client: which client it is, what is written down, and how its keys are replaced.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use jarvis_secretsd::access::Token;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::client_program::{failure, printed, program};
use crate::patience::eventually;
use crate::running::Daemon;
use crate::site::{Site, said};

const CLIENT: &str = "X-Jarvis-Client";
const ISSUER: &str = "https://issuer.example";
/// In a directory of its own, which a confined daemon can read for its sake alone.
const JWKS: &str = "keys/jwks.json";

/// An issuer's key, under the name `k`.
pub struct Signer(Ed25519KeyPair);

impl Signer {
    pub fn new() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    fn jwks(&self) -> String {
        let x = base64url(self.0.public_key());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x}]}).to_string()
    }

    /// A JWT about `subject` for five minutes, in which these claims are as they are here.
    pub fn jwt(&self, subject: &str, claims: Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut all = json!({"iss": ISSUER, "aud": "jarvis", "sub": subject, "exp": now + 300, "iat": now});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let signed = format!("{}.{}", base64url(r#"{"alg":"EdDSA","kid":"k"}"#), base64url(all.to_string()));
        format!("{signed}.{}", base64url(self.0.sign(signed.as_bytes())))
    }
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    base64::encode_config(bytes, base64::URL_SAFE_NO_PAD)
}

/// A site whose daemon accepts the JWTs of `signer`, with these clients, who may read `db_*`, and their credentials.
pub fn site(signer: &Signer, clients: &[(&str, &str)]) -> Site {
    let site = Site::new();
    let mut policy = "[clients.admin]\nallow = [\"*\"]\n".to_owned();
    for (name, credentials) in clients {
        policy += &format!("[clients.{name}]\nallow = [\"db_*\"]\n{credentials}\n");
    }
    site.configure("127.0.0.1:0", &policy);
    std::fs::create_dir(site.path("keys")).unwrap();
    let jwks = site.write(JWKS, &signer.jwks());
    let issuer =
        format!("[[jwt_issuers]]\nissuer = {ISSUER:?}\naudience = \"jarvis\"\njwks_path = {jwks:?}\n[security]\n");
    site.edit("config.toml", "[security]\n", &issuer);
    site
}

fn started(site: &Site) -> Daemon {
    let daemon = site.start();
    daemon.client("admin").store("db_main", "v");
    daemon
}

fn ask(daemon: &Daemon, jwt: &str, headers: &[(&str, &str)]) -> Answer {
    let authorization = format!("Bearer {jwt}");
    let all = [&[("Authorization", authorization.as_str())], headers].concat();
    Client::with(&all, daemon.addr()).get("/secret/db_main")
}

/// The audit line of a request, and the status of its answer.
fn outcome(daemon: &Daemon, jwt: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let answer = ask(daemon, jwt, headers);
    (answer.status, daemon.site.audited(answer.header("X-Request-Id").unwrap()))
}

/// The client as which a request was authenticated.
#[track_caller]
fn client_of(daemon: &Daemon, jwt: &str, headers: &[(&str, &str)]) -> String {
    let (status, line) = outcome(daemon, jwt, headers);
    assert_eq!(status, 200, "{line}");
    line["client"].as_str().unwrap().to_owned()
}

#[track_caller]
fn reason(daemon: &Daemon, jwt: &str, headers: &[(&str, &str)]) -> String {
    let (status, line) = outcome(daemon, jwt, headers);
    assert_eq!((status, &line["event"]), (401, &"auth_failure".into()), "{line}");
    line["detail"].as_str().unwrap().to_owned()
}

pub fn rule(rest: &str) -> String {
    format!("jwt = [{{ issuer = {ISSUER:?}, {rest} }}]")
}

#[test]
fn subject_and_claims_decide_which_client_it_is() {
    let signer = Signer::new();
    let site = site(
        &signer,
        &[
            ("shop", &rule("subject = \"system:serviceaccount:shop:*\"")),
            ("ci", &rule("claims = { repository = \"acme/*\", ref = \"refs/heads/main\" }")),
            ("pod", &rule("claims = { \"/kubernetes.io/pod/name\" = \"web-*\" }")),
            ("group", &rule("subject = \"user:*\", claims = { groups = \"ops\", admin = \"true\", level = \"7\" }")),
        ],
    );
    let daemon = started(&site);
    let client = |subject, claims| client_of(&daemon, &signer.jwt(subject, claims), &[]);
    assert_eq!(client("system:serviceaccount:shop:till", json!({})), "shop");
    assert_eq!(client("x", json!({"repository": "acme/web", "ref": "refs/heads/main"})), "ci");
    assert_eq!(client("x", json!({"kubernetes.io": {"pod": {"name": "web-1"}}})), "pod");
    assert_eq!(client("user:1", json!({"groups": ["dev", "ops"], "admin": true, "level": 7})), "group");
    let refused = |subject, claims| reason(&daemon, &signer.jwt(subject, claims), &[]);
    let nobodys = "JWT that no client's policy entry names";
    assert_eq!(refused("system:serviceaccount:shopping:till", json!({})), nobodys);
    assert_eq!(refused("x", json!({"repository": "acme/web", "ref": "refs/heads/main-2"})), nobodys);
    assert_eq!(refused("x", json!({"repository": "evil/acme/web", "ref": "refs/heads/main"})), nobodys);
    assert_eq!(refused("x", json!({"repository": "acme/web"})), nobodys);
    assert_eq!(refused("user:1", json!({"groups": ["dev"], "admin": true, "level": 7})), nobodys);
    assert_eq!(refused("user:1", json!({"groups": "ops", "admin": [{"a": "true"}], "level": 7})), nobodys);
}

#[test]
fn a_jwt_of_several_clients_needs_the_header_and_one_beside_it_must_agree() {
    let signer = Signer::new();
    let site = site(
        &signer,
        &[("one", &rule("subject = \"job-*\"")), ("two", &rule("subject = \"*-1\"")), ("shut", "jwt = []")],
    );
    let daemon = started(&site);
    let (both, first) = (signer.jwt("job-1", json!({})), signer.jwt("job-2", json!({})));
    assert_eq!(reason(&daemon, &both, &[]), "no client header, and several clients with this credential");
    for client in ["one", "two"] {
        assert_eq!(client_of(&daemon, &both, &[(CLIENT, client)]), client);
    }
    assert_eq!(client_of(&daemon, &first, &[]), "one");
    assert_eq!(reason(&daemon, &first, &[(CLIENT, "two")]), "JWT that the client's policy entry does not name");
    assert_eq!(reason(&daemon, &first, &[(CLIENT, "shut")]), "JWT that the client's policy entry does not name");
    assert_eq!(reason(&daemon, &first, &[(CLIENT, "admin")]), "a credential, where the client has none");
    assert_eq!(reason(&daemon, &first, &[(CLIENT, "nobody")]), "unknown client");
    assert_eq!(reason(&daemon, &first, &[(CLIENT, &first[..100])]), "unknown client");
    let basic = |client: &str| format!("Basic {}", base64::encode(format!("{client}:{first}")));
    let answer = Client::with(&[("Authorization", &basic("one"))], daemon.addr()).get("/secret/db_main");
    assert_eq!(answer.status, 200, "by Basic, as a token");
}

#[test]
fn issuer_and_subject_are_audited_and_no_part_of_the_jwt() {
    let signer = Signer::new();
    let site = site(&signer, &[("one", &rule("subject = \"job-*\""))]);
    let daemon = started(&site);
    let (jwt, stranger) = (signer.jwt("job-\u{1}\"1", json!({})), Signer::new().jwt("job-2", json!({})));
    let whose = |subject: &str| json!({"issuer": ISSUER, "subject": subject});
    assert_eq!(outcome(&daemon, &jwt, &[]).1["jwt"], whose("job-\u{1}\"1"));
    // It is known whose this is, but not that it is a client's.
    let (status, line) = outcome(&daemon, &signer.jwt("other", json!({})), &[]);
    assert_eq!((status, &line["jwt"], &line["client"]), (401, &whose("other"), &Value::Null));
    // What is not verified is not written down, either.
    let (status, line) = outcome(&daemon, &stranger, &[]);
    assert_eq!((status, &line["detail"], &line["jwt"]), (401, &"JWT with a wrong signature".into(), &Value::Null));
    assert_eq!(outcome(&daemon, &jwt, &[(CLIENT, &jwt[..90])]).1["client"], Value::Null, "a JWT is no client's name");
    let place = |line: &str| line.find("\"jwt\":").map(|at| line[..at].ends_with("\"client\":\"one\","));
    assert!(daemon.site.audit_lines().iter().any(|line| place(line) == Some(true)), "behind the client");
    let line = daemon.site.audit(1).into_iter().find(|line| line["event"] == "create_secret").unwrap();
    assert!(line.get("jwt").is_none(), "{line}");
    let written = daemon.site.audit_lines().concat() + &daemon.log();
    for part in jwt.split('.').chain(stranger.split('.')).filter(|part| part.len() > 20) {
        assert!(!written.contains(part), "{part}");
    }
    daemon.stop().verify_audit();
}

fn await_key(daemon: &Daemon, signer: &Signer) {
    let is_in_force = || ask(daemon, &signer.jwt("job", json!({})), &[]).status == 200;
    eventually("the other key is in force", || is_in_force().then_some(()));
}

fn await_outdated(daemon: &Daemon, count: u32) {
    let line = format!("\njarvis_secretsd_jwks_outdated {count}\n");
    let is_told = || daemon.client("admin").metrics().contains(&line);
    eventually("the metric tells of the keys", || is_told().then_some(()));
}

#[test]
fn keys_are_replaced_at_work_and_what_is_no_key_set_changes_nothing() {
    let (old, new) = (Signer::new(), Signer::new());
    let site = site(&old, &[("one", &rule("subject = \"job\""))]);
    let mut daemon = started(&site);
    site.write(JWKS, "<html>502</html>");
    daemon.signal(Signal::HUP);
    daemon.await_log("JWKS not reloaded, the old one stays in force");
    daemon.await_log("Policy reloaded");
    assert_eq!(client_of(&daemon, &old.jwt("job", json!({})), &[]), "one");
    await_outdated(&daemon, 1);
    // Without any signal, too, and with a rename as with a write.
    let fresh = site.write("keys/jwks.new", &new.jwks());
    std::fs::rename(&fresh, site.path(JWKS)).unwrap();
    await_key(&daemon, &new);
    assert_eq!(reason(&daemon, &old.jwt("job", json!({})), &[]), "JWT with a wrong signature");
    await_outdated(&daemon, 0);
    // As Kubernetes replaces a file: by another link to another directory.
    std::fs::create_dir(site.path("keys/next")).unwrap();
    site.write("keys/next/jwks.json", &old.jwks());
    symlink("next/jwks.json", site.path("keys/jwks.link")).unwrap();
    std::fs::rename(site.path("keys/jwks.link"), site.path(JWKS)).unwrap();
    await_key(&daemon, &old);
}

#[test]
fn an_expired_jwt_is_refused_and_says_nothing_else_than_a_wrong_one() {
    let signer = Signer::new();
    let site = site(&signer, &[("one", &rule("subject = \"job\""))]);
    let daemon = started(&site);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let expired = signer.jwt("job", json!({"exp": now - 61}));
    assert_eq!(reason(&daemon, &expired, &[]), "expired JWT");
    let [expired, wrong] = [expired, Signer::new().jwt("job", json!({}))].map(|jwt| ask(&daemon, &jwt, &[]).picture());
    assert_eq!(expired, wrong);
}

/// What a start says that refuses, with status 78.
fn refusal(site: &Site) -> String {
    let output = site.command("serve").output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let checked = site.command("check").output().unwrap();
    assert_eq!(checked.status.code(), Some(78));
    assert!(said(&checked).ends_with(&said(&output)), "{checked:?}");
    said(&output)
}

#[test]
fn a_start_says_which_issuer_rule_or_key_file_is_wrong() {
    let signer = Signer::new();
    let with = |credentials: &str| site(&signer, &[("one", credentials)]);
    let wrong = |credentials: &str, why: &str| {
        let said = refusal(&with(credentials));
        assert!(said.contains(why), "{said}");
    };
    wrong(
        "jwt = [{ issuer = \"https://other.example\", subject = \"a\" }]",
        "client one has a jwt of https://other.example, which no [[jwt_issuers]] of the configuration is",
    );
    let everybody = "needs a `subject` or `claims` that not every JWT of the issuer has";
    for rest in ["", ", subject = \"*\"", ", claims = {}", ", subject = \"**\", claims = { a = \"*\" }"] {
        wrong(&format!("jwt = [{{ issuer = {ISSUER:?}{rest} }}]"), everybody);
    }
    wrong("jwt = [{ subject = \"a\" }]", "lacks the key `issuer`");
    wrong("jwt = [\"a\"]", "must be a table of the form { issuer = \"…\", subject = \"…\" }");
    wrong(&rule("subjects = \"a\""), "did you mean `subject`?");
    wrong(&rule("subject = \"a\", claims = { ref = 1 }"), "must be a string");

    let site = with(&rule("subject = \"a\""));
    let jwks = site.path(JWKS);
    let path = jwks.display();
    site.write(JWKS, "{\"keys\":[]}");
    assert!(refusal(&site).contains(&format!("{path}: holds no key for signatures by RS256, ES256 or EdDSA")));
    std::fs::remove_file(&jwks).unwrap();
    assert!(refusal(&site).contains(&format!("{path}: ")));
    site.write(JWKS, &signer.jwks());
    let checked = site.command("check").output().unwrap();
    assert!(said(&checked).contains(&format!("JWKS of {ISSUER} {path}: good, 1 key")), "{}", said(&checked));
    let twice =
        "[[jwt_issuers]]\nissuer = \"https://issuer.example\"\naudience = \"b\"\njwks_path = \"/x\"\n[security]\n";
    site.edit("config.toml", "[security]\n", twice);
    assert!(refusal(&site).contains("has the issuer \"https://issuer.example\" more than once"));
}

#[test]
fn the_client_commands_send_a_jwt_and_read_its_file_each_time() {
    let signer = Signer::new();
    let site = site(&signer, &[("one", &rule("subject = \"job\""))]);
    let daemon = started(&site);
    let addr = format!("http://{}", daemon.addr());
    let get = || {
        let mut get = program(&site, &["get", "db_main"]);
        get.env("JARVIS_SECRETSD_ADDR", &addr);
        get
    };
    let jwt = signer.jwt("job", json!({}));
    assert_eq!(printed(get().env("JARVIS_SECRETSD_TOKEN", &jwt).output().unwrap()), "v");
    let path: PathBuf = site.write("jwt", &format!("{jwt}\n"));
    assert_eq!(printed(get().args(["--token-file", path.to_str().unwrap()]).output().unwrap()), "v");
    let cut = failure(&get().env("JARVIS_SECRETSD_TOKEN", &jwt[..jwt.len() - 1]).output().unwrap(), 4);
    assert!(!cut.contains(&jwt[..40]), "{cut}");
    let no_token = failure(&get().env("JARVIS_SECRETSD_TOKEN", "hvs.x").output().unwrap(), 78);
    assert!(no_token.contains("must be a token, as `jarvis-secretsd token CLIENT` prints it, or a JWT"), "{no_token}");
    assert!(Token::parse(&jwt).is_err());
}
