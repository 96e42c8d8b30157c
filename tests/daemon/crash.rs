//! Rounds of kill -9 at random moments, under writers that all want the same names, on one directory.
//!
//! What was acknowledged is there after each restart; what was under way when the kill came is there or not. Every
//! change of the vault has exactly one audit line. `KILL_ROUNDS` says how many rounds, `KILL_SEED` repeats a run.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::client::Client;
use crate::running::Daemon;
use crate::site::{Site, eventually};

const NAMES: u64 = 20;

/// Of George Marsaglia: enough chance to find mistakes with, and repeatable.
#[derive(Clone)]
struct XorShift(u64);

impl XorShift {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// Another sequence, for another thread.
    fn fork(&mut self) -> Self {
        Self(1 + self.below(u64::MAX - 1))
    }
}

/// What a secret is after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Absent,
    Value(String),
    /// A value that the daemon made, which only it knows.
    Generated,
}

impl State {
    fn is(&self, seen: Option<&str>) -> bool {
        match (self, seen) {
            (Self::Absent, None) => true,
            (Self::Value(value), Some(seen)) => value == seen,
            (Self::Generated, Some(seen)) => !is_ours(seen),
            _ => false,
        }
    }
}

/// A value of ours says so; a generated one is base64, which has no `-`.
fn is_ours(value: &str) -> bool {
    value.starts_with("put-")
}

/// A change that somebody asked for, between two ticks of the test's own clock.
#[derive(Debug)]
struct Change {
    name: u64,
    begun: u64,
    /// When it was acknowledged; none: the kill came first, so it may have been made or not.
    acknowledged: Option<u64>,
    state: State,
}

impl Change {
    /// Whether the secret may have ended as this change left it: no acknowledged change came surely after it.
    fn may_be_last(&self, among: &[Self]) -> bool {
        let is_later = |other: &Self| {
            let ended = self.acknowledged.is_some_and(|ended| ended < other.begun);
            other.name == self.name && other.acknowledged.is_some() && ended
        };
        !among.iter().any(is_later)
    }
}

/// What one thread knows in the end.
#[derive(Default)]
struct Witness {
    changes: Vec<Change>,
    /// Values that were read, of which secret, and when: who wrote them was as good as acknowledged.
    seen: Vec<(u64, String, u64)>,
    kids: Vec<String>,
}

struct Writer {
    client: Client,
    random: XorShift,
    acknowledged: Sender<()>,
    witness: Witness,
}

/// Orders what happens in different threads.
static TICKS: AtomicU64 = AtomicU64::new(1);

fn tick() -> u64 {
    TICKS.fetch_add(1, Ordering::SeqCst)
}

impl Writer {
    /// Changes and reads until the connection breaks.
    fn run(mut self) -> Witness {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        let why = loop {
            if let Err(why) = self.step() {
                break why;
            }
        };
        assert!(matches!(why.kind(), BrokenPipe | ConnectionReset | UnexpectedEof), "{why}");
        self.witness
    }

    fn step(&mut self) -> io::Result<()> {
        let name = self.random.below(NAMES);
        match self.random.below(10) {
            0..4 => self.put(name)?,
            4 => self.put_two(name)?,
            5 | 6 => self.change([(name, State::Absent)], "DELETE", &format!("/secret/n{name}"), "").map(|_| ())?,
            7 => {
                let revokes = self.random.one_in(2);
                let body = json!({ "names": [format!("n{name}")], "revoke_previous": revokes }).to_string();
                self.change([(name, State::Generated)], "POST", "/rotate", &body)?;
            }
            _ => self.read(name)?,
        }
        // Nobody counts any more once the kill was decided on.
        let _ = self.acknowledged.send(());
        Ok(())
    }

    fn put(&mut self, name: u64) -> io::Result<()> {
        let (value, mut body) = self.value_of(name);
        if self.random.one_in(4) {
            body["revoke_previous"] = true.into();
        }
        if let Some(made) = self.change([(name, State::Value(value))], "POST", "/secret", &body.to_string())? {
            self.remember(&made);
        }
        Ok(())
    }

    /// Puts that name and another one with one request, of which a kill may leave one.
    fn put_two(&mut self, name: u64) -> io::Result<()> {
        let other = (name + 1) % NAMES;
        let ((value, body), (other_value, other_body)) = (self.value_of(name), self.value_of(other));
        let both = [(name, State::Value(value)), (other, State::Value(other_value))];
        let body = json!({ "secrets": [body, other_body] }).to_string();
        if let Some(made) = self.change(both, "POST", "/secrets", &body)? {
            made["secrets"].as_array().unwrap().iter().for_each(|made| self.remember(made));
        }
        Ok(())
    }

    /// A new value, and what is asked with it.
    fn value_of(&mut self, name: u64) -> (String, Value) {
        let padding = if self.random.one_in(8) { self.random.below(32 * 1024) } else { self.random.below(64) };
        let value = format!("put-{}-{}", tick(), "x".repeat(padding as usize));
        let body = json!({ "name": format!("n{name}"), "value": value });
        (value, body)
    }

    fn remember(&mut self, metadata: &Value) {
        self.witness.kids.push(metadata["kid"].as_str().unwrap().to_owned());
    }

    /// Asks for changes of these names and remembers what came of them.
    fn change(
        &mut self,
        states: impl IntoIterator<Item = (u64, State)>,
        method: &str,
        target: &str,
        body: &str,
    ) -> io::Result<Option<Value>> {
        let (first, begun) = (self.witness.changes.len(), tick());
        let changes = states.into_iter().map(|(name, state)| Change { name, begun, acknowledged: None, state });
        self.witness.changes.extend(changes);
        let answer = self.client.try_ask(method, target, &[], body.as_bytes())?;
        match answer.status {
            200 => {
                let acknowledged = Some(tick());
                self.witness.changes[first..].iter_mut().for_each(|change| change.acknowledged = acknowledged);
                Ok(Some(answer.json()))
            }
            404 if !matches!(target, "/secret" | "/secrets") => {
                self.witness.changes.truncate(first);
                Ok(None)
            }
            status => panic!("{method} {target}: {status} {}", answer.body),
        }
    }

    fn read(&mut self, name: u64) -> io::Result<()> {
        if let Some(value) = read(&mut self.client, name)?.filter(|value| is_ours(value)) {
            self.witness.seen.push((name, value, tick()));
        }
        Ok(())
    }
}

fn read(client: &mut Client, name: u64) -> io::Result<Option<String>> {
    let answer = client.try_ask("GET", &format!("/secret/n{name}"), &[], b"")?;
    match answer.status {
        200 => Ok(Some(answer.json()["value"].as_str().unwrap().to_owned())),
        404 => Ok(None),
        status => panic!("GET n{name}: {status} {}", answer.body),
    }
}

/// What has to be true of the directory, after everything that happened on it so far.
struct Ledger {
    site: Site,
    secrets: Vec<State>,
    /// Every version that was acknowledged.
    kids: HashSet<String>,
    /// How many lines of the audit log were checked.
    audit_lines: usize,
    last_change: u64,
    created: HashSet<String>,
    recovered: usize,
    compactions: usize,
}

impl Ledger {
    fn new() -> Self {
        let site = Site::new();
        // What is replaced is dead at once, so that there is something to compact.
        site.edit("config.toml", "[security]\n", "[audit]\nsegment_bytes = 65536\n[security]\ngrace_days = 0\n");
        Self {
            site,
            secrets: (0..NAMES).map(|_| State::Absent).collect(),
            kids: HashSet::new(),
            audit_lines: 0,
            last_change: 0,
            created: HashSet::new(),
            recovered: 0,
            compactions: 0,
        }
    }

    /// Starts the daemon, lets threads write, and kills it after `limit` answers. Returns what they know.
    fn kill_under_writers(&mut self, random: &mut XorShift, limit: u64) -> Vec<Change> {
        let daemon = self.site.start();
        let addr: SocketAddr = daemon.addr();
        let (acknowledged, answers) = mpsc::channel();
        let writers: Vec<_> = (0..4 + random.below(5))
            .map(|_| {
                let (random, acknowledged) = (random.fork(), acknowledged.clone());
                let client = Client::named("admin", addr);
                thread::spawn(|| Writer { client, random, acknowledged, witness: Witness::default() }.run())
            })
            .collect();
        drop(acknowledged);
        let heard = answers.iter().take(limit as usize).count();
        self.killed(daemon);
        let mut changes: Vec<_> = (0..)
            .zip(&self.secrets)
            .map(|(name, state)| Change { name, begun: 0, acknowledged: Some(0), state: state.clone() })
            .collect();
        let mut seen = Vec::new();
        for writer in writers {
            let witness = writer.join().expect("a writer got an answer that it should not get");
            changes.extend(witness.changes);
            seen.extend(witness.seen);
            for kid in witness.kids {
                assert!(self.kids.insert(kid.clone()), "{kid} was given to two versions");
            }
        }
        assert_eq!(heard as u64, limit, "the daemon answers until it is killed");
        for (name, value, when) in seen {
            let state = State::Value(value);
            let written = changes.iter_mut().find(|change| change.name == name && change.state == state);
            let written = written.expect("a value that is read was written by somebody");
            written.acknowledged = written.acknowledged.map_or(Some(when), |ended| Some(ended.min(when)));
        }
        changes
    }

    /// Starts the daemon and kills it as soon as its log has `lines` lines.
    fn kill_at_the_start(&mut self, lines: usize) {
        let daemon = Daemon::spawn(self.site.command("serve"), &self.site, "log");
        eventually("the start has come that far", || (daemon.log().lines().count() >= lines).then_some(()));
        self.killed(daemon);
    }

    fn killed(&mut self, daemon: Daemon) {
        drop(daemon);
        self.compactions += self.site.read("log").matches("Vault compacted").count();
    }

    /// Starts the daemon again and looks at every secret.
    fn compare(&mut self, changes: &[Change]) {
        let daemon = self.site.start();
        let mut client = daemon.client("admin");
        for name in 0..NAMES {
            let seen = read(&mut client, name).unwrap();
            let seen = seen.as_deref();
            let of_name = || changes.iter().filter(|change| change.name == name);
            let is_possible = of_name().any(|change| change.state.is(seen) && change.may_be_last(changes));
            assert!(is_possible, "n{name} is {seen:.40?} after {:#?}", of_name().collect::<Vec<_>>());
            self.secrets[name as usize] = seen.map_or(State::Absent, |value| State::Value(value.to_owned()));
        }
        daemon.stop();
    }

    /// Checks the audit lines that are new, and that the vault's changes go on in them without gap or duplicate.
    fn check_audit(&mut self) {
        let mut numbers = BTreeSet::new();
        for line in self.site.audit(self.audit_lines + 1) {
            self.audit_lines += 1;
            let event = line["event"].as_str().unwrap();
            let is_change = matches!(
                event,
                "create_secret" | "delete_secret" | "rotate" | "destroy_version" | "retire" | "recovered"
            );
            if is_change && line["result"] == "success" {
                let number = line["vault_seq"].as_u64().unwrap();
                assert!(numbers.insert(number), "change {number} was audited twice: {line}");
                if event == "create_secret" {
                    self.created.insert(line["kid"].as_str().unwrap().to_owned());
                }
                self.recovered += usize::from(event == "recovered");
            }
        }
        let expected: BTreeSet<_> = (self.last_change + 1..).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "every change is audited once");
        self.last_change += numbers.len() as u64;
        let unaudited: Vec<_> = self.kids.difference(&self.created).collect();
        assert!(unaudited.is_empty(), "acknowledged without a line of their own: {unaudited:?}");
    }
}

#[test]
fn no_kill_loses_what_was_acknowledged_or_leaves_a_change_without_its_audit_line() {
    let from_env = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let rounds = from_env("KILL_ROUNDS").unwrap_or(15);
    let seed = from_env("KILL_SEED")
        .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1);
    println!("KILL_SEED={seed}");
    let mut random = XorShift(seed);
    let mut ledger = Ledger::new();
    for round in 1..=rounds {
        println!("round {round}");
        // Some kills come early, while the new daemon still tidies up what the last one left.
        let limit = if random.one_in(4) { 1 + random.below(4) } else { 1 + random.below(120) };
        let changes = ledger.kill_under_writers(&mut random, limit);
        if random.one_in(3) {
            ledger.kill_at_the_start(1 + random.below(14) as usize);
        }
        ledger.compare(&changes);
        ledger.check_audit();
    }
    let Ledger { site, last_change, recovered, compactions, .. } = &ledger;
    site.verify_audit();
    let segments = site.audit_files().len() - 1;
    println!(
        "{rounds} rounds, {last_change} changes, {recovered} recovered, {compactions} compactions, {segments} segments"
    );
    assert!(segments > 0 || rounds < 15, "the audit log was never closed under all that");
    assert!(*compactions > 0 || rounds < 500, "nothing was compacted under all that");
}
