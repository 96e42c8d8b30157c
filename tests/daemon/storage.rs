//! What `check` says of `[storage]`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::site::{Site, said};
use crate::tls_client::{ServerFiles, data};

const BAD_CONFIG: i32 = 78;

/// Makes it the site of a node called `a`, with these keys of `[storage]` besides.
fn configure(site: &Site, keys: &str) {
    let config = site.read("config.toml");
    site.write("config.toml", &format!("{config}[storage]\nkind = \"etcd\"\nnode = \"a\"\n{keys}\n"));
}

/// A site with all files for etcd that there can be; they must outlive what uses them.
fn with_files() -> (Site, ServerFiles) {
    let site = Site::new();
    let files = ServerFiles::new(site.path("etcd"));
    files.write("password", b"secret\n");
    let [cert, key, password] = ["tls.pem", "tls.key", "password"].map(|name| files.path(name));
    let keys = format!(
        "endpoints = [\"https://localhost:1\"]\nca_path = {:?}\ncert_path = {cert:?}\nkey_path = {key:?}\n\
         username = \"u\"\npassword_path = {password:?}",
        data("ca.pem")
    );
    configure(&site, &keys);
    (site, files)
}

/// What `check` says where it finds nothing wrong.
fn checked(site: &Site) -> String {
    let output = site.command("check").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    said(&output)
}

/// With which status, and how, `check` refuses it.
fn refusal(site: &Site) -> (Option<i32>, String) {
    let output = site.command("check").output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn check_finds_good_what_it_takes_to_ask_etcd() {
    let (site, _files) = with_files();
    let text = checked(&site);
    assert!(text.contains("node a of the daemons below /jarvis-secretsd/ in etcd: good\n"), "{text}");
    assert!(!text.contains("warning: http"), "{text}");
    assert!(!site.path("state").exists(), "check makes nothing");
}

#[test]
fn check_refuses_a_key_or_a_password_for_etcd_that_others_may_read() {
    for name in ["tls.key", "password"] {
        let (site, files) = with_files();
        set_mode(&files.path(name), 0o640);
        let (status, why) = refusal(&site);
        assert_eq!(status, Some(BAD_CONFIG), "{why}");
        assert!(why.contains(&format!("/{name}: others than its owner may use this key (mode 0640)")), "{why}");
    }
}

#[test]
fn check_refuses_files_for_etcd_that_are_missing_or_do_not_belong_together() {
    let (site, files) = with_files();
    files.put("other.key", "tls.key");
    let (_, why) = refusal(&site);
    assert!(why.contains("/tls.pem: the key ") && why.contains("does not belong to this certificate"), "{why}");
    for name in ["tls.pem", "tls.key", "password"] {
        let (site, files) = with_files();
        fs::remove_file(files.path(name)).unwrap();
        let (status, why) = refusal(&site);
        assert_eq!(status, Some(1), "{why}");
        assert!(why.contains(&format!("/{name}: No such file")), "{why}");
    }
}

#[test]
fn check_refuses_files_for_etcd_that_anybody_can_change() {
    let (site, files) = with_files();
    set_mode(&files.path("tls.pem"), 0o646);
    let (status, why) = refusal(&site);
    assert_eq!(status, Some(BAD_CONFIG), "{why}");
    assert!(why.contains("/tls.pem: anybody can write to it (mode 0646)"), "{why}");
}

#[test]
fn check_warns_of_a_member_of_etcd_that_has_no_address_or_is_asked_without_tls() {
    let site = Site::new();
    configure(&site, "request_timeout_secs = 1\nendpoints = [\"http://127.0.0.1:1\", \"http://etcd.invalid:1\"]");
    let text = checked(&site);
    let begins =
        |with: &str| text.lines().filter(|line| line.contains(&format!("warning: {with}: "))).collect::<Vec<_>>();
    let [in_the_clear, unknown] = begins("http://etcd.invalid:1")[..] else { panic!("{text}") };
    assert!(in_the_clear.contains("etcd is reached without TLS"), "{text}");
    assert!(unknown.contains("the daemon could not ask etcd there: failed to lookup address"), "{text}");
    assert!(begins("http://127.0.0.1:1").is_empty(), "{text}");
}
