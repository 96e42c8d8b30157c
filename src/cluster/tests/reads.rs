//! What clients have read at several daemons, and retirements that go by it.

use super::*;
use crate::base::sync::lock;
use crate::cluster::reads::EtcdReads;
use crate::consumers::{Consumers, SharedReads, Standing};
use crate::vault::{Kid, Refused, Seen, Unavailable};

/// A daemon that tells the others what its clients read.
struct Telling {
    daemon: Daemon,
    reads: Arc<EtcdReads>,
    consumers: Arc<Consumers>,
}

fn start(site: &Site, node: &str) -> Telling {
    let daemon = site.start(node);
    let reads = Arc::new(EtcdReads::begin(daemon.log.clone(), daemon.vault.clone()).unwrap());
    let consumers = Arc::new(Consumers::new(daemon.vault.clone()).sharing(reads.clone()));
    Telling { daemon, reads, consumers }
}

impl Telling {
    /// A client asks for `db`, and gets the version that is current then.
    fn serve(&self, client: &str) -> Kid {
        let kid = self.found();
        self.consumers.announce("db", client, kid, false).unwrap();
        kid
    }

    fn found(&self) -> Kid {
        self.daemon.vault.confirm().unwrap();
        self.daemon.vault.find("db", None).unwrap().subject().1
    }

    fn standing(&self) -> Standing {
        self.daemon.vault.confirm().unwrap();
        self.consumers.of("db").unwrap().unwrap()
    }

    fn behind(&self) -> Vec<String> {
        self.standing().behind().map(|(client, _)| client.clone()).collect()
    }

    fn retire(&self, seen: Option<Seen>) -> Result<usize, Refused> {
        let operation = Operation::Retire { name: "db".to_owned(), seen };
        let entry = Entry { client: Some("admin".to_owned()), ..Entry::new(Event::Retire) };
        let order = Order { operation, condition: Condition::default(), duty: Duty::None, entry };
        self.daemon.vault.commit(order).map(|done| done.len())
    }
}

#[test]
fn a_retirement_goes_by_what_was_read_at_each_daemon() {
    let site = Site::new("reads");
    let [a, b] = ["a", "b"].map(|node| start(&site, node));
    a.daemon.put("db", "old");
    b.serve("web");
    a.daemon.put("db", "new");
    let standing = a.standing();
    assert!(standing.is_complete());
    assert_eq!(a.behind(), ["web"]);
    b.serve("web");
    assert!(a.behind().is_empty());
    assert_eq!(a.retire(a.standing().seen), Ok(1));
}

#[test]
fn a_read_that_was_put_after_a_retirement_has_looked_is_not_passed_over() {
    let site = Site::new("reads-overtaken");
    let [a, b] = ["a", "b"].map(|node| start(&site, node));
    a.daemon.put("db", "old");
    let old = b.found();
    a.daemon.put("db", "new");
    // Others' reads do not matter.
    a.daemon.put("other", "value");
    let seen = a.standing().seen;
    b.consumers.announce("db", "web", old, false).unwrap();
    let refused = a.retire(seen).unwrap_err();
    assert!(matches!(refused, Refused::Shared(Unavailable::Overtaken(_))), "{refused}");
    assert_eq!(a.behind(), ["web"]);
    assert_eq!(a.retire(a.standing().seen), Ok(1));
}

#[test]
fn a_retirement_whose_answer_was_lost_is_known_to_have_been_made() {
    let site = Site::new("reads-lost");
    let a = start(&site, "a");
    a.daemon.put("db", "old");
    a.daemon.put("db", "new");
    let (seen, mut left) = (a.standing().seen, 1);
    lock(&site.etcd.content).loses = Some(Box::new(move || std::mem::take(&mut left) > 0));
    assert_eq!(a.retire(seen), Ok(1));
    assert_eq!(a.standing().readable.len(), 1);
}

#[test]
fn a_version_that_was_destroyed_before_its_read_was_put_does_not_leave() {
    let site = Site::new("reads-late");
    let [a, b] = ["a", "b"].map(|node| start(&site, node));
    a.daemon.put("db", "old");
    let old = b.found();
    a.daemon.put("db", "new");
    assert_eq!(a.retire(a.standing().seen), Ok(1));
    assert_eq!(b.consumers.announce("db", "web", old, false), Err(Refused::Gone("db".to_owned())));
    b.serve("web");
}

#[test]
fn many_reads_of_a_secret_are_all_found_and_many_that_wait_are_put_together() {
    let site = Site::new("reads-many");
    let [a, b] = ["a", "b"].map(|node| start(&site, node));
    a.daemon.put("db", "value");
    b.found();
    std::thread::scope(|scope| {
        for of in 0..8 {
            let b = &b;
            scope.spawn(move || {
                for n in 0..80 {
                    b.serve(&format!("client-{of}-{n}"));
                }
            });
        }
    });
    assert_eq!(a.standing().consumers.len(), 640);
    assert_eq!(site.etcd.keys("/v/reads/").len(), 641);
}

#[test]
fn no_name_of_a_secret_a_version_or_a_client_stands_in_etcd() {
    let site = Site::new("reads-hidden");
    let a = start(&site, "a");
    a.daemon.put("db", "value");
    let kid = a.serve("webserver");
    let content = lock(&site.etcd.content);
    for (key, value) in content.pairs.iter().filter(|(key, _)| key.starts_with(b"/v/reads/")) {
        let all = [key.as_slice(), value].concat();
        for text in ["db", "webserver", &kid.of("db")] {
            let is_there = all.windows(text.len()).any(|part| part == text.as_bytes());
            // Two letters may come by chance where all bytes are random.
            assert!(!is_there || text.len() < 4, "{text}");
        }
    }
}

#[test]
fn a_read_that_was_moved_or_changed_in_etcd_is_noticed_and_nothing_is_retired_on_it() {
    let site = Site::new("reads-changed");
    let a = start(&site, "a");
    a.daemon.put("db", "old");
    a.serve("web");
    a.serve("worker");
    let keys: Vec<_> = site.etcd.keys("/v/reads/").into_iter().filter(|key| !key.ends_with("/since")).collect();
    let value = lock(&site.etcd.content).pairs[keys[0].as_bytes()].clone();
    site.etcd.put(keys[1].clone().into_bytes(), &value);
    assert!(a.consumers.of("db").is_err());
}

#[test]
fn what_was_read_elsewhere_is_taken_in_and_what_is_of_no_use_is_cleared_away_by_the_one_that_leads() {
    let site = Site::new("reads-turns");
    let [a, b] = ["a", "b"].map(|node| start(&site, node));
    a.daemon.put("db", "old");
    a.daemon.put("other", "value");
    b.serve("web");
    a.daemon.put("db", "new");
    a.retire(None).unwrap();
    let new = b.serve("web");
    assert_eq!(site.etcd.keys("/v/reads/").len(), 3);
    a.reads.turn(&a.consumers, false).unwrap();
    assert_eq!(site.etcd.keys("/v/reads/").len(), 3);
    // It need not be put again: this daemon knows that the others find it.
    let put = lock(&site.etcd.content).pairs.clone();
    a.consumers.announce("db", "web", new, false).unwrap();
    assert!(lock(&site.etcd.content).pairs == put);
    b.reads.turn(&b.consumers, true).unwrap();
    assert_eq!(site.etcd.keys("/v/reads/").len(), 2);
    assert_eq!(a.standing().consumers.len(), 1);
}

#[test]
fn what_is_to_be_noted_later_is_noted_later() {
    let site = Site::new("reads-later");
    let [a, b] = ["a", "b"].map(|node| start(&site, node));
    a.daemon.put("db", "value");
    let kid = b.found();
    b.consumers.announce("db", "web", kid, true).unwrap();
    assert!(a.standing().consumers.is_empty());
    b.reads.put_later().unwrap();
    assert_eq!(a.standing().consumers.len(), 1);
}

#[test]
fn a_daemon_that_is_away_and_may_have_served_something_is_known() {
    let site = Site::new("reads-unheard");
    let a = start(&site, "a");
    assert_eq!(a.reads.unheard(), Ok(Vec::new()));
    site.etcd.put(a.daemon.log.keys().stale("c"), b"");
    assert_eq!(a.reads.unheard(), Ok(vec!["c".to_owned()]));
    site.etcd.put(a.daemon.log.keys().alive("c"), b"it is there");
    assert_eq!(a.reads.unheard(), Ok(Vec::new()));
    // One that serves nothing while etcd is away takes it back when it is started.
    site.etcd.put(a.daemon.log.keys().stale("a"), b"");
    let again = EtcdReads::begin(a.daemon.log.clone(), a.daemon.vault.clone()).unwrap();
    assert_eq!(again.unheard(), Ok(Vec::new()));
}

#[test]
fn reads_are_noted_since_the_first_daemon_has_started_and_later_than_what_was_there_was_made() {
    let site = Site::new("reads-since");
    let early = site.start("early");
    early.put("db", "made before");
    let [a, b] = ["a", "b"].map(|node| start(&site, node));
    assert_eq!(a.reads.since(), b.reads.since());
    assert!(!a.standing().is_complete());
    assert_eq!(a.standing().complete_since, Some(a.reads.since()));
}
