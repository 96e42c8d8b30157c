//! The end of a server.

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::patience::NEVER;
use crate::support::Site;

#[test]
fn stopping_closes_idle_connections_and_finishes_what_is_under_way() {
    let mut site = Site::new();
    let (mut idle, mut silent, mut busy) = (site.connect(), site.connect(), site.connect());
    assert_eq!(idle.get("/").status, 200);
    busy.send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    site.app.gate.await_arrivals(1);

    let server = site.take_server();
    let stopping = thread::spawn(move || server.stop(NEVER));
    idle.sees_the_end();
    silent.sees_the_end();
    assert!(!stopping.is_finished());

    site.app.gate.open();
    let answer = busy.answer();
    assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")));
    busy.sees_the_end();
    drop(busy);
    assert_eq!(stopping.join().unwrap(), 0);
    assert!(TcpStream::connect(site.addr).is_err(), "nobody listens any more");
    assert_eq!(site.stats.open(), 0);
}

#[test]
fn a_request_that_has_begun_to_arrive_is_finished_too() {
    let mut site = Site::new();
    let (mut idle, mut arriving) = (site.connect(), site.connect());
    arriving.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert!(arriving.head().contains("100 Continue"));
    arriving.send("bo");
    site.serves_others();

    let server = site.take_server();
    let stopping = thread::spawn(move || server.stop(NEVER));
    idle.sees_the_end();
    arriving.send("dy");
    assert_eq!(arriving.answer().body, "POST / body");
    drop(arriving);
    assert_eq!(stopping.join().unwrap(), 0);
}

#[test]
fn what_takes_longer_than_the_grace_is_cut_off_and_counted() {
    let mut site = Site::new();
    let (mut silent, mut busy) = (site.connect(), site.connect());
    busy.send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    site.app.gate.await_arrivals(1);
    assert_eq!(site.take_server().stop(Duration::ZERO), 1);
    busy.sees_the_end();
    silent.sees_the_end();
}
