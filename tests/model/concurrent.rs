//! Many clients of the real daemon at a time, on few names: what each saw can have happened in one order.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use proptest::{collection::vec, strategy::ValueTree};
use serde_json::json;

use crate::client::{Answer, Client};
use crate::linearizability::{Call, Condition, Operation, Outcome, check};
use crate::site::Site;
use crate::times;

const NAMES: [&str; 3] = ["db_main", "db_spare", "web"];
const CLIENTS: usize = 8;

/// What a client does next, most of it with one of [`NAMES`].
#[derive(Clone, Copy, Debug)]
enum Step {
    Put(usize),
    /// Together with the next name, by one request.
    PutBoth(usize),
    /// If it is still the version that was seen last.
    Replace(usize),
    /// If there is none.
    Create(usize),
    Delete(usize),
    /// If it is still the version that was seen last.
    DeleteKnown(usize),
    Read(usize),
    /// If it is no longer the version that was seen last.
    Poll(usize),
    List,
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    prop_oneof![
        4 => name().prop_map(Step::Put),
        2 => name().prop_map(Step::PutBoth),
        6 => name().prop_map(Step::Replace),
        2 => name().prop_map(Step::Create),
        1 => name().prop_map(Step::Delete),
        1 => name().prop_map(Step::DeleteKnown),
        8 => name().prop_map(Step::Read),
        4 => name().prop_map(Step::Poll),
        2 => Just(Step::List),
    ]
}

/// Tells what happens before what.
static TICKS: AtomicU64 = AtomicU64::new(1);

fn tick() -> u64 {
    TICKS.fetch_add(1, Ordering::SeqCst)
}

/// A version: its kid, and the number that its value begins with.
type Version = (String, u64);

/// The version of each name that was seen last, by whomever.
#[derive(Default)]
struct Board([Mutex<Option<Version>>; NAMES.len()]);

impl Board {
    fn seen(&self, name: usize) -> Option<Version> {
        self.0[name].lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn see(&self, name: usize, version: &Version) {
        *self.0[name].lock().unwrap_or_else(PoisonError::into_inner) = Some(version.clone());
    }
}

/// What one client knows in the end.
#[derive(Default)]
struct Witness {
    operations: Vec<(usize, Operation)>,
    listings: Vec<Listing>,
    versions: Vec<Version>,
    /// The requests that were answered.
    request_ids: Vec<String>,
}

/// The kids that a list had between two moments.
struct Listing {
    called: u64,
    ended: u64,
    kids: [Option<String>; NAMES.len()],
}

struct Actor<'a> {
    client: Client,
    board: &'a Board,
    /// How much longer values are than they need be.
    padding: usize,
    answered: Sender<()>,
    witness: Witness,
}

impl Actor<'_> {
    /// Takes these steps, or those before the connection broke.
    fn act(mut self, script: &[Step]) -> (Witness, io::Result<()>) {
        let acted = script.iter().try_for_each(|step| self.take(*step));
        (self.witness, acted)
    }

    fn take(&mut self, step: Step) -> io::Result<()> {
        match step {
            Step::Put(name) => self.put(name, Condition::Nothing, None),
            Step::Create(name) => self.put(name, Condition::Absent, Some(("If-None-Match", "*".to_owned()))),
            Step::Replace(name) => match self.board.seen(name) {
                Some((kid, version)) => self.put(name, Condition::Is(version), Some(("If-Match", kid))),
                None => self.put(name, Condition::Nothing, None),
            },
            Step::PutBoth(name) => self.put_both([name, (name + 1) % NAMES.len()]),
            Step::Delete(name) => self.delete(name, Condition::Nothing, None),
            Step::DeleteKnown(name) => match self.board.seen(name) {
                Some((kid, version)) => self.delete(name, Condition::Is(version), Some(("If-Match", kid))),
                None => self.delete(name, Condition::Nothing, None),
            },
            Step::Read(name) => self.read(name, None),
            Step::Poll(name) => self.read(name, self.board.seen(name)),
            Step::List => self.list(),
        }?;
        // Nobody counts any more once the kill was decided on.
        let _ = self.answered.send(());
        Ok(())
    }

    /// A new version, and its value.
    fn new_version(&self) -> (u64, String) {
        let version = tick();
        (version, format!("{version} {}", "x".repeat(self.padding)))
    }

    fn put(&mut self, name: usize, condition: Condition, header: Option<(&str, String)>) -> io::Result<()> {
        let (version, value) = self.new_version();
        let body = json!({ "name": NAMES[name], "value": value }).to_string();
        let call = [(name, Call::Put(version, condition))];
        let answer = self.change(call, "POST", "/secret", header, &body)?;
        if answer.status == 200 {
            self.learn(name, (answer.text("kid"), version));
        }
        Ok(())
    }

    fn put_both(&mut self, names: [usize; 2]) -> io::Result<()> {
        let both = names.map(|name| (name, self.new_version()));
        let secrets = both.each_ref().map(|(name, (_, value))| json!({ "name": NAMES[*name], "value": value }));
        let calls = both.each_ref().map(|(name, (version, _))| (*name, Call::Put(*version, Condition::Nothing)));
        let answer = self.change(calls, "POST", "/secrets", None, &json!({ "secrets": secrets }).to_string())?;
        let made = answer.json();
        for (index, (name, (version, _))) in both.into_iter().enumerate() {
            self.learn(name, (made["secrets"][index]["kid"].as_str().unwrap().to_owned(), version));
        }
        Ok(())
    }

    fn delete(&mut self, name: usize, condition: Condition, header: Option<(&str, String)>) -> io::Result<()> {
        let path = format!("/secret/{}", NAMES[name]);
        self.change([(name, Call::Delete(condition))], "DELETE", &path, header, "").map(drop)
    }

    /// Asks for these changes by one request. If it is not answered, they may have been made or not.
    fn change<const N: usize>(
        &mut self,
        calls: [(usize, Call); N],
        method: &str,
        path: &str,
        header: Option<(&str, String)>,
        body: &str,
    ) -> io::Result<Answer> {
        let first = self.witness.operations.len();
        let called = tick();
        let operation = |(name, call)| (name, Operation { called, ended: u64::MAX, call, outcome: None });
        self.witness.operations.extend(calls.map(operation));
        let answer = self.ask(method, path, header, body)?;
        let ended = tick();
        let outcome = match answer.status {
            200 => Outcome::Done,
            404 => Outcome::Missing,
            412 => Outcome::Refused,
            status => panic!("{method} {path}: {status} {}", answer.body),
        };
        for (_, operation) in &mut self.witness.operations[first..] {
            (operation.ended, operation.outcome) = (ended, Some(outcome));
        }
        Ok(answer)
    }

    /// Reads a secret, if it is another version than the known one.
    fn read(&mut self, name: usize, known: Option<Version>) -> io::Result<()> {
        let (kid, version) = known.unzip();
        let called = tick();
        let path = format!("/secret/{}", NAMES[name]);
        let answer = self.ask("GET", &path, kid.map(|kid| ("If-None-Match", kid)), "")?;
        let ended = tick();
        let outcome = match answer.status {
            200 => {
                let value = answer.text("value");
                let found = value.split(' ').next().unwrap().parse().unwrap();
                self.learn(name, (answer.text("kid"), found));
                Outcome::Found(found)
            }
            304 => Outcome::Unchanged,
            404 => Outcome::Missing,
            status => panic!("GET {path}: {status} {}", answer.body),
        };
        let operation = Operation { called, ended, call: Call::Read(version), outcome: Some(outcome) };
        self.witness.operations.push((name, operation));
        Ok(())
    }

    fn list(&mut self) -> io::Result<()> {
        let called = tick();
        let answer = self.ask("GET", "/secrets", None, "")?;
        let ended = tick();
        let list = answer.json();
        let items = list["secrets"].as_array().unwrap();
        let kids = NAMES.map(|name| {
            let item = items.iter().find(|item| item["name"] == name)?;
            item["kid"].as_str().map(str::to_owned)
        });
        self.witness.listings.push(Listing { called, ended, kids });
        Ok(())
    }

    fn ask(&mut self, method: &str, path: &str, header: Option<(&str, String)>, body: &str) -> io::Result<Answer> {
        let headers: Vec<_> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = self.client.try_ask(method, path, &headers, body.as_bytes())?;
        self.witness.request_ids.push(answer.header("X-Request-Id").unwrap().to_owned());
        Ok(answer)
    }

    fn learn(&mut self, name: usize, version: Version) {
        self.board.see(name, &version);
        self.witness.versions.push(version);
    }
}

/// A daemon's clients, and what they do.
struct Play {
    site: Site,
    board: Board,
    padding: usize,
    witnesses: Vec<Witness>,
}

impl Play {
    fn new(padding: usize) -> Self {
        let site = Site::new();
        // What is replaced is dead at once, so that there is something to compact.
        site.edit("config.toml", "[security]\n", "[security]\ngrace_days = 0\n");
        Self { site, board: Board::default(), padding, witnesses: Vec::new() }
    }

    /// Starts the daemon, and lets a client act for each of these scripts. With a limit, kills it as soon as it has answered
    /// so many times.
    fn act(&mut self, scripts: &[Vec<Step>], limit: Option<usize>) {
        let daemon = self.site.start();
        let (answered, answers) = mpsc::channel();
        let (board, padding) = (&self.board, self.padding);
        let mut new = thread::scope(|scope| {
            let actors: Vec<_> = scripts
                .iter()
                .map(|script| {
                    let (client, answered) = (daemon.client("admin"), answered.clone());
                    let actor = Actor { client, board, padding, answered, witness: Witness::default() };
                    scope.spawn(|| actor.act(script))
                })
                .collect();
            drop(answered);
            if let Some(limit) = limit {
                assert_eq!(answers.iter().take(limit).count(), limit, "it answers until it is killed");
                drop(daemon);
            }
            let joined = actors.into_iter().map(|actor| actor.join().expect("an answer is one of those expected"));
            joined.collect::<Vec<_>>()
        });
        // What it had not done by now, it did not do.
        let end = tick();
        for (witness, acted) in &mut new {
            assert!(limit.is_some() || acted.is_ok(), "{acted:?}");
            let unanswered = witness.operations.iter_mut().filter(|(_, operation)| operation.outcome.is_none());
            unanswered.for_each(|(_, operation)| operation.ended = end);
        }
        self.witnesses.extend(new.into_iter().map(|(witness, _)| witness));
    }

    /// Looks at how it ended, and checks all that was seen. Returns the number of operations.
    fn check(mut self) -> usize {
        let reads: Vec<_> = (0..NAMES.len()).map(Step::Read).chain([Step::List]).collect();
        self.act(&[reads], None);
        let audited = self.site.audit(1);
        let audited: HashSet<_> = audited.iter().filter_map(|line| line["request_id"].as_str()).collect();
        let mut histories = NAMES.map(|_| Vec::new());
        let (mut versions, mut kids) = (HashMap::new(), HashMap::new());
        let mut listings = Vec::new();
        for witness in self.witnesses {
            for id in &witness.request_ids {
                assert!(audited.contains(id.as_str()), "request {id} was answered without an audit line");
            }
            for (kid, version) in witness.versions {
                assert_eq!(*versions.entry(kid.clone()).or_insert(version), version, "{kid} had two values");
                assert_eq!(*kids.entry(version).or_insert(kid.clone()), kid, "version {version} had two kids");
            }
            for (name, operation) in witness.operations {
                histories[name].push(operation);
            }
            listings.extend(witness.listings);
        }
        for Listing { called, ended, kids } in listings {
            for (name, kid) in kids.into_iter().enumerate() {
                let outcome = match kid {
                    None => Outcome::Missing,
                    Some(kid) => match versions.get(&kid) {
                        Some(version) => Outcome::Found(*version),
                        // Nobody knows whose it is: who put it was not answered.
                        None => {
                            let is_unanswered = |operation: &Operation| operation.outcome.is_none();
                            assert!(histories[name].iter().any(is_unanswered), "nobody put {kid}");
                            continue;
                        }
                    },
                };
                histories[name].push(Operation { called, ended, call: Call::Read(None), outcome: Some(outcome) });
            }
        }
        self.site.verify_audit();
        let count = histories.iter().map(Vec::len).sum();
        for (name, history) in NAMES.iter().zip(histories) {
            check(history).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
        count
    }
}

/// Scripts for all clients, each of so many steps.
fn scripts(chance: &mut TestRunner, steps: usize) -> Vec<Vec<Step>> {
    pick(chance, vec(vec(step(), steps), CLIENTS))
}

fn pick<T>(chance: &mut TestRunner, strategy: impl Strategy<Value = T>) -> T {
    strategy.new_tree(chance).unwrap().current()
}

#[test]
fn what_many_clients_see_can_have_happened_in_one_order() {
    let mut chance = TestRunner::new(Config::default());
    let mut operations = 0;
    for _ in 0..6 * times() {
        let mut play = Play::new(0);
        play.act(&scripts(&mut chance, 100), None);
        operations += play.check();
    }
    println!("{operations} operations");
}

#[test]
fn so_it_can_while_the_vault_is_compacted() {
    let mut chance = TestRunner::new(Config::default());
    let (mut operations, mut compactions) = (0, 0);
    for _ in 0..4 * times() {
        let mut play = Play::new(8 * 1024);
        play.act(&scripts(&mut chance, 100), None);
        compactions += play.site.read("log").matches("Vault compacted").count();
        operations += play.check();
    }
    println!("{operations} operations, {compactions} compactions");
    assert!(compactions > 0, "nothing was compacted under all that");
}

#[test]
fn so_it_can_over_kills_and_starts() {
    let mut chance = TestRunner::new(Config::default());
    let (mut operations, mut lives) = (0, 0);
    for _ in 0..5 * times() {
        let padding = pick(&mut chance, prop_oneof![Just(0), Just(8 * 1024)]);
        let mut play = Play::new(padding);
        for limit in pick(&mut chance, vec(1..300usize, 4)) {
            play.act(&scripts(&mut chance, 100), Some(limit));
            lives += 1;
        }
        operations += play.check();
    }
    println!("{operations} operations, {lives} kills");
}
