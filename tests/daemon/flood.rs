//! Clients that are hostile, or many: the real daemon survives them, and serves another client meanwhile.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use serde_json::json;

use crate::client::Client;
use crate::running::Daemon;
use crate::site::{Site, eventually};

/// A daemon with one secret, and a client that is to get it whatever else goes on.
struct Flooded {
    site: Site,
    daemon: Daemon,
    addr: SocketAddr,
    other: Client,
}

impl Flooded {
    fn new() -> Self {
        let site = Site::new();
        let daemon = site.start();
        let mut other = daemon.client("admin");
        // Large, so that a socket's buffers hold only a few of its kind.
        other.store("large", &"v".repeat(60_000));
        other.store("small", "served");
        Self { site, addr: daemon.addr(), daemon, other }
    }

    /// The same daemon, started again with a request limit of a second.
    fn hurried() -> Self {
        let Self { site, daemon, .. } = Self::new();
        daemon.stop();
        site.edit("config.toml", "request_timeout_secs = 3600", "request_timeout_secs = 1");
        let daemon = site.start();
        Self { site, addr: daemon.addr(), other: daemon.client("admin"), daemon }
    }

    /// The other client is still served, and a new one is too.
    fn serves_others(&mut self) {
        is_served(&mut self.other);
        is_served(&mut Client::named("admin", self.addr));
    }

    /// The audit log is whole when all is over.
    fn ends(self) {
        self.daemon.stop();
        self.site.verify_audit();
        assert_eq!(self.site.audit(1).last().unwrap()["event"], "server_stop");
    }
}

fn is_served(client: &mut Client) {
    let answer = client.get("/secret/small");
    assert_eq!((answer.status, &answer.json()["value"]), (200, &json!("served")));
}

/// How many of the daemon's metric `name`.
fn metric(client: &mut Client, name: &str) -> u64 {
    let text = client.metrics();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} is not in {text}")).parse().unwrap()
}

#[test]
fn a_length_that_nobody_can_send_costs_nothing() {
    let mut flooded = Flooded::new();
    for (length, status) in [("100000000000", 413), ("18446744073709551616", 400), ("-1", 400)] {
        let mut liar = Client::named("admin", flooded.addr);
        liar.send(format!(
            "POST /secret HTTP/1.1\r\nHost: localhost\r\nX-Jarvis-Client: admin\r\nContent-Length: {length}\r\n\r\nx"
        ))
        .unwrap();
        assert_eq!(liar.answer().unwrap().status, status, "{length}");
        flooded.serves_others();
        assert!(liar.answer().is_err(), "the connection is of no use any more: {length}");
    }
    flooded.ends();
}

#[test]
fn a_request_with_both_framings_is_refused_and_what_follows_it_is_not_read() {
    let mut flooded = Flooded::new();
    let mut smuggler = Client::named("admin", flooded.addr);
    smuggler
        .send(
            "POST /secret HTTP/1.1\r\nHost: localhost\r\nX-Jarvis-Client: admin\r\nContent-Length: 5\r\n\
             Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
             DELETE /secret/small HTTP/1.1\r\nHost: localhost\r\nX-Jarvis-Client: admin\r\n\r\n",
        )
        .unwrap();
    assert_eq!(smuggler.answer().unwrap().status, 400);
    assert!(smuggler.answer().is_err(), "one answer, and the end");
    flooded.serves_others();
    flooded.ends();
}

#[test]
fn a_thousand_connections_that_close_at_once_leave_nothing_behind() {
    let mut flooded = Flooded::new();
    for _ in 0..10 {
        let burst: Vec<_> = (0..100).map(|_| TcpStream::connect(flooded.addr).unwrap()).collect();
        drop(burst);
        // Where closing them takes its time, who waits may have to make room, and comes again.
        eventually("another client is served", || {
            let asked = flooded.daemon.client("admin").try_ask("GET", "/secret/small", &[], b"").ok()?;
            (asked.status == 200).then_some(())
        });
    }
    drop(flooded.other);
    flooded.other = flooded.daemon.only_client();
    flooded.serves_others();
    flooded.ends();
}

#[test]
fn a_client_that_never_reads_its_answers_is_given_up() {
    let mut flooded = Flooded::hurried();
    let request = "GET /secret/large HTTP/1.1\r\nHost: localhost\r\nX-Jarvis-Client: admin\r\n\r\n";
    let mut deaf = TcpStream::connect(flooded.addr).unwrap();
    deaf.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    let requests = request.repeat(100).into_bytes();
    let mut sent = 0;
    // Until the buffers of both directions are full, and then until the daemon has enough of it.
    let why = loop {
        match deaf.write(&requests[sent..]) {
            Ok(count) => sent = (sent + count) % requests.len(),
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => flooded.serves_others(),
            Err(why) => break why,
        }
    };
    assert!(matches!(why.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{why}");
    assert_eq!(metric(&mut flooded.other, "jarvis_secretsd_connections_timed_out_total"), 1);
    flooded.serves_others();
    flooded.ends();
}

#[test]
fn two_thousand_idle_connections_do_not_shut_others_out_of_a_daemon_that_may_open_256_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let here = maximum.unwrap_or(u64::MAX).saturating_sub(200).min(2000);
    if here < 2000 {
        eprintln!("only {here} connections: this process may not open more files");
    }
    let site = Site::new();
    let serve = site.command("serve");
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 256; exec \"$0\" \"$@\""]).arg(serve.get_program()).args(serve.get_args());
    limited.env_remove("RUST_LOG");
    let mut daemon = site.started(limited);
    let addr = daemon.addr();
    let secret = json!({ "name": "small", "value": "served" }).to_string();
    assert_eq!(daemon.client("admin").post("/secret", &secret).status, 200);
    let mut idle = Vec::new();
    while idle.len() < here as usize {
        idle.push(TcpStream::connect(addr).unwrap());
        if idle.len() % 50 == 0 {
            is_served(&mut Client::named("admin", addr));
        }
    }
    let mut other = Client::named("admin", addr);
    is_served(&mut other);
    let open = metric(&mut other, "jarvis_secretsd_connections_open");
    // Files are left for what else has to be opened: a policy, the vault's next file.
    assert!(open <= 256 - 32, "{open} connections with 256 files");
    daemon.signal(Signal::HUP);
    let reload = daemon.await_log("Policy ");
    assert!(reload.contains("Policy reloaded"), "{reload}");
    drop(idle);
    is_served(&mut other);
    daemon.stop();
}
