//! The Unix socket, from the configuration to the audit log.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;

use rustix::process::geteuid;

use crate::client::Client;
use crate::site::{POLICY, Site};

/// A site whose daemon listens on the Unix socket `sock` alone, with a policy by which we are `admin`, and root is `db`.
fn site() -> Site {
    let site = Site::new();
    let uid = geteuid().as_raw();
    let other = uid + 1;
    site.configure(
        "",
        &format!(
            "[clients.admin]\nallow = [\"*\"]\nunix_uid = [{uid}]\n[clients.db]\nallow = [\"*\"]\nunix_uid = [{other}]\n\
             [clients.open]\nallow = [\"*\"]\n"
        ),
    );
    let sock = format!("bind_addr = \"\"\nunix_socket = {:?}", site.path("sock"));
    site.edit("config.toml", "bind_addr = \"\"", &sock);
    site
}

#[test]
fn a_client_is_known_by_its_user_and_the_audit_log_says_which_process_it_was() {
    let daemon = site().start();
    let site = &daemon.site;
    let path = site.path("sock");
    assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o777, 0o660);
    let mut unnamed = Client::unix(&[], &path);
    unnamed.store("db_main", "v");
    let read = unnamed.get("/secret/db_main");
    let line = site.audited(read.header("X-Request-Id").unwrap());
    assert_eq!(line["client"], "admin");
    assert_eq!(line["remote"], format!("unix:uid={},pid={}", geteuid().as_raw(), std::process::id()));
    assert_eq!(Client::unix(&[("X-Jarvis-Client", "admin")], &path).value("db_main"), "v");
    for (client, reason) in [
        ("db", "another user"),
        ("nobody", "unknown client"),
        ("open", "a client without a credential, over the Unix socket"),
    ] {
        let answer = Client::unix(&[("X-Jarvis-Client", client)], &path).get("/secret/db_main");
        assert_eq!(answer.refusal(), (401, "unauthenticated".to_owned()), "{client}");
        assert_eq!(site.audited(answer.header("X-Request-Id").unwrap())["detail"], reason, "{client}");
    }
    let health = site.command("healthcheck").output().unwrap();
    assert!(health.status.success(), "{}", String::from_utf8_lossy(&health.stderr));
    let site = daemon.stop();
    assert!(!site.path("sock").exists(), "the file goes with the daemon, confined as it is");
    assert_eq!(site.command("healthcheck").output().unwrap().status.code(), Some(1));
}

#[test]
fn a_socket_that_is_in_use_stops_the_start_and_one_of_a_crash_does_not() {
    let site = site();
    let other = UnixListener::bind(site.path("sock")).unwrap();
    let refused = site.command("serve").output().unwrap();
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && why.contains("another program listens at this socket"), "{why}");
    drop(other);
    // Killed, it leaves its file behind.
    drop(site.start());
    assert!(site.path("sock").exists());
    site.start().stop();
}

#[test]
fn both_sockets_lead_to_the_same_daemon() {
    let site = site();
    site.configure("127.0.0.1:0", POLICY);
    site.edit("policy.toml", "[clients.idle]\n", &format!("[clients.idle]\nunix_uid = [{}]\n", geteuid().as_raw()));
    let sock = format!("unix_socket = {:?}\nunix_socket_mode = \"0600\"\n[paths]", site.path("sock"));
    site.edit("config.toml", "[paths]", &sock);
    let daemon = site.start();
    daemon.client("admin").store("db_main", "v");
    let list = Client::unix(&[], &site.path("sock")).get("/secrets");
    assert_eq!(list.status, 200, "{}", list.body);
    assert_eq!(fs::symlink_metadata(site.path("sock")).unwrap().mode() & 0o777, 0o600);
    daemon.stop();
}
