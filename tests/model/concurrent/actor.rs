//! One client among many: what it does, and what it can witness of that.

use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};

use proptest::prelude::*;
use serde_json::json;

use crate::client::{Answer, Client};
use crate::linearizability::{Call, Condition, Operation, Outcome, tick};

/// The secrets that everybody wants.
pub const NAMES: [&str; 3] = ["db_main", "db_spare", "web"];

/// What a client does next, most of it with one of [`NAMES`].
#[derive(Clone, Copy, Debug)]
pub enum Step {
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

pub fn step() -> impl Strategy<Value = Step> {
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

/// A version: its kid, and the number that its value begins with.
pub type Version = (String, u64);

/// The version of each name that was seen last, by whomever.
#[derive(Default)]
pub struct Board([Mutex<Option<Version>>; NAMES.len()]);

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
pub struct Witness {
    pub operations: Vec<(usize, Operation)>,
    pub listings: Vec<Listing>,
    pub versions: Vec<Version>,
    /// The requests that were answered.
    pub request_ids: Vec<String>,
}

/// The kids that a list had between two moments.
pub struct Listing {
    pub called: u64,
    pub ended: u64,
    pub kids: [Option<String>; NAMES.len()],
}

pub struct Actor<'a> {
    pub client: Client,
    pub board: &'a Board,
    /// How much longer values are than they need be.
    pub padding: usize,
    pub answered: Sender<()>,
    pub witness: Witness,
}

impl Actor<'_> {
    /// Takes these steps, or those before the connection broke.
    pub fn act(mut self, script: &[Step]) -> (Witness, io::Result<()>) {
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
