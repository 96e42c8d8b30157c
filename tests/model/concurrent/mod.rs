//! Many clients of the real daemon at a time, on few names: what each saw can have happened in one order.

mod actor;

use std::collections::{HashMap, HashSet};
use std::sync::mpsc;
use std::thread;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use proptest::{collection::vec, strategy::ValueTree};

use crate::linearizability::{Call, Operation, Outcome, check, tick};
use crate::site::Site;
use crate::times;
use actor::{Actor, Board, Listing, NAMES, Step, Witness, step};

/// How many act at a time.
const CLIENTS: usize = 8;

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
