//! Certificates, users and tokens.

use std::time::{Duration, Instant};

use jarvis_secretsd::etcd::{Error, Etcd, Keys, Operation, Range, Settings, TlsFiles, Txn};

use crate::is_there;
use crate::members::{Members, Options, late, refused};

fn put(key: &str) -> Txn {
    Txn { then: vec![Operation::Put { key: key.into(), value: b"v".to_vec(), lease: None }], ..Txn::default() }
}

#[test]
fn a_client_with_a_certificate_is_let_in_and_one_without_is_not() {
    if !is_there() {
        return;
    }
    let members = Members::start("tls", 1, Options { tls: true, ..Options::default() });
    let etcd = members.client();
    etcd.txn(&put("k"), late()).unwrap();
    assert_eq!(etcd.range(&Range::of(Keys::One(b"k".to_vec())), late()).unwrap().pairs[0].value, b"v");

    let settings = members.settings();
    let ca_path = settings.tls.ca_path.clone();
    let without = Settings { tls: TlsFiles { ca_path, identity: None }, ..settings.clone() };
    let of_strangers = Settings { tls: TlsFiles::default(), ..settings };
    for (settings, why) in [(without, ""), (of_strangers, "ca_path names the CAs that are trusted")] {
        let etcd = Etcd::new(&settings, 0).unwrap();
        let outcome = etcd.txn(&put("k"), Instant::now() + Duration::from_secs(2));
        assert!(matches!(&outcome, Err(Error::Unavailable(told)) if told.contains(why)), "{outcome:?}");
    }
}

#[test]
fn a_user_does_what_its_role_permits_also_after_its_token_has_gone() {
    if !is_there() {
        return;
    }
    let mut members = Members::start("users", 1, Options::default());
    for command in [
        &["user", "add", "root:root"][..],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "vault"],
        &["role", "grant-permission", "vault", "--prefix=true", "readwrite", "vault/"],
        &["user", "add", "vault:secret"],
        &["user", "grant-role", "vault", "vault"],
        &["auth", "enable"],
    ] {
        members.etcdctl(0, command);
    }
    let etcd = members.client_as("vault", "secret");
    let mine = || Range::of(Keys::prefix(b"vault/"));
    etcd.txn(&put("vault/k"), late()).unwrap();
    let (lease, _) = etcd.grant(Duration::from_secs(600), late()).unwrap();
    assert!(!etcd.has_no_space(late()).unwrap());

    let why = refused(&etcd, &put("other/k"));
    assert!(why.contains("permission denied; the role of its user needs"), "{why}");
    let outcome = members.client_as("vault", "wrong").range(&mine(), late());
    assert!(matches!(&outcome, Err(Error::Refused(why)) if why.contains("username and password_path")), "{outcome:?}");
    let outcome = members.client().range(&mine(), late());
    assert!(matches!(&outcome, Err(Error::Refused(why)) if why.contains("it asks for a user")), "{outcome:?}");

    // A member keeps the tokens that it gave in its memory.
    members.restart(0);
    assert_eq!(etcd.range(&mine(), late()).unwrap().pairs.len(), 1);
    members.restart(0);
    assert_eq!(etcd.keep_alive(lease, late()).unwrap(), Some(Duration::from_secs(600)));
    members.restart(0);
    etcd.delete_range(Keys::prefix(b"vault/"), late()).unwrap();
    assert!(etcd.range(&mine(), late()).unwrap().pairs.is_empty());
}
