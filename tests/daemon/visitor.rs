//! Clients as they should be: each keeps its connection, asks now and then, and comes again after a 503.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Answer, Client};

/// Between a visitor's answer and its next request.
const PAUSE: Duration = Duration::from_millis(10);

/// What visitors saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// How long each answer took, from the moment when it was asked for on the connection that brought it.
    pub times: Vec<Duration>,
    /// How often one was answered 503, and how often its connection ended instead.
    pub busy: usize,
    pub ended: usize,
    /// Names of secrets whose value, which is their name, was acknowledged.
    pub stored: Vec<String>,
}

impl Seen {
    /// The time within which `percent` of the answers came.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut times = self.times.clone();
        times.sort();
        times[(times.len() * percent / 100).min(times.len() - 1)]
    }
}

/// Several of them, each on a thread of its own.
pub struct Visitors {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Seen>>,
}

impl Visitors {
    /// Sends so many to the Unix socket `path`, as the client that the policy has for our uid, and waits until each is answered. What they
    /// store has names that begin with `name`.
    pub fn send(name: &str, path: &Path, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, answered) = mpsc::channel();
        let threads = (0..count).map(|number| {
            let mut visitor = Visitor {
                path: path.to_owned(),
                name: format!("{name}_{number}"),
                client: None,
                seen: Seen::default(),
            };
            let (stop, told) = (stop.clone(), told.clone());
            thread::spawn(move || {
                visitor.call();
                told.send(()).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    visitor.call();
                    thread::sleep(PAUSE);
                }
                visitor.seen
            })
        });
        let threads = threads.collect();
        (0..count).for_each(|_| answered.recv().unwrap());
        Self { stop, threads }
    }

    /// Calls them back as soon as each has its last answer.
    pub fn recall(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().fold(Seen::default(), |mut all, thread| {
            let mut seen = thread.join().expect("a visitor got an answer that it should not get");
            all.times.append(&mut seen.times);
            all.stored.append(&mut seen.stored);
            Seen { busy: all.busy + seen.busy, ended: all.ended + seen.ended, ..all }
        })
    }
}

struct Visitor {
    path: PathBuf,
    name: String,
    client: Option<Client>,
    seen: Seen,
}

impl Visitor {
    /// Asks until it is answered.
    fn call(&mut self) {
        loop {
            let client = self.client.get_or_insert_with(|| Client::unix(&[], &self.path));
            let asked = Instant::now();
            let name = format!("{}_{}", self.name, self.seen.times.len());
            // Every eighth request is a change.
            let stores = self.seen.times.len().is_multiple_of(8);
            match ask(client, stores.then_some(&name)) {
                Ok(answer) if answer.status == 200 => {
                    self.seen.times.push(asked.elapsed());
                    self.seen.stored.extend(stores.then_some(name));
                    return;
                }
                Ok(answer) => {
                    assert_eq!(answer.refusal(), (503, "busy".to_owned()));
                    self.seen.busy += 1;
                    thread::sleep(Duration::from_secs(answer.header("Retry-After").unwrap().parse().unwrap()));
                }
                Err(_) => self.seen.ended += 1,
            }
            self.client = None;
        }
    }
}

fn ask(client: &mut Client, stored: Option<&String>) -> io::Result<Answer> {
    match stored {
        None => client.try_ask("GET", "/secret/small", &[], b""),
        Some(name) => {
            let body = json!({ "name": name, "value": name }).to_string();
            client.try_ask("POST", "/secret", &[], body.as_bytes())
        }
    }
}
