//! Clients of several daemons, each of which asks the next one when one does not answer.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{process, thread};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::json;

use super::history::{Asked, Event, If, Told};
use crate::client::{Answer, Client};
use crate::linearizability::tick;
use crate::patience::PATIENCE;
use crate::tls_client::{self, Offer, agree};

/// How long a client waits for a connection, and for an answer. A daemon has 5 s to tell what it knows of a change.
const TO_CONNECT: Duration = Duration::from_secs(1);
const TO_ANSWER: Duration = Duration::from_secs(6);

/// How many secrets are in use at a time, and after how many requests others are. Each then has a short history.
const NAMES: u64 = 16;
const REQUESTS: u64 = 2000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Put,
    Create,
    /// If it is still the version that was seen last.
    Replace,
    Rotate,
    Delete,
    /// If it is still the version that was seen last.
    DeleteKnown,
    Read,
    /// If it is no longer the version that was seen last.
    Poll,
}

fn step() -> impl Strategy<Value = (u64, Step)> {
    let step = prop_oneof![
        4 => Just(Step::Put),
        2 => Just(Step::Create),
        6 => Just(Step::Replace),
        2 => Just(Step::Rotate),
        1 => Just(Step::Delete),
        1 => Just(Step::DeleteKnown),
        10 => Just(Step::Read),
        4 => Just(Step::Poll),
    ];
    (0..NAMES, step)
}

/// What all clients share.
pub struct Load {
    pub daemons: Vec<SocketAddr>,
    tls: Arc<ClientConfig>,
    requests: AtomicU64,
    seen: Mutex<HashMap<String, Seen>>,
}

/// What is known of a secret.
#[derive(Default)]
struct Seen {
    kid: Option<String>,
    /// Whether somebody rotates it, or has done so and was not answered.
    is_rotated: bool,
}

/// What a client has seen.
#[derive(Default)]
pub struct Witness {
    pub events: Vec<(String, Event)>,
    /// The request ids of the changes that were made.
    pub changes: Vec<String>,
    /// How long each request took, of which all but the last one found no daemon.
    pub waits: Vec<Duration>,
}

/// What came of a request.
enum Reply {
    Told(Told, Answer),
    /// It was not carried out.
    Not,
    /// It may have been carried out.
    Perhaps,
}

impl Load {
    pub fn new(daemons: Vec<SocketAddr>) -> Self {
        let tls = tls_client::client(Offer { certificate: Some("client"), ..Offer::default() });
        Self { daemons, tls, requests: AtomicU64::new(0), seen: Mutex::default() }
    }

    fn seen<T>(&self, name: &str, look: impl FnOnce(&mut Seen) -> T) -> T {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        look(seen.entry(name.to_owned()).or_default())
    }

    fn connect(&self, daemon: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&daemon, TO_CONNECT)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(TO_ANSWER))?;
        stream.set_read_timeout(Some(TO_CONNECT))?;
        let connection = ClientConnection::new(self.tls.clone(), "localhost".try_into().unwrap()).unwrap();
        let mut secure = StreamOwned::new(connection, stream);
        agree(&mut secure)?;
        secure.sock.set_read_timeout(Some(TO_ANSWER))?;
        Ok(Client::secure(&[("X-Jarvis-Client", "admin")], secure))
    }
}

/// One client, which begins with a daemon of its own.
pub struct Actor<'a> {
    load: &'a Load,
    daemon: usize,
    connection: Option<Client>,
    chance: TestRunner,
    pub witness: Witness,
}

impl<'a> Actor<'a> {
    pub fn new(load: &'a Load, number: usize) -> Self {
        let chance = TestRunner::new(Config::default());
        Self { load, daemon: number % load.daemons.len(), connection: None, chance, witness: Witness::default() }
    }

    /// Asks at this pace until it is over, or more slowly if the daemons are slow.
    pub fn act(mut self, pace: Duration, is_over: &dyn Fn() -> bool) -> Witness {
        let steps = step();
        let mut next = Instant::now();
        while !is_over() {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            let (name, step) = steps.new_tree(&mut self.chance).unwrap().current();
            let generation = self.load.requests.fetch_add(1, Ordering::Relaxed) / REQUESTS;
            // What another run has left is nobody's here.
            self.take(format!("run-{}-{generation}-{name}", process::id()), step);
            next = (next + pace).max(Instant::now());
        }
        self.witness
    }

    /// Reads all secrets from each daemon.
    pub fn read_all(mut self, names: &[String]) -> Witness {
        for daemon in 0..self.load.daemons.len() {
            (self.daemon, self.connection) = (daemon, None);
            for name in names {
                self.ask_until_told(name.clone(), || Asked::Read(None));
            }
        }
        self.witness
    }

    fn take(&mut self, name: String, step: Step) {
        let kid = self.load.seen(&name, |seen| seen.kid.clone());
        let known = || kid.clone().map_or(If::Nothing, If::Is);
        let value = || format!("put {}", tick());
        match step {
            Step::Put => self.ask_until_told(name, || Asked::Put(value(), If::Nothing)),
            Step::Create => self.ask_until_told(name, || Asked::Put(value(), If::Absent)),
            Step::Replace => self.ask_until_told(name, || Asked::Put(value(), known())),
            Step::Delete => self.ask_until_told(name, || Asked::Delete(If::Nothing)),
            Step::DeleteKnown => self.ask_until_told(name, || Asked::Delete(known())),
            Step::Read => self.ask_until_told(name, || Asked::Read(None)),
            Step::Poll => self.ask_until_told(name, || Asked::Read(kid.clone())),
            // By one client at a time, and not again by any if that was not answered.
            Step::Rotate if self.load.seen(&name, |seen| std::mem::replace(&mut seen.is_rotated, true)) => {}
            Step::Rotate => {
                if let Reply::Told(..) | Reply::Not = self.ask(&name, Asked::Rotate) {
                    self.load.seen(&name, |seen| seen.is_rotated = false);
                }
            }
        }
    }

    /// Asks one daemon after the other, until one answers.
    ///
    /// # Panics
    /// If none does.
    fn ask_until_told(&mut self, name: String, asked: impl Fn() -> Asked) {
        let begun = Instant::now();
        let mut failures = 0;
        while !matches!(self.ask(&name, asked()), Reply::Told(..)) {
            assert!(begun.elapsed() < PATIENCE, "no daemon answers");
            failures += 1;
            if failures % self.load.daemons.len() == 0 {
                thread::sleep(Duration::from_millis(50));
            }
        }
        self.witness.waits.push(begun.elapsed());
    }

    /// Asks a daemon. If that does not answer as it should, the next one will be asked.
    fn ask(&mut self, name: &str, asked: Asked) -> Reply {
        let called = tick();
        let reply = self.exchange(name, &asked);
        let ended = tick();
        match &reply {
            Reply::Told(told, answer) => {
                match told {
                    Told::Made(kid) | Told::Found { kid, .. } => {
                        self.load.seen(name, |seen| seen.kid = Some(kid.clone()))
                    }
                    _ => {}
                }
                if let Told::Made(_) | Told::Deleted = told {
                    self.witness.changes.push(answer.header("X-Request-Id").unwrap().to_owned());
                }
                let told = Some(told.clone());
                self.witness.events.push((name.to_owned(), Event { called, ended, asked, told }));
                return reply;
            }
            Reply::Perhaps if !matches!(asked, Asked::Read(_)) => {
                self.witness.events.push((name.to_owned(), Event { called, ended: u64::MAX, asked, told: None }));
            }
            Reply::Perhaps | Reply::Not => {}
        }
        self.connection = None;
        self.daemon = (self.daemon + 1) % self.load.daemons.len();
        reply
    }

    fn exchange(&mut self, name: &str, asked: &Asked) -> Reply {
        if self.connection.is_none() {
            self.connection = self.load.connect(self.load.daemons[self.daemon]).ok();
        }
        let Some(connection) = &mut self.connection else { return Reply::Not };
        let path = format!("/secret/{name}");
        let condition = |condition: &If| match condition {
            If::Nothing => None,
            If::Absent => Some(("If-None-Match", "*".to_owned())),
            If::Is(kid) => Some(("If-Match", kid.clone())),
        };
        let (method, path, header, body) = match asked {
            Asked::Put(value, holds) => {
                ("POST", "/secret", condition(holds), json!({ "name": name, "value": value }).to_string())
            }
            Asked::Rotate => ("POST", "/rotate", None, json!({ "names": [name] }).to_string()),
            Asked::Delete(holds) => ("DELETE", path.as_str(), condition(holds), String::new()),
            Asked::Read(known) => {
                ("GET", path.as_str(), known.clone().map(|kid| ("If-None-Match", kid)), String::new())
            }
        };
        let headers: Vec<_> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
        match connection.try_ask(method, path, &headers, body.as_bytes()) {
            Ok(answer) => reply(asked, answer),
            Err(_) => Reply::Perhaps,
        }
    }
}

/// What an answer says.
///
/// # Panics
/// If it is none of those that a daemon may give here.
fn reply(asked: &Asked, answer: Answer) -> Reply {
    let told = match (asked, answer.status) {
        (Asked::Put(..), 200) => Told::Made(answer.text("kid")),
        (Asked::Rotate, 200) => Told::Made(answer.json()["versions"][0]["kid"].as_str().unwrap().to_owned()),
        (Asked::Delete(_), 200) => Told::Deleted,
        (Asked::Read(_), 200) => Told::Found { kid: answer.text("kid"), value: answer.text("value") },
        (Asked::Read(_), 304) => Told::Unchanged,
        (Asked::Put(..) | Asked::Delete(_), 412) => Told::Refused,
        (Asked::Rotate | Asked::Delete(_) | Asked::Read(_), 404) => Told::Missing,
        (_, 503) if answer.text("error") == "busy" => return Reply::Not,
        (_, 503) => return Reply::Perhaps,
        (_, status) => panic!("{asked:?}: {status} {}", answer.body),
    };
    Reply::Told(told, answer)
}
