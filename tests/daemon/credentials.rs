//! The socket from which systemd fetches credentials for its units, asked as systemd asks it.

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, socket};
use rustix::process::{Uid, geteuid};
use rustix::thread::set_thread_uid;
use serde_json::Value;

use crate::client::Client;
use crate::needs;
use crate::running::Daemon;
use crate::site::{NOBODY, PATIENCE, Site, audit_fields};

/// What systemd takes for all credentials of a unit together (`CREDENTIALS_TOTAL_SIZE_MAX`).
const TAKEN: usize = 1024 * 1024;

/// A daemon with credentials at the socket `cred`, for two units of the client `web`.
pub fn start() -> Daemon {
    let site = Site::new();
    let policy = "[clients.admin]\nallow = [\"*\"]\n[clients.web]\nallow = [\"web_*\"]\n\
                  systemd_unit = [\"web.service\", \"web@1.service\"]\n";
    site.configure("127.0.0.1:0", policy);
    let socket = format!("[server]\ncredential_socket = {:?}\n", site.path("cred"));
    site.edit("config.toml", "[server]\n", &socket);
    let daemon = site.start();
    let mut admin = daemon.client("admin");
    admin.store("web_key", "two\nlines \u{1F511}\n");
    admin.store("db_key", "not for the web");
    daemon
}

/// What comes from the socket until its end, for whose own end has the abstract name `name`, if any.
pub fn fetched(path: &Path, name: Option<&str>) -> Vec<u8> {
    let ours = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    if let Some(name) = name {
        bind(&ours, &SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap()).unwrap();
    }
    connect(&ours, &SocketAddrUnix::new(path).unwrap()).unwrap();
    let mut stream = UnixStream::from(ours);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    // Who closes first while the other still writes has not failed.
    match stream.read_to_end(&mut bytes) {
        Err(why) if why.kind() != ErrorKind::ConnectionReset => panic!("{why}"),
        _ => bytes,
    }
}

/// The name that systemd gives its end. The digits at the start are random, so that no two connections are in each
/// other's way.
pub fn end_of(unit: &str, id: &str) -> String {
    let random = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
    format!("{}/unit/{unit}/{id}", &random.trim().replace('-', "")[..16])
}

fn last_audited(daemon: &Daemon) -> Value {
    daemon.site.audit(1).pop().unwrap()
}

#[test]
fn a_unit_gets_the_bytes_of_its_secret_and_the_audit_log_says_so() {
    if !needs::to_be_root() {
        return;
    }
    let daemon = start();
    let path = daemon.site.path("cred");
    assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o777, 0o600);
    for unit in ["web.service", "web@1.service"] {
        assert_eq!(fetched(&path, Some(&end_of(unit, "web_key"))), "two\nlines \u{1F511}\n".as_bytes());
        let line = last_audited(&daemon);
        assert_eq!(
            audit_fields(&line),
            [Some("get_secret"), Some("web"), Some("web_key"), Some("success"), None],
            "{line}"
        );
        let remote = format!("unix:uid=0,pid={},unit={unit}", std::process::id());
        assert_eq!(line["remote"], remote, "{line}");
        assert_eq!(line["kid"], daemon.client("admin").get("/secret/web_key").text("kid"));
    }
    daemon.client("admin").post("/rotate", r#"{"names":["web_key"]}"#);
    let rotated = daemon.client("admin").value("web_key");
    assert_eq!(fetched(&path, Some(&end_of("web.service", "web_key"))), rotated.as_bytes());
    let site = daemon.stop();
    assert!(!path.exists(), "the file goes with the daemon, confined as it is");
    site.verify_audit();
}

#[test]
fn a_unit_that_may_not_have_a_secret_gets_more_than_systemd_takes_so_that_it_does_not_start() {
    if !needs::to_be_root() {
        return;
    }
    let daemon = start();
    let path = daemon.site.path("cred");
    for (unit, id, expected) in [
        ("web.service", "db_key", ("get_secret", Some("web"), Some("db_key"), "denied", "not_authorized")),
        ("web.service", "web_none", ("get_secret", Some("web"), Some("web_none"), "error", "not_found")),
        ("web.service", "web key", ("get_secret", Some("web"), None, "error", "bad_request")),
        ("other.service", "web_key", ("auth_failure", None, None, "denied", "no client has this systemd_unit")),
        ("web@2.service", "web_key", ("auth_failure", None, None, "denied", "no client has this systemd_unit")),
    ] {
        let bytes = fetched(&path, Some(&end_of(unit, id)));
        assert!(bytes.len() > TAKEN && bytes.iter().all(|byte| *byte == 0), "{unit} {id}: {} bytes", bytes.len());
        let line = last_audited(&daemon);
        let (event, client, name, result, detail) = expected;
        assert_eq!(audit_fields(&line), [Some(event), client, name, Some(result), Some(detail)], "{line}");
    }
    let nameless = "credential requested by a program other than systemd";
    for name in [None, Some("web.service/web_key".to_owned()), Some("12ab/unit/web.service/web_key/".to_owned())] {
        assert!(fetched(&path, name.as_deref()).len() > TAKEN, "{name:?}");
        let line = last_audited(&daemon);
        assert_eq!(audit_fields(&line), [Some("auth_failure"), None, None, Some("denied"), Some(nameless)], "{line}");
    }
    assert_eq!(fetched(&path, Some(&end_of("web.service", "web_key"))), "two\nlines \u{1F511}\n".as_bytes());
}

#[test]
fn another_user_than_root_gets_nothing_whatever_name_its_end_has() {
    let daemon = start();
    let path = daemon.site.path("cred");
    // As if somebody had given the file to all; with its own mode nobody else could even connect.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let asked = thread::spawn(move || {
        if geteuid().is_root() {
            set_thread_uid(Uid::from_raw(NOBODY)).unwrap();
        }
        fetched(&path, Some(&end_of("web.service", "web_key")))
    });
    assert_eq!(asked.join().unwrap(), b"");
    let line = last_audited(&daemon);
    let why = "credential requested by a user other than root";
    assert_eq!(audit_fields(&line), [Some("auth_failure"), None, None, Some("denied"), Some(why)], "{line}");
}

#[test]
fn root_asking_for_units_that_are_in_no_policy_is_not_shut_out_of_the_api() {
    if !needs::to_be_root() {
        return;
    }
    let daemon = start();
    let (site, sock) = (daemon.stop(), "sock");
    site.edit("config.toml", "auth_failures_per_minute = 0", "auth_failures_per_minute = 2");
    site.edit("config.toml", "[server]\n", &format!("[server]\nunix_socket = {:?}\n", site.path(sock)));
    site.edit("policy.toml", "[clients.admin]\n", "[clients.admin]\nunix_uid = [0]\n");
    let daemon = site.start();
    for _ in 0..3 {
        fetched(&daemon.site.path("cred"), Some(&end_of("other.service", "web_key")));
    }
    assert_eq!(Client::unix(&[], &daemon.site.path(sock)).get("/secrets").status, 200);
}

#[test]
fn a_unit_is_no_credential_over_http() {
    let daemon = start();
    let answer = daemon.client("web").get("/secret/web_key");
    assert_eq!(answer.refusal(), (401, "unauthenticated".to_owned()));
}
