//! Sockets that are passed at the start, by systemd's own program for it.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::client::Client;
use crate::credentials::{end_of, fetched};
use crate::needs;
use crate::running::Daemon;
use crate::site::{POLICY, Site};

const ACTIVATE: &str = "systemd-socket-activate";

/// A loopback address that no other test listens at: systemd's program does not let the kernel pick a port.
fn own_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    ([127, high, low, NEXT.fetch_add(1, Ordering::Relaxed)], 8081).into()
}

/// A site whose configuration has an address that is not one of this host's: with it, no daemon starts.
fn site() -> Site {
    let site = Site::new();
    site.configure("192.0.2.1:8081", POLICY);
    site
}

/// Listens at each of `sockets`, a name and an address, and is about to start the daemon with them.
fn listening(site: &Site, options: &[&str], sockets: &[(&str, &str)]) -> Daemon {
    let serve = site.command("serve");
    let names: Vec<_> = sockets.iter().map(|(name, _)| *name).collect();
    let mut activate = Command::new(ACTIVATE);
    activate.args(options).arg(format!("--fdname={}", names.join(":")));
    activate.args(sockets.iter().map(|(_, address)| format!("--listen={address}")));
    activate.arg(serve.get_program()).args(serve.get_args());
    let mut daemon = Daemon::spawn(activate, site, "log");
    daemon.await_log(&format!(" as {}.", 2 + sockets.len()));
    daemon
}

#[test]
fn passed_sockets_of_both_kinds_take_the_place_of_the_configured_ones() {
    if !needs::is_installed(ACTIVATE) {
        return;
    }
    let (site, addr) = (site(), own_address());
    let path = site.path("sock");
    let sockets = [("tcp", addr.to_string()), ("unix", path.to_str().unwrap().to_owned())];
    let sockets = sockets.each_ref().map(|(name, address)| (*name, address.as_str()));
    let mut daemon = listening(&site, &[], &sockets);
    // The first connection starts it, and waits meanwhile.
    let mut admin = Client::named("admin", addr);
    admin.store("db_main", "v");
    daemon.await_log("Using the sockets that were passed");
    let unix = Client::unix(&[("X-Jarvis-Client", "admin")], &path).get("/secret/db_main");
    assert_eq!(unix.refusal(), (401, "unauthenticated".to_owned()), "a header is no credential over a Unix socket");
    assert_eq!(Client::named("reader", addr).value("db_main"), "v");
    daemon.stop();
    assert!(path.exists(), "the file is the one's who made it");
}

#[test]
fn a_passed_socket_of_that_name_serves_credentials() {
    if !(needs::is_installed(ACTIVATE) && needs::to_be_root()) {
        return;
    }
    let site = Site::new();
    site.configure("127.0.0.1:0", "[clients.admin]\nallow = [\"*\"]\nsystemd_unit = [\"a.service\"]\nunix_uid = [0]\n");
    let (credentials, api) = (site.path("credentials"), site.path("api"));
    let sockets = [("credentials", credentials.to_str().unwrap()), ("api", api.to_str().unwrap())];
    let daemon = listening(&site, &[], &sockets);
    Client::unix(&[], &api).store("db_main", "v");
    assert_eq!(fetched(&credentials, Some(&end_of("a.service", "db_main"))), b"v");
    daemon.stop();
}

#[test]
fn the_credential_socket_alone_may_be_passed() {
    if !(needs::is_installed(ACTIVATE) && needs::to_be_root()) {
        return;
    }
    let site = Site::new();
    site.configure("127.0.0.1:0", "[clients.admin]\nallow = [\"*\"]\nsystemd_unit = [\"a.service\"]\n");
    let path = site.path("credentials");
    let mut daemon = listening(&site, &[], &[("credentials", path.to_str().unwrap())]);
    // There is no such secret, but the daemon starts for it.
    assert!(!fetched(&path, Some(&end_of("a.service", "db_main"))).is_empty());
    daemon.await_log("Starting server on 127.0.0.1:");
    daemon.await_log(&format!("Serving credentials to systemd on unix:{}", path.display()));
    daemon.stop();
}

#[test]
fn what_was_passed_and_cannot_be_used_stops_the_start() {
    if !needs::is_installed(ACTIVATE) {
        return;
    }
    let refused = |options: &[&str], sockets: &[(&str, &str)], connect: &dyn Fn(), why: &str| {
        let site = site();
        let mut daemon = listening(&site, options, sockets);
        connect();
        assert_eq!(daemon.ended().code(), Some(1), "{}", daemon.log());
        let log = daemon.log();
        assert_eq!(log.lines().last().unwrap(), format!("jarvis-secretsd: {why}"));
    };
    let site = Site::new();
    let path = site.path("sock");
    let name = path.to_str().unwrap();
    refused(
        &["--datagram"],
        &[("api", name)],
        &|| assert_eq!(UnixDatagram::unbound().unwrap().send_to(b"x", &path).unwrap(), 1),
        "socket 1 (api) of LISTEN_FDS: is not a stream socket of TCP or Unix that listens (Accept=no)",
    );
    let addr = own_address();
    refused(
        &[],
        &[("credentials", &addr.to_string())],
        &|| drop(TcpStream::connect(addr).unwrap()),
        "socket 1 (credentials) of LISTEN_FDS: credentials are served at one Unix socket",
    );
    let paths = ["a", "b"].map(|name| site.path(name));
    let [first, second] = paths.each_ref().map(|path| path.to_str().unwrap());
    refused(
        &[],
        &[("credentials", first), ("credentials", second)],
        &|| drop(UnixStream::connect(&paths[1]).unwrap()),
        "socket 2 (credentials) of LISTEN_FDS: credentials are served at one Unix socket",
    );
}

#[test]
fn sockets_for_another_process_are_not_touched() {
    let site = Site::new();
    let mut serve = site.command("serve");
    serve.envs([("LISTEN_PID", "1"), ("LISTEN_FDS", "2")]);
    site.started(serve).stop();
}
