//! A soak: a bit of everything for a long time, after which nothing has grown and nothing is lost.
//!
//! `SOAK_SECONDS` says for how long. From two minutes on, memory is looked at too: before, it still finds its size.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Signal, geteuid};
use rustls::ClientConfig;
use serde_json::json;

use crate::client::{Answer, Client};
use crate::figures::{figure, open_files};
use crate::running::Daemon;
use crate::site::{AUDIT, Site, eventually};
use crate::tls::secure;
use crate::tls_client::{Offer, client, connect_as};

/// How long a client waits before its next request.
const PACE: Duration = Duration::from_millis(50);
/// Names that each client has for itself.
const NAMES: usize = 8;
/// How many seconds lie between two signals to read files again.
const BETWEEN_RELOADS: u64 = 5;
/// How long a soak must be for its memory to be judged.
const LONG: u64 = 120;

/// How the daemon is reached.
#[derive(Clone)]
enum Way {
    Tls(SocketAddr, Arc<ClientConfig>),
    Unix(PathBuf),
}

impl Way {
    fn connect(&self) -> Client {
        match self {
            Self::Tls(addr, config) => Client::secure(&[("X-Jarvis-Client", "admin")], connect_as(config, *addr)),
            Self::Unix(path) => Client::unix(&[], path),
        }
    }
}

/// A client that does a bit of everything, and knows what has to come of it.
struct Resident {
    way: Way,
    number: usize,
    client: Client,
    steps: usize,
    /// The values of its names that are there.
    values: HashMap<String, String>,
}

impl Resident {
    fn settle(way: &Way, number: usize) -> Self {
        Self { way: way.clone(), number, client: way.connect(), steps: 15, values: HashMap::new() }
    }

    fn run(mut self, stop: &AtomicBool) -> Self {
        while !stop.load(Ordering::Relaxed) {
            self.step();
            thread::sleep(PACE);
        }
        self
    }

    fn step(&mut self) {
        self.steps += 1;
        let name = format!("r{}_{}", self.number, self.steps / 16 % NAMES);
        let target = format!("/secret/{name}");
        match self.steps % 16 {
            0 | 5 | 10 => self.put(&name),
            1 => {
                self.expect(200, |client| client.post("/rotate", &json!({ "names": [name] }).to_string()));
                let value = self.client.value(&name);
                assert_ne!(self.values.insert(name, value.clone()), Some(value));
            }
            2 => drop(self.expect(200, |client| client.get(&format!("{target}/versions")))),
            3 => drop(self.expect(200, |client| client.get("/secrets"))),
            4 => {
                let claim = [("X-Jarvis-Client", "guarded"), ("Authorization", "Bearer wrong")];
                let mut stranger = match &self.way {
                    Way::Tls(addr, config) => Client::secure(&claim, connect_as(config, *addr)),
                    Way::Unix(path) => Client::unix(&claim, path),
                };
                assert_eq!(stranger.get(&target).status, 401);
            }
            6 => self.client = self.way.connect(),
            7 => drop(self.expect(400, |client| client.post("/secret", "{"))),
            8 => drop(self.expect(404, |client| client.get("/secret/missing"))),
            9 if self.steps.is_multiple_of(3) => {
                self.expect(200, |client| client.delete(&target));
                self.values.remove(&name);
                self.expect(404, |client| client.get(&target));
            }
            _ => self.look(&name),
        }
    }

    fn put(&mut self, name: &str) {
        let value = format!("{name} {} {}", self.steps, "x".repeat(self.steps % 7 * 1000));
        self.client.store(name, &value);
        self.values.insert(name.to_owned(), value);
    }

    fn look(&mut self, name: &str) {
        match self.values.get(name) {
            Some(value) => assert_eq!(self.client.value(name), *value),
            None => assert_eq!(self.client.get(&format!("/secret/{name}")).status, 404),
        }
    }

    fn expect(&mut self, status: u16, ask: impl FnOnce(&mut Client) -> Answer) -> Answer {
        let answer = ask(&mut self.client);
        assert_eq!(answer.status, status, "{}", answer.body);
        answer
    }
}

/// What a process takes.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// KiB of it in RAM, without what is mapped of its file: pages of code come in as they are used.
    resident: u64,
    files: u64,
}

impl Sample {
    fn of(daemon: &Daemon, client: &mut Client) -> Self {
        Self { resident: figure(daemon.pid(), "RssAnon"), files: open_files(client) }
    }
}

fn median(samples: &[Sample], field: impl Fn(&Sample) -> u64) -> u64 {
    let mut values: Vec<_> = samples.iter().map(field).collect();
    values.sort();
    values[values.len() / 2]
}

/// Renames the audit log away, as logrotate does, and has the daemon go on in a new one. Returns where the old one is.
fn rotate_audit(daemon: &Daemon, number: usize) -> PathBuf {
    let (log, old) = (daemon.site.path(AUDIT), daemon.site.path(&format!("{AUDIT}.{number}")));
    fs::rename(&log, &old).unwrap();
    daemon.signal(Signal::HUP);
    eventually("the daemon continues in a new audit log", || log.exists().then_some(()));
    old
}

#[test]
fn a_bit_of_everything_for_a_long_time_leaves_nothing_behind() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(3, |text| text.parse().unwrap());
    let site = Site::new();
    let uid = geteuid().as_raw();
    let policy = format!(
        "[clients.admin]\nallow = [\"*\"]\n[clients.guarded]\nallow = [\"*\"]\ntoken_sha256 = [\"{}\"]\n\
         [clients.local]\nallow = [\"*\"]\nadmin = true\nunix_uid = [{uid}]\n",
        "0".repeat(64)
    );
    site.configure("127.0.0.1:0", &policy);
    let sock = site.path("sock");
    // What is replaced is dead at once, so that there is something to compact.
    site.edit("config.toml", "[security]\n", "[security]\ngrace_days = 0\n");
    site.edit("config.toml", "[server]\n", &format!("[server]\nunix_socket = {sock:?}\n"));
    let files = secure(&site);
    let mut serve = site.command("serve");
    // What glibc keeps of freed memory for each thread takes long to find its size, and would hide a leak.
    serve.env("GLIBC_TUNABLES", "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0");
    let daemon = site.started(serve);

    let ways = [Way::Tls(daemon.addr(), client(Offer::default())), Way::Unix(sock)];
    let mut observer = ways[1].connect();
    let at_first = Sample::of(&daemon, &mut observer);
    let stop = Arc::new(AtomicBool::new(false));
    let residents: Vec<JoinHandle<Resident>> = (0..4)
        .map(|number| {
            let (resident, stop) = (Resident::settle(&ways[number % 2], number), stop.clone());
            thread::spawn(move || resident.run(&stop))
        })
        .collect();
    let (mut samples, mut audit_logs) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    for second in 1..=seconds {
        thread::sleep((begun + Duration::from_secs(second)).saturating_duration_since(Instant::now()));
        samples.push(Sample::of(&daemon, &mut observer));
        if second % BETWEEN_RELOADS == 3 {
            audit_logs.push(rotate_audit(&daemon, audit_logs.len()));
        }
    }
    stop.store(true, Ordering::Relaxed);
    let residents: Vec<Resident> = residents.into_iter().map(|thread| thread.join().unwrap()).collect();
    let steps: usize = residents.iter().map(|resident| resident.steps).sum();
    for resident in residents {
        for (name, value) in &resident.values {
            assert_eq!(observer.value(name), *value);
        }
    }
    let compactions = daemon.log().matches("Vault compacted").count();
    println!("{steps} steps in {seconds} s, {} reloads, {compactions} compactions", audit_logs.len());

    eventually("only the observer is left", || {
        let page = observer.metrics();
        page.contains("\njarvis_secretsd_connections_open 1\n").then_some(())
    });
    let at_last = Sample::of(&daemon, &mut observer);
    println!("at rest {at_first:?}, then {at_last:?}");
    assert_eq!(at_last.files, at_first.files);
    if seconds >= LONG {
        // The tenth of the time that begins when two of them have passed, and the last one.
        let tenth = samples.len() / 10;
        let (early, late) = (&samples[2 * tenth..3 * tenth], &samples[samples.len() - tenth..]);
        let [before, after] = [early, late].map(|part| median(part, |sample| sample.resident));
        println!("resident: {before} KiB, then {after} KiB");
        // The kids of versions that are gone stay, with 16 bytes for each second of a name, in a vector that doubles: some
        // 50 KiB here. A leak of 16 bytes a step would be more than is allowed.
        assert!(after <= before + before / 10 + 256, "{before} KiB became {after} KiB");
        let [before, after] = [early, late].map(|part| median(part, |sample| sample.files));
        assert_eq!(before, after, "open files");
        assert!(compactions > 0);
    }
    let site = daemon.stop();
    audit_logs.push(site.path(AUDIT));
    site.verify_audit_files(&audit_logs.iter().map(PathBuf::as_path).collect::<Vec<&Path>>());
    drop(files);
}
