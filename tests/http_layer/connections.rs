//! Many connections, and more than are allowed.

use std::net::TcpStream;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use crate::support::{Client, Site, eventually};

fn crowded(max_connections: usize) -> Site {
    Site::with(|limits| limits.max_connections = max_connections)
}

#[test]
fn over_the_limit_the_connection_that_was_silent_longest_makes_room() {
    let site = crowded(2);
    let (mut lively, mut silent) = (site.connect(), site.connect());
    eventually("both are let in", || site.stats.open() == 2);
    assert_eq!(lively.get("/").status, 200);
    let mut newcomer = site.connect();
    assert_eq!(newcomer.get("/").status, 200);
    silent.sees_the_end();
    assert_eq!(lively.get("/").status, 200);
    assert_eq!((site.stats.evicted(), site.stats.refused(), site.stats.open()), (1, 0, 2));
}

#[test]
fn over_the_limit_an_incomplete_request_makes_room() {
    let site = crowded(2);
    let mut busy = site.connect();
    busy.send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    site.app.gate.await_arrivals(1);
    let mut dripping = site.connect();
    dripping.send("GET / HTTP/1.1\r\n");
    site.serves_others();
    dripping.sees_the_end();
    site.app.gate.open();
    assert_eq!(busy.answer().status, 200);
}

#[test]
fn when_every_connection_is_at_work_a_new_one_is_answered_503() {
    let site = crowded(2);
    let mut busy = [site.connect(), site.connect()];
    for client in &mut busy {
        client.send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    site.app.gate.await_arrivals(2);
    for _ in 0..20 {
        let mut refused = site.connect();
        let answer = refused.answer();
        assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")));
        assert!(answer.body.starts_with("{\"error\":\"busy\""), "{answer:?}");
        assert!(answer.header("X-Request-Id").is_some());
        refused.sees_the_end();
    }
    assert_eq!((site.stats.refused(), site.app.refused()), (20, vec![503; 20]));
    site.app.gate.open();
    for client in &mut busy {
        assert_eq!(client.answer().status, 200);
    }
    eventually("there is room again", || site.connect().get("/").status == 200);
}

#[test]
fn idle_and_dripping_connections_cannot_lock_others_out() {
    let site = crowded(8);
    let mut others = Vec::new();
    for _ in 0..100 {
        let idle = site.connect();
        let mut dripping = site.connect();
        dripping.send("POST / HTTP/1.1\r\n");
        others.extend([idle, dripping]);
        site.serves_others();
    }
    assert_eq!(site.stats.refused(), 0);
    assert_eq!(site.stats.accepted(), 300);
    assert!(site.stats.open() <= 8);
    assert!(site.stats.evicted() >= 192, "those that went by themselves need not be evicted");
}

#[test]
fn over_the_limit_a_client_that_does_not_take_its_answer_makes_room() {
    let site = crowded(2);
    let mut deaf = [site.connect(), site.connect()];
    for client in &mut deaf {
        client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    // Until its answer has filled the socket it is our turn, and others are answered 503.
    eventually("another one is served", || site.connect().get("/").status == 200);
    assert!(site.stats.evicted() >= 1);
}

/// A client that has begun to read a large answer.
fn reader(site: &Site) -> Client {
    let mut client = site.connect();
    client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
    client
}

#[test]
fn large_answers_that_nobody_reads_make_room_for_another() {
    let site = Site::with(|limits| limits.max_held = 1 << 20);
    let mut deaf: Vec<_> = (0..40).map(|_| reader(&site)).collect();
    for client in &mut deaf {
        client.head();
    }
    eventually("a client that does not read has to go", || {
        assert_eq!(site.connect().get("/large").status, 200);
        site.stats.evicted() >= 1
    });
}

#[test]
fn an_answer_that_is_larger_than_all_that_may_be_held_is_not_cut_off_for_another() {
    let site = Site::with(|limits| limits.max_held = 1 << 20);
    let mut slow = reader(&site);
    for _ in 0..10 {
        assert_eq!(site.connect().get("/large").status, 200);
    }
    assert_eq!(slow.answer().status, 200);
    assert_eq!(site.stats.evicted(), 0);
}

#[test]
fn where_there_is_one_place_everybody_can_have_it() {
    let site = crowded(1);
    let mut idle = site.connect();
    assert_eq!(idle.get("/").status, 200);
    // For a moment it may still be our turn.
    eventually("another one is served", || site.connect().get("/").status == 200);
    idle.sees_the_end();
}

#[test]
fn silent_connections_do_not_make_those_of_known_clients_go() {
    let site = crowded(8);
    let mut known: Vec<_> = (0..6).map(|_| site.connect()).collect();
    for client in &mut known {
        assert_eq!(client.get("/").status, 200);
    }
    let silent: Vec<_> = (0..100).map(|_| site.connect()).collect();
    site.serves_others();
    for client in &mut known {
        assert_eq!(client.get("/").status, 200);
    }
    assert!(site.stats.evicted() >= 98, "{}", site.stats.evicted());
    drop(silent);
}

#[test]
fn of_connections_that_do_not_say_who_they_are_a_quarter_of_the_places_is_kept() {
    let site = crowded(8);
    let mut passing: Vec<_> = (0..4).map(|_| site.connect()).collect();
    let lasts: Vec<_> =
        passing.iter_mut().map(|client| client.get("/anonymous").header("Connection").is_none()).collect();
    assert_eq!(lasts, [true, true, false, false]);
    passing[3].sees_the_end();
    assert_eq!(passing[0].get("/anonymous").status, 200);
}

#[test]
fn requests_behind_the_last_that_is_answered_are_not_read() {
    let site = crowded(4);
    let mut first = site.connect();
    assert_eq!(first.get("/anonymous").status, 200);
    let mut pipelining = site.connect();
    pipelining.send("GET /anonymous HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3));
    let answer = pipelining.answer();
    assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")));
    pipelining.sees_the_end();
    assert_eq!(site.app.handled(), 2);
}

#[test]
fn a_thousand_connections_that_close_at_once_leave_nothing_behind() {
    let site = Site::new();
    for n in 0..1000 {
        let stream = TcpStream::connect(site.addr).unwrap();
        // Every second one is reset instead of closed.
        if n % 2 == 0 {
            set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
    }
    site.serves_others();
    eventually("all connections have ended", || site.stats.open() == 0);
    assert!(site.app.refused().is_empty());
}
