//! A user with a password, and tokens.

use std::path::Path;
use std::sync::Barrier;
use std::thread;

use serde_json::json;

use super::gateway::{Gateway, Reply};
use super::{NOTHING, late, of, patient, some_range};
use crate::base::files::{create, scratch};
use crate::etcd::{Error, Etcd, Login, Settings, TlsFiles};

const AUTHENTICATE: &str = "/v3/auth/authenticate";

fn as_user(gateway: &Gateway, directory: &Path) -> Etcd {
    let password_path = directory.join("password");
    create(&password_path, 0o600, b"correct horse\n").unwrap();
    let login = Some(Login { username: "vault".to_owned(), password_path });
    let settings = Settings { endpoints: vec![gateway.endpoint.clone()], tls: TlsFiles::default(), login };
    patient(Etcd::new(&settings, 0).unwrap())
}

/// What was asked for, and with which token.
fn asked(gateway: &Gateway) -> Vec<(String, Option<String>)> {
    gateway.heard().into_iter().map(|heard| (heard.target, heard.authorization)).collect()
}

fn token(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[test]
fn a_token_is_asked_for_once_and_sent_without_a_scheme() {
    let gateway = Gateway::start(|heard| match heard.target.as_str() {
        AUTHENTICATE => Reply::Json(200, r#"{"header":{},"token":"one.7"}"#),
        _ => Reply::Json(200, NOTHING),
    });
    let etcd = as_user(&gateway, &scratch("etcd-token"));
    for _ in 0..2 {
        etcd.range(&some_range(), late()).unwrap();
    }
    let range = || ("/v3/kv/range".to_owned(), token("one.7"));
    assert_eq!(asked(&gateway), [(AUTHENTICATE.to_owned(), None), range(), range()]);
    assert_eq!(gateway.heard()[0].body, json!({"name": "vault", "password": "correct horse"}));
}

/// A gateway that takes the token that it gave last, for so many requests, and does `refuse` with all others.
fn with_tokens(expires_after: usize, refuse: fn() -> Reply) -> Gateway {
    let (mut given, mut left) = (0, 0);
    Gateway::start(move |heard| {
        const TOKENS: [&str; 3] = ["one", "two", "three"];
        if heard.target == AUTHENTICATE {
            (given, left) = (given + 1, expires_after);
            return Reply::Json(200, [r#"{"token":"one"}"#, r#"{"token":"two"}"#, r#"{"token":"three"}"#][given - 1]);
        }
        if heard.authorization.as_deref() != Some(TOKENS[given - 1]) || left == 0 {
            return refuse();
        }
        left -= 1;
        Reply::Json(200, NOTHING)
    })
}

#[test]
fn a_token_that_has_expired_is_replaced_and_nobody_notices() {
    for (name, refuse) in [
        ("401", (|| Reply::Json(401, r#"{"code":16,"message":"etcdserver: invalid auth token"}"#)) as fn() -> Reply),
        ("old", || Reply::Json(400, r#"{"code":3,"message":"etcdserver: revision of auth store is old"}"#)),
        // Some versions of etcd do this.
        ("closed", || Reply::Raw("")),
    ] {
        let gateway = with_tokens(1, refuse);
        let etcd = as_user(&gateway, &scratch(&format!("etcd-expired-{name}")));
        for _ in 0..2 {
            etcd.range(&some_range(), late()).unwrap();
        }
        let asked = asked(&gateway);
        assert_eq!(asked[0], (AUTHENTICATE.to_owned(), None));
        assert_eq!(asked[1], ("/v3/kv/range".to_owned(), token("one")));
        assert_eq!(asked.last().unwrap(), &("/v3/kv/range".to_owned(), token("two")), "{name}: {asked:?}");
        assert_eq!(etcd.stats().of("range", "unavailable"), 0);
    }
}

#[test]
fn threads_that_need_a_token_ask_for_one_together() {
    let gateway = Gateway::start(|heard| match heard.target.as_str() {
        AUTHENTICATE => Reply::Json(200, r#"{"token":"one"}"#),
        _ => Reply::Json(200, NOTHING),
    });
    let etcd = as_user(&gateway, &scratch("etcd-together"));
    let together = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                together.wait();
                etcd.range(&some_range(), late()).unwrap();
            });
        }
    });
    let asked = asked(&gateway);
    assert_eq!(asked.iter().filter(|(target, _)| target == AUTHENTICATE).count(), 1, "{asked:?}");
}

#[test]
fn a_wrong_password_is_told_with_what_to_do() {
    let gateway = Gateway::always(|| {
        Reply::Json(400, r#"{"code":3,"message":"etcdserver: authentication failed, invalid user ID or password"}"#)
    });
    let outcome = as_user(&gateway, &scratch("etcd-wrong")).range(&some_range(), late());
    let Err(Error::Refused(why)) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("invalid user ID or password; username and password_path must be"), "{why}");
    assert!(!why.contains("correct horse"), "{why}");
}

#[test]
fn an_etcd_that_asks_for_a_user_is_told_with_what_to_do() {
    let gateway = Gateway::always(|| Reply::Json(400, r#"{"code":3,"message":"etcdserver: user name is empty"}"#));
    let outcome = of(&gateway).range(&some_range(), late());
    let Err(Error::Refused(why)) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("user name is empty; it asks for a user: set username"), "{why}");
}

#[test]
fn a_file_without_password_is_refused_before_anything_is_sent() {
    let path = scratch("etcd-no-password").join("password");
    create(&path, 0o600, b"\n").unwrap();
    let gateway = Gateway::always(|| Reply::Json(200, NOTHING));
    let login = Some(Login { username: "vault".to_owned(), password_path: path });
    let settings = Settings { endpoints: vec![gateway.endpoint.clone()], tls: TlsFiles::default(), login };
    let why = Etcd::new(&settings, 0).err().unwrap().to_string();
    assert!(why.ends_with("must hold the password of etcd's user, in UTF-8"), "{why}");
}
