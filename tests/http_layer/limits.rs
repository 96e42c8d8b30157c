//! Clients that send too much, too slowly, or nothing, and clients that do not read.

use std::time::Duration;

use crate::support::{Site, eventually};

const SHORT: Duration = Duration::from_millis(300);

fn hurried() -> Site {
    Site::with(|limits| limits.request_timeout = SHORT)
}

#[test]
fn a_head_that_never_ends_is_refused() {
    for piece in ["a".repeat(1000), "A: b\r\n".repeat(100)] {
        let site = Site::new();
        let mut client = site.connect();
        client.send("GET / HTTP/1.1\r\nHost: h\r\nX: ");
        let answer = client.drip(piece.as_bytes());
        assert_eq!(answer.status, 431);
        assert!(answer.body.contains("headers_too_large"), "{answer:?}");
        site.serves_others();
    }
}

#[test]
fn a_target_without_end_is_refused() {
    let site = Site::new();
    let mut client = site.connect();
    client.send("GET /");
    assert_eq!(client.drip(&[b'a'; 1000]).status, 431);
}

#[test]
fn a_head_of_the_largest_size_is_served_and_one_byte_more_is_not() {
    let site = Site::with(|limits| limits.max_head = 4096);
    for (size, status) in [(4096, 200), (4097, 431)] {
        let frame = "GET / HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n";
        let filler = "x".repeat(size - frame.len());
        let mut client = site.connect();
        client.send(frame.replace("X: ", &format!("X: {filler}")));
        assert_eq!(client.answer().status, status, "{size} bytes");
    }
}

#[test]
fn too_many_header_lines_are_refused() {
    let site = Site::new();
    for (lines, status) in [(63, 200), (64, 431)] {
        let mut client = site.connect();
        client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(lines)));
        assert_eq!(client.answer().status, status, "{lines} lines besides Host");
    }
}

#[test]
fn a_head_that_drips_is_given_up() {
    let site = hurried();
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\nX: ");
    let answer = client.drip(b"x");
    assert_eq!(answer.status, 408);
    assert!(answer.body.contains("timeout"), "{answer:?}");
    client.sees_the_end();
    assert_eq!(site.stats.timed_out(), 1);
}

#[test]
fn a_body_that_drips_is_given_up_while_others_are_served() {
    let site = hurried();
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n");
    site.serves_others();
    assert_eq!(client.drip(b"x").status, 408);
    client.sees_the_end();
    assert_eq!((site.stats.timed_out(), site.app.refused()), (1, vec![408]));
    site.serves_others();
}

#[test]
fn a_request_that_stops_in_the_middle_is_given_up() {
    let site = hurried();
    let mut client = site.connect();
    client.send("GET / HTTP");
    assert_eq!(client.answer().status, 408);
    client.sees_the_end();
}

#[test]
fn a_client_that_never_reads_its_answer_is_given_up_while_others_are_served() {
    let site = hurried();
    let mut client = site.connect();
    client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
    site.serves_others();
    eventually("both connections have ended", || site.stats.open() == 0);
    assert_eq!(site.stats.timed_out(), 1);
    site.serves_others();
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let (site, mut satisfied) = Site::asked("GET / HTTP/1.1\r\nHost: h\r\n\r\n", |limits| limits.idle_timeout = SHORT);
    let mut silent = site.connect();
    assert_eq!(satisfied.answer().status, 200);
    silent.sees_the_end();
    satisfied.sees_the_end();
    assert_eq!((site.stats.timed_out(), site.app.refused()), (0, vec![]));
    // One that is too slow to ask in time comes again.
    eventually("another one is served", || site.connect().is_served());
}
