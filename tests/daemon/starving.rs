//! Floods of what needs no credential: a client that has one is still served.
//!
//! A read fails if it is answered with anything but the value, or its connection ends instead.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};
use serde_json::json;

use crate::client::{Client, connect_from};
use crate::crowd::Crowd;
use crate::running::Daemon;
use crate::site::Site;

/// More connections than the daemon lets in.
const FLOOD: usize = 600;
/// Reads of one bystander.
const READS: usize = 60;
/// How many of them may fail.
const MAY_FAIL: usize = READS / 20;

/// A daemon that knows `backend` by its token over TCP, and us over its Unix socket, which counts as another source.
struct Besieged {
    daemon: Daemon,
    token: String,
    socket: PathBuf,
}

/// How a bystander comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// From where the flood comes from.
    Same,
    /// From another source.
    Other,
}

impl Besieged {
    fn with(secrets: usize) -> Self {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
        let site = Site::new();
        let token = jarvis_secretsd::access::Token::generate().unwrap();
        let policy = format!(
            "[clients.backend]\nallow = [\"*\"]\nadmin = true\ntoken_sha256 = [\"{}\"]\n\
             [clients.local]\nallow = [\"*\"]\nunix_uid = [{}]\n",
            token.hash(),
            geteuid().as_raw()
        );
        site.configure("127.0.0.1:0", &policy);
        let socket = site.path("sock");
        site.edit("config.toml", "request_timeout_secs = 3600", &format!("unix_socket = {socket:?}"));
        let besieged = Self { daemon: site.start(), token: token.expose().to_owned(), socket };
        besieged.store(secrets);
        besieged
    }

    fn store(&self, count: usize) {
        let mut client = self.connect(Way::Same);
        client.store("small", "served");
        let names: Vec<usize> = (1..count).collect();
        for some in names.chunks(5000) {
            let secrets: Vec<_> =
                some.iter().map(|number| json!({ "name": format!("n{number}"), "value": "v" })).collect();
            assert_eq!(client.post("/secrets", &json!({ "secrets": secrets }).to_string()).status, 200);
        }
    }

    fn connect(&self, way: Way) -> Client {
        match way {
            Way::Same => {
                let bearer = format!("Bearer {}", self.token);
                Client::with(&[("X-Jarvis-Client", "backend"), ("Authorization", &bearer)], self.daemon.addr())
            }
            Way::Other => Client::unix(&[], &self.socket),
        }
    }

    /// How many of a bystander's reads fail, on one connection as long as it lasts, or each on a new one.
    fn failures(&self, way: Way, keeps: bool) -> usize {
        let mut client = None;
        let mut failed = 0;
        for _ in 0..READS {
            let mut connection = client.take().unwrap_or_else(|| self.connect(way));
            match connection.try_ask("GET", "/secret/small", &[], b"") {
                Ok(answer) if answer.status == 200 => client = keeps.then_some(connection),
                _ => failed += 1,
            }
        }
        failed
    }

    /// Floods with `call`, and returns all that failed more often than may be.
    fn starved_by(&self, call: &str) -> Vec<String> {
        let flood = Crowd::flood(self.daemon.addr(), call, FLOOD);
        flood.await_connections(FLOOD);
        let mut starved = Vec::new();
        for way in [Way::Same, Way::Other] {
            for keeps in [true, false] {
                let failed = self.failures(way, keeps);
                println!("{call}: {way:?}, keeps {keeps}: {failed} of {READS} failed");
                if failed > MAY_FAIL {
                    starved.push(format!("{call}, {way:?}, keeps its connection: {keeps}: {failed} of {READS}"));
                }
            }
        }
        println!("{call}: {:?}", flood.disperse());
        starved
    }
}

#[test]
fn calls_that_need_no_credential_starve_nobody() {
    let besieged = Besieged::with(1);
    let calls =
        ["GET /metrics", "GET /openapi.json", "GET /nowhere", "GET /secret/small", "GET /healthz", "BREW /secrets"];
    let starved: Vec<_> = calls.iter().flat_map(|call| besieged.starved_by(call)).collect();
    assert_eq!(starved, [""; 0]);
    besieged.daemon.stop().verify_audit();
}

#[test]
fn the_metrics_of_many_secrets_starve_nobody() {
    let besieged = Besieged::with(50_000);
    assert_eq!(besieged.starved_by("GET /metrics"), [""; 0]);
}

#[test]
fn silent_connections_of_all_loopback_addresses_close_none_of_a_known_client() {
    let besieged = Besieged::with(1);
    let mut known: Vec<_> = (0..100).map(|_| besieged.connect(Way::Same)).collect();
    for client in &mut known {
        assert_eq!(client.value("small"), "served");
    }
    let mut silent = Vec::new();
    for number in 0..1000 {
        silent.push(connect_from(
            Ipv4Addr::new(127, 1, (number / 250) as u8, (number % 250) as u8 + 1).into(),
            besieged.daemon.addr(),
        ));
        if number % 100 == 99 {
            assert_eq!(besieged.connect(Way::Same).value("small"), "served", "and a new one is let in");
        }
    }
    for client in &mut known {
        assert_eq!(client.value("small"), "served");
    }
}
