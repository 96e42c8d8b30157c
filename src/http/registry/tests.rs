use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{LazyLock, mpsc};
use std::thread;

use super::*;
use crate::http::Peer;
use crate::http::socket::Socket;

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(300);

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// One in which by itself none leaves before the test is over.
fn registry(capacity: usize, max_held: usize) -> Arc<Registry> {
    let mut registry = Registry::new(capacity, max_held, Arc::default());
    registry.leaving = PATIENCE * 2;
    Arc::new(registry)
}

fn link(ip: &str) -> Link {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    // The other end stays open as long as this one.
    let (other, _) = listener.accept().unwrap();
    other.set_read_timeout(Some(PATIENCE * 2)).unwrap();
    thread::spawn(move || (&other).read(&mut [0]));
    let peer = Peer::at(SocketAddr::from((ip.parse::<IpAddr>().unwrap(), 5)));
    Link::new(Socket::Tcp(stream), peer, *EPOCH)
}

fn visit(registry: &Arc<Registry>, ip: &str) -> Visit {
    LazyLock::force(&EPOCH);
    let visit = registry.enter(link(ip)).ok().unwrap();
    // No two have waited since the same microsecond.
    let arrived = Instant::now();
    while arrived.elapsed() < Duration::from_micros(2) {}
    visit
}

/// A connection of a client that says who it is, and that leaves when it is closed.
fn known(registry: &Arc<Registry>, ip: &str) -> Arc<Link> {
    let link = stranger(registry, ip);
    link.peer.identified();
    link
}

/// One that was answered, and that has not said who it is.
fn passing(registry: &Arc<Registry>, ip: &str) -> Arc<Link> {
    let link = stranger(registry, ip);
    link.peer.answered();
    link
}

/// One that has not been answered yet.
fn stranger(registry: &Arc<Registry>, ip: &str) -> Arc<Link> {
    let visit = visit(registry, ip);
    let link = visit.link.clone();
    thread::spawn(move || {
        // All of it, not only its socket.
        let visit = visit;
        let _ = (&visit.link.stream).read(&mut [0]);
    });
    link
}

fn closed<'a>(links: impl IntoIterator<Item = &'a Arc<Link>>) -> Vec<bool> {
    links.into_iter().map(|link| link.is_closed()).collect()
}

#[test]
fn a_connection_that_is_closed_while_its_request_waits_for_room_leaves_at_once() {
    let registry = registry(8, 100_000);
    let at_work = visit(&registry, "192.0.2.1");
    assert!(at_work.hold(60_000) && at_work.link.begin());
    let waits = visit(&registry, "192.0.2.1");
    let (sender, held) = mpsc::channel();
    thread::spawn(move || sender.send(waits.hold(60_000)).unwrap());
    while lock(&registry.seats).awaited == 0 {
        thread::yield_now();
    }
    registry.evict_one(Duration::ZERO);
    assert_eq!(held.recv_timeout(PATIENCE), Ok(false));
}

#[test]
fn over_the_limit_the_source_that_has_most_connections_makes_room() {
    let registry = registry(16, 0);
    let few = known(&registry, "192.0.2.1");
    let many: Vec<_> = (0..40).map(|_| known(&registry, "192.0.2.2")).collect();
    assert!(!few.is_closed(), "it was silent for the longest time of all");
    assert_eq!(closed(&many), [vec![true; 25], vec![false; 15]].concat());
}

#[test]
fn of_many_sources_with_few_connections_each_the_one_that_was_silent_for_the_longest_time_makes_room() {
    let registry = registry(16, 0);
    let crowd: Vec<_> = (2..16).map(|host| known(&registry, &format!("192.0.2.{host}"))).collect();
    let two = [known(&registry, "192.0.2.1"), known(&registry, "192.0.2.1")];
    for host in 20..30 {
        known(&registry, &format!("192.0.2.{host}"));
    }
    assert_eq!(closed(&two), [false, false], "one with two connections is no crowd");
    assert_eq!(closed(&crowd), [vec![true; 10], vec![false; 4]].concat());
}

#[test]
fn a_source_that_has_more_than_half_of_all_places_gets_none_of_the_others() {
    let registry = registry(4, 0);
    let few = known(&registry, "192.0.2.1");
    let busy: Vec<_> = (0..3).map(|_| known(&registry, "192.0.2.2")).collect();
    assert!(busy.iter().all(|link| link.begin()));
    assert!(registry.enter(link("192.0.2.2")).is_err());
    assert!(!few.is_closed());
    known(&registry, "192.0.2.3");
    assert!(few.is_closed(), "one of a source that has none makes the idle one go");
}

#[test]
fn a_site_is_not_as_rich_as_all_its_networks() {
    let registry = registry(64, 0);
    let few: Vec<_> = (0..9).map(|_| known(&registry, "192.0.2.1")).collect();
    // One connection of each network, and more than half of all places together.
    let site: Vec<_> = (0..80).map(|network| known(&registry, &format!("2001:db8:0:{network:x}::1"))).collect();
    assert_eq!(closed(&few), [false; 9], "they were silent for the longest time, and have more than any network");
    assert_eq!(closed(&site), [vec![true; 25], vec![false; 55]].concat());
}

#[test]
fn an_authenticated_connection_does_not_make_room_for_silent_ones() {
    let registry = registry(16, 0);
    let honest: Vec<_> = (0..12).map(|_| known(&registry, "127.0.0.1")).collect();
    let silent: Vec<_> = (0..100).map(|host| stranger(&registry, &format!("127.0.0.{host}"))).collect();
    assert_eq!(closed(&honest), [false; 12]);
    assert_eq!(closed(&silent), [vec![true; 96], vec![false; 4]].concat(), "the one that has waited longest goes");
}

#[test]
fn newcomers_get_a_quarter_of_the_places_of_those_that_are_known() {
    let registry = registry(16, 0);
    let known: Vec<_> = (0..16).map(|host| known(&registry, &format!("192.0.2.{host}"))).collect();
    let new: Vec<_> = (0..5).map(|host| stranger(&registry, &format!("192.0.2.{}", 100 + host))).collect();
    assert_eq!(closed(&known), [vec![true; 4], vec![false; 12]].concat());
    assert_eq!(closed(&new), [true, false, false, false, false]);
}

#[test]
fn a_connection_that_was_answered_without_authentication_goes_before_newcomers() {
    let registry = registry(16, 0);
    let new: Vec<_> = (0..8).map(|_| stranger(&registry, "127.0.0.1")).collect();
    let passing: Vec<_> = (0..8).map(|_| passing(&registry, "127.0.0.1")).collect();
    for _ in 0..8 {
        stranger(&registry, "127.0.0.1");
    }
    assert_eq!(closed(&new), [false; 8]);
    assert_eq!(closed(&passing), [true; 8]);
}

#[test]
fn where_all_are_at_work_one_that_does_not_say_who_it_is_leaves_with_its_answer() {
    let registry = registry(4, 0);
    let known = visit(&registry, "127.0.0.1");
    known.link.peer.identified();
    let others = [0; 3].map(|_| visit(&registry, "127.0.0.1"));
    assert!(known.link.begin() && others.iter().all(|visit| visit.link.begin()));
    let newcomer = thread::spawn({
        let registry = registry.clone();
        move || registry.enter(link("127.0.0.1")).is_ok()
    });
    while !others.iter().all(|visit| visit.link.is_asked_for_place()) {
        thread::yield_now();
    }
    assert!(known.may_stay());
    let [first, ..] = others;
    assert!(!first.may_stay());
    drop(first);
    assert!(newcomer.join().unwrap());
}

#[test]
fn few_connections_stay_that_do_not_say_who_they_are() {
    let registry = registry(16, 0);
    let visits: Vec<_> = (0..8).map(|_| visit(&registry, "127.0.0.1")).collect();
    let stay: Vec<_> = visits.iter().map(Visit::may_stay).collect();
    assert_eq!(stay, [vec![true; 4], vec![false; 4]].concat());
    visits[0].link.peer.identified();
    assert!(visits[0].may_stay(), "it has said it now");
    drop(visits);
    assert!(visit(&registry, "127.0.0.1").may_stay());
}

#[test]
fn a_source_that_has_more_than_half_leaves_a_place_where_all_are_at_work() {
    let registry = registry(4, 0);
    let busy: Vec<_> = (0..4).map(|_| visit(&registry, "192.0.2.2")).collect();
    for visit in &busy {
        visit.link.peer.identified();
        assert!(visit.link.begin());
    }
    assert!(registry.enter(link("192.0.2.2")).is_err(), "not to one of its own");
    let newcomer = thread::spawn({
        let registry = registry.clone();
        move || registry.enter(link("192.0.2.1")).is_ok()
    });
    while !busy.iter().all(|visit| visit.link.is_asked_for_place()) {
        thread::yield_now();
    }
    let mut busy = busy.into_iter();
    let first = busy.next().unwrap();
    assert!(!first.may_stay());
    drop(first);
    assert!(newcomer.join().unwrap());
}

#[test]
fn a_large_body_makes_no_room_for_those_of_a_source_that_has_more() {
    let registry = registry(64, 400_000);
    let slow = visit(&registry, "192.0.2.1");
    assert!(slow.hold(40_000));
    slow.link.receive(Instant::now());
    thread::scope(|scope| {
        for _ in 0..20 {
            let (sender, held) = mpsc::channel();
            let visit = visit(&registry, "192.0.2.2");
            scope.spawn(move || {
                sender.send(visit.hold(40_000)).unwrap();
                (&visit.link.stream).read(&mut [0])
            });
            assert_eq!(held.recv_timeout(PATIENCE), Ok(true));
        }
        lock(&registry.seats).taken.values().for_each(|place| place.link.cut());
    });
    assert!(!slow.link.is_closed());
    assert_eq!(registry.stats.evicted(), 11);
}
