//! The master key, wrapped by a passphrase for the safe, and put back in its place.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::client_program::{fed, refused};
use crate::running::Daemon;
use crate::site::{MASTER_KEY, Site, VAULT, mode, said};

const PASSPHRASE: &[u8] = b"correct horse battery\n";

/// A site whose daemon has run, and its wrapped key.
fn exported() -> (Site, String) {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "v");
    let site = daemon.stop();
    let wrapped = fed(site.command("key export"), PASSPHRASE);
    assert!(wrapped.status.success(), "{}", said(&wrapped));
    assert_eq!(said(&wrapped).lines().count(), 3);
    let text = String::from_utf8(wrapped.stdout).unwrap();
    site.write("wrapped.txt", &text);
    (site, text)
}

fn import(site: &Site, passphrase: &[u8]) -> Output {
    let mut command = site.command("key import");
    command.arg(site.path("wrapped.txt"));
    fed(command, passphrase)
}

#[test]
fn a_key_that_was_lost_comes_back_from_its_wrapped_form_and_opens_the_vault() {
    let (site, _) = exported();
    let key = fs::read(site.path(MASTER_KEY)).unwrap();
    fs::remove_file(site.path(MASTER_KEY)).unwrap();
    let imported = import(&site, PASSPHRASE);
    assert!(imported.status.success(), "{}", said(&imported));
    assert_eq!(fs::read(site.path(MASTER_KEY)).unwrap(), key);
    assert_eq!(mode(&site.path(MASTER_KEY)), 0o600);
    let daemon = site.start();
    assert_eq!(daemon.client("admin").value("db_main"), "v");
    drop(daemon);
    assert!(said(&import(&site, PASSPHRASE)).contains("holds this key already"));
}

#[test]
fn the_wrapped_form_holds_no_key_in_the_clear_and_goes_to_no_file_that_is_there() {
    let (site, text) = exported();
    let key = fs::read(site.path(MASTER_KEY)).unwrap();
    for clear in [base64::encode(&key), key.iter().map(|byte| format!("{byte:02x}")).collect()] {
        assert!(!text.contains(&clear[..20]));
    }
    let path = site.path("new.txt");
    let export = || {
        let mut command = site.command("key export");
        command.arg("--output").arg(&path);
        fed(command, PASSPHRASE)
    };
    assert!(export().status.success());
    assert_eq!(mode(&path), 0o600);
    let before = fs::read(&path).unwrap();
    refused(&export(), "exists already");
    assert_eq!(fs::read(&path).unwrap(), before);
    refused(&fed(site.command("key export"), b"too short\n"), "at least 12 characters");
}

#[test]
fn a_wrong_passphrase_or_a_foreign_key_puts_nothing_in_place() {
    let (site, text) = exported();
    fs::remove_file(site.path(MASTER_KEY)).unwrap();
    refused(&import(&site, b"correct horse batter\n"), "the passphrase is wrong, or the text was changed");
    site.write("wrapped.txt", &text[..text.len() - 20]);
    refused(&import(&site, PASSPHRASE), "this is not a wrapped master key");
    let (stranger, foreign) = exported();
    site.write("wrapped.txt", &foreign);
    refused(&import(&site, PASSPHRASE), "holds another key than that of the vault");
    assert!(!site.path(MASTER_KEY).exists());

    // Without a vault, a key that is there is not replaced either.
    site.write("wrapped.txt", &text);
    fs::remove_file(site.path(VAULT)).unwrap();
    fs::copy(stranger.path(MASTER_KEY), site.path(MASTER_KEY)).unwrap();
    fs::set_permissions(site.path(MASTER_KEY), Permissions::from_mode(0o600)).unwrap();
    refused(&import(&site, PASSPHRASE), "holds another key; nothing was written");
}
