//! Two daemons on one vault, whose log and whose notes of reads are in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::audit::{self, Entry, Event, VaultAt};
use crate::base::clock::{Clock, Dial};
use crate::base::secret::Plaintext;
use crate::vault::{
    Added, Addition, Condition, Duty, Fence, Found, KeyBytes, Lifetimes, New, Operation, Order, Patch, Position,
    Previous, Refused, Rotation, SharedLog, SharedVault, Tail, lines_behind,
};

const NOW: Timestamp = Timestamp::from_nanos(1_761_565_004_549_067_206);

/// What an etcd has.
struct Store {
    header: Vec<u8>,
    content: Mutex<Content>,
}

struct Content {
    end: Position,
    lines: Vec<u8>,
    /// The reads, each with the revision that has put it.
    reads: BTreeMap<(String, Kid, String), (SharedRead, u64)>,
    revision: u64,
    /// Those that a daemon is to note later.
    later: Vec<SharedRead>,
    is_away: bool,
}

impl Content {
    fn put(&mut self, read: SharedRead) {
        self.revision += 1;
        let key = (read.name.clone(), read.kid, read.client.clone());
        self.reads.insert(key, (read, self.revision));
    }
}

/// The same as one daemon uses it.
struct Node(Arc<Store>, &'static str);

impl SharedLog for Node {
    fn node(&self) -> &str {
        self.1
    }

    fn leads(&self) -> bool {
        true
    }

    fn everything(&self) -> Result<Vec<u8>, Unavailable> {
        unreachable!("nobody is away")
    }

    fn lease(&self) -> Duration {
        Duration::ZERO
    }

    fn claim(&self, _: &str, _: &str) -> Result<bool, Unavailable> {
        Ok(true)
    }

    fn has_claimed(&self, _: &str) -> bool {
        true
    }

    fn give_up(&self, _: &str) {}

    fn time_limit(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn max_staleness(&self) -> Duration {
        Duration::ZERO
    }

    fn add(&self, addition: &Addition<'_>) -> Result<Added, Unavailable> {
        assert_eq!(addition.fence, Fence::Nothing);
        let mut content = lock(&self.0.content);
        if content.end != addition.behind {
            return Ok(Added::Behind(lines_behind(&content.lines, addition.behind)?.to_vec()));
        }
        if let Some(seen) = addition.seen
            && content.reads.values().any(|(read, put)| read.name == seen.place && *put > seen.revision)
        {
            return Err(Unavailable::Overtaken("more was read".to_owned()));
        }
        content.lines.extend(addition.lines);
        content.end = addition.end;
        content.revision += 1;
        Ok(Added::Done)
    }

    fn behind(&self, position: Position) -> Result<Vec<u8>, Unavailable> {
        let content = lock(&self.0.content);
        match content.end == position {
            true => Ok(Vec::new()),
            false => lines_behind(&content.lines, position).map(<[u8]>::to_vec),
        }
    }
}

impl SharedVault for Node {
    fn node(&self) -> &str {
        self.1
    }

    fn from(&self, position: Position) -> Result<Tail, Unavailable> {
        self.behind(position).map(Tail::Lines)
    }

    fn all(&self) -> Result<Vec<u8>, Unavailable> {
        Ok(lock(&self.0.content).lines.clone())
    }
}

impl SharedReads for Node {
    fn since(&self) -> Timestamp {
        NOW
    }

    fn note(&self, read: SharedRead) -> Result<(), Unavailable> {
        let mut content = lock(&self.0.content);
        if content.is_away {
            return Err(Unavailable::Unanswered("silence".to_owned()));
        }
        content.put(read);
        Ok(())
    }

    fn note_later(&self, read: SharedRead) {
        lock(&self.0.content).later.push(read);
    }

    fn of(&self, name: &str) -> Result<(Vec<SharedRead>, Seen), Unavailable> {
        let content = lock(&self.0.content);
        let reads = content.reads.values().map(|(read, _)| read).filter(|read| read.name == name).cloned();
        Ok((reads.collect(), Seen { place: name.to_owned(), revision: content.revision }))
    }

    fn unheard(&self) -> Result<Vec<String>, Unavailable> {
        Ok(Vec::new())
    }
}

/// A daemon, without what answers calls.
struct Daemon {
    vault: Arc<Vault>,
    consumers: Consumers,
    store: Arc<Store>,
    clock: Clock,
    dial: Dial,
    directory: PathBuf,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Two daemons on a vault that is new.
fn daemons(test: &str) -> [Daemon; 2] {
    let master = KeyBytes::of(&[7; 32]).unwrap();
    let header = Found::new_header(&master).unwrap();
    let end = Position { seq: 0, link: [0; 16] };
    let (lines, reads, later) = (Vec::new(), BTreeMap::new(), Vec::new());
    let content = Mutex::new(Content { end, lines, reads, revision: 1, later, is_away: false });
    let store = Arc::new(Store { header, content });
    let (clock, dial) = Clock::manual(NOW.plus_days(1));
    ["a", "b"].map(|name| {
        let directory = std::env::temp_dir().join(format!("consumers-{test}-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        start(name, &store, (&clock, &dial), directory, &master)
    })
}

fn start(
    name: &'static str,
    store: &Arc<Store>,
    (clock, dial): (&Clock, &Dial),
    directory: PathBuf,
    master: &KeyBytes,
) -> Daemon {
    let node = Arc::new(Node(store.clone(), name));
    let (path, log) = (directory.join("vault"), directory.join("audit"));
    let found = Found::look_shared(&path, &store.header, master, VaultAt::START, &*node, false).unwrap();
    let audit = Arc::new(audit::Found::look(&log).unwrap().open(clock.clone()).unwrap());
    let lifetimes = Lifetimes { rotation_days: 90, grace_days: 14 };
    let vault = Arc::new(found.open(&path, audit, clock.clone(), lifetimes).unwrap().sharing(node.clone()));
    let consumers = Consumers::new(vault.clone()).sharing(node);
    let (store, clock, dial) = (store.clone(), clock.clone(), dial.clone());
    Daemon { vault, consumers, store, clock, dial, directory }
}

impl Daemon {
    fn commit(&self, operation: Operation) -> Result<(), Refused> {
        let entry = Entry { client: Some("admin".to_owned()), ..Entry::new(Event::Rotate) };
        self.vault.commit(Order { operation, condition: Condition::default(), duty: Duty::None, entry }).map(drop)
    }

    /// Makes a version of `db`.
    fn put(&self) -> Kid {
        let value = Plaintext::new("value".to_owned());
        let (rotation, generator, patch) = (Rotation::Manual, None, Patch::default());
        let new = New { name: "db".to_owned(), value, rotation, generator, patch, previous: Previous::Kept };
        self.commit(Operation::Put { versions: vec![new] }).unwrap();
        self.found()
    }

    /// Its version that a client finds which asks now.
    fn found(&self) -> Kid {
        self.vault.confirm_now().unwrap();
        self.vault.find("db", None).unwrap().subject().1
    }

    fn announce(&self, client: &str, kid: Kid) -> Result<(), Refused> {
        self.consumers.announce("db", client, kid, false)
    }

    fn standing(&self) -> Standing {
        self.vault.confirm_now().unwrap();
        self.consumers.of("db").unwrap().unwrap()
    }

    fn behind(&self) -> Vec<String> {
        self.standing().behind().map(|(client, _)| client.clone()).collect()
    }

    fn retire(&self, seen: Option<Seen>) -> Result<(), Refused> {
        self.commit(Operation::Retire { name: "db".to_owned(), seen })
    }

    fn notes(&self) -> usize {
        lock(&self.store.content).reads.len()
    }
}

#[test]
fn what_a_client_has_read_at_one_daemon_the_other_knows() {
    let [here, there] = daemons("known");
    let old = here.put();
    there.found();
    there.announce("web", old).unwrap();
    let standing = here.standing();
    assert!(standing.is_complete() && standing.behind().next().is_none());
    assert_eq!(standing.consumers[0].0, "web");
    let new = there.put();
    assert_eq!(here.behind(), ["web"]);
    here.announce("web", new).unwrap();
    assert!(there.behind().is_empty());
}

#[test]
fn a_read_that_comes_while_a_retirement_looks_elsewhere_keeps_the_versions() {
    let [here, there] = daemons("overtaken");
    let old = here.put();
    here.put();
    there.found();
    let standing = here.standing();
    assert!(standing.behind().next().is_none() && standing.readable.len() == 2);
    there.announce("web", old).unwrap();
    let refused = here.retire(standing.seen).unwrap_err();
    assert!(matches!(refused, Refused::Shared(Unavailable::Overtaken(_))), "{refused}");
    assert_eq!(here.behind(), ["web"]);
    assert!(there.vault.is_readable("db", old));
    // What is known may be destroyed all the same, by who wants that.
    here.retire(None).unwrap();
    assert_eq!(here.standing().readable.len(), 1);
}

#[test]
fn a_version_that_was_destroyed_while_a_client_asked_for_it_is_not_given_to_the_client() {
    let [here, there] = daemons("late");
    let old = here.put();
    // The client asks, and is found to have the right to this version.
    assert_eq!(there.found(), old);
    let new = here.put();
    let standing = here.standing();
    assert!(standing.behind().next().is_none());
    here.retire(standing.seen).unwrap();
    assert_eq!(there.announce("web", old), Err(Refused::Gone("db".to_owned())));
    assert_eq!(there.announce("web", new), Ok(()));
}

#[test]
fn a_client_does_not_get_what_the_others_cannot_be_told_of() {
    let [here, there] = daemons("away");
    let old = here.put();
    there.found();
    lock(&there.store.content).is_away = true;
    for _ in 0..2 {
        let refused = there.announce("web", old).unwrap_err();
        assert!(matches!(refused, Refused::Shared(Unavailable::Unanswered(_))), "{refused}");
    }
    lock(&there.store.content).is_away = false;
    assert_eq!(there.announce("web", old), Ok(()));
    assert_eq!(there.notes(), 1);
}

#[test]
fn only_the_first_read_of_a_version_by_a_client_is_told_and_its_time_once_an_hour() {
    let [here, _] = daemons("once");
    let kid = here.put();
    let later = || lock(&here.store.content).later.len();
    here.announce("web", kid).unwrap();
    // From now on nothing needs to be told before the client has it.
    lock(&here.store.content).is_away = true;
    here.announce("web", kid).unwrap();
    assert_eq!(later(), 0);
    here.dial.advance(Duration::from_secs(2 * 60 * 60));
    here.announce("web", kid).unwrap();
    here.announce("web", kid).unwrap();
    assert_eq!((later(), here.notes()), (1, 1));
    assert!(here.announce("worker", kid).is_err());
}

#[test]
fn what_another_daemon_has_told_need_not_be_told_again_and_after_a_start_it_is() {
    let [here, there] = daemons("told");
    let kid = here.put();
    there.found();
    here.announce("web", kid).unwrap();
    there.standing();
    lock(&here.store.content).is_away = true;
    assert_eq!(there.announce("web", kid), Ok(()));
    // Its audit log has the read, too, but that shows nothing of what the others know.
    let again = Consumers::new(there.vault.clone()).sharing(Arc::new(Node(there.store.clone(), "b")));
    again.note("db", "web", kid, there.clock.now());
    assert!(again.announce("db", "web", kid, false).is_err());
}

#[test]
fn what_is_served_while_nobody_can_be_told_is_told_later() {
    let [here, _] = daemons("stale");
    let kid = here.put();
    lock(&here.store.content).is_away = true;
    here.consumers.announce("db", "web", kid, true).unwrap();
    assert_eq!(lock(&here.store.content).later[0].client, "web");
    // Who is told only later is not told yet.
    assert!(here.announce("web", kid).is_err());
}

#[test]
fn reads_of_versions_that_are_older_than_the_notes_may_be_missing() {
    let [here, _] = daemons("older");
    here.dial.set(NOW);
    here.put();
    here.dial.advance(Duration::from_secs(60));
    let first = here.standing();
    assert!(first.is_complete() && first.complete_since == Some(NOW));
    let early = Consumers::new(here.vault.clone()).sharing(Arc::new(Later(NOW.plus_days(2))));
    let standing = early.of("db").unwrap().unwrap();
    assert_eq!(standing.complete_since, Some(NOW.plus_days(2)));
    assert!(!standing.is_complete());
}

/// Notes that begin at a time.
struct Later(Timestamp);

impl SharedReads for Later {
    fn since(&self) -> Timestamp {
        self.0
    }

    fn note(&self, _: SharedRead) -> Result<(), Unavailable> {
        Ok(())
    }

    fn note_later(&self, _: SharedRead) {}

    fn of(&self, name: &str) -> Result<(Vec<SharedRead>, Seen), Unavailable> {
        Ok((Vec::new(), Seen { place: name.to_owned(), revision: 1 }))
    }

    fn unheard(&self) -> Result<Vec<String>, Unavailable> {
        Ok(Vec::new())
    }
}

#[test]
fn each_figure_has_its_metric() {
    let stale = Stale { last_day: 31, longer: 32 };
    crate::metrics::assert_in_example(|page| stale.write(page));
}
