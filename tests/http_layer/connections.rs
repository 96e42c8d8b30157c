//! Many connections, and more than are allowed.

use std::net::TcpStream;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use crate::support::{Site, eventually};

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
fn when_every_connection_is_at_work_a_new_one_is_told_to_come_again() {
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
