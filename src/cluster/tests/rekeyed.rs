//! The vault under another master key, at a daemon that did not put it there.

use super::*;
use crate::cluster::rekeyed::Rekeyed;
use crate::vault::{DataKey, is_under};

impl Site {
    /// Puts the vault under a new key at one daemon. Returns the key.
    fn rekeyed_by(&self, daemon: &Daemon) -> KeyBytes {
        let key = KeyFile::new(self.dir.join("next.key")).generate().unwrap();
        daemon.vault.rekey(&self.master, &key, DataKey::Kept, Entry::new(Event::Rekey)).unwrap();
        key
    }

    /// The key file of a host's daemon, in which the present key is.
    fn keys(&self, node: &str) -> KeyFile {
        let keys = KeyFile::new(self.dir.join(node).join("master.key"));
        keys.create(&self.master).unwrap();
        keys
    }

    fn copy(&self, node: &str) -> PathBuf {
        self.dir.join(node).join("vault.json")
    }
}

#[test]
fn a_daemon_follows_as_soon_as_it_has_the_next_key_and_works_until_then() {
    let mut site = Site::new("rekeyed");
    let [one, other] = ["a", "b"].map(|node| site.start(node));
    let (keys, mut rekeyed) = (site.keys("b"), Rekeyed::default());
    other.put("db", "v");
    rekeyed.tend(&other.log, &other.vault, &keys);
    one.put("db", "w");
    let next = site.rekeyed_by(&one);
    other.put("db", "works");
    for _ in 0..2 {
        rekeyed.tend(&other.log, &other.vault, &keys);
        assert!(other.vault.key_trouble().unwrap().contains("would not start again"));
        assert!(is_under(&site.copy("b"), &site.master));
    }
    std::fs::copy(site.dir.join("next.key"), keys.next_path()).unwrap();
    rekeyed.tend(&other.log, &other.vault, &keys);
    assert_eq!(other.vault.key_trouble(), None);
    assert!(is_under(&site.copy("b"), &next));
    other.put("db", "goes on");
    drop((one, other));
    let before = site.audit_lines("b").len();
    site.master = next;
    let other = site.start("b");
    assert_eq!(other.read("db").as_deref(), Some("goes on"));
    assert_eq!(site.audit_lines("b").len(), before, "nothing was to be recovered");
}

#[test]
fn two_daemons_do_not_put_the_vault_under_two_keys() {
    let site = Site::new("two-keys");
    let [one, other] = ["a", "b"].map(|node| site.start(node));
    other.put("db", "v");
    site.rekeyed_by(&one);
    let third = KeyFile::new(site.dir.join("third.key")).generate().unwrap();
    let refused = other.vault.rekey(&site.master, &third, DataKey::Kept, Entry::new(Event::Rekey)).unwrap_err();
    assert!(format!("{refused:?}").contains("another daemon has put it under another master key"), "{refused:?}");
    assert_eq!(other.read("db").as_deref(), Some("v"));
    other.put("db", "w");
    assert_eq!(one.read("db").as_deref(), Some("w"));
}

#[test]
fn a_daemon_that_has_neither_key_is_told_what_to_do() {
    let site = Site::new("neither");
    let (one, keys) = (site.start("a"), site.keys("b"));
    site.rekeyed_by(&one);
    let why = crate::vault::KeyInForce::of_header(&keys, &header(&site.log("b"))).err().unwrap().to_string();
    assert!(why.contains("another master key") && why.contains("`.next`"), "{why}");
}
