//! Bodies: by length, in chunks, after a question, and in pieces.

use crate::support::{Client, Site, eventually};

#[track_caller]
fn is_refused_without_ending(head: &str, piece: &str, status: u16, code: &str) {
    let site = Site::new();
    let mut client = site.connect();
    client.send(head);
    let answer = client.drip(piece.repeat(100).as_bytes());
    assert_eq!((answer.status, answer.body.contains(code)), (status, true), "{answer:?}");
    assert_eq!(site.app.handled(), 0);
    site.serves_others();
}

const CHUNKED: &str = "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

fn post(client: &mut Client, body: &str) {
    client.send(format!("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
}

#[test]
fn a_body_of_the_largest_size_comes_through_and_one_byte_more_does_not() {
    let site = Site::new();
    let mut client = site.connect();
    let largest = "x".repeat(1000);
    post(&mut client, &largest);
    assert_eq!(client.answer().body, format!("POST /p {largest}"));
    post(&mut client, &"x".repeat(1001));
    assert_eq!(client.answer().status, 413);
    client.sees_the_end();
}

#[test]
fn a_body_of_many_reads_comes_through_whole() {
    let site = Site::with(|limits| limits.max_body = 1 << 20);
    let body: String = (0..100_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    let mut client = site.connect();
    post(&mut client, &body);
    assert_eq!(client.answer().body, format!("POST /p {body}"));
}

#[test]
fn a_chunked_body_comes_through_without_its_framing() {
    let site = Site::new();
    let mut client = site.connect();
    client.send(format!("{CHUNKED}3\r\nabc\r\n00B;ext=\"1\"\r\n, and more.\r\n0\r\nTrailer: x\r\n\r\n"));
    assert_eq!(client.answer().body, "POST /c abc, and more.");
    assert_eq!(client.get("/next").body, "GET /next ");
}

#[test]
fn a_chunked_body_that_becomes_too_large_is_refused() {
    is_refused_without_ending(CHUNKED, "8\r\n01234567\r\n", 413, "too_large");
}

#[test]
fn a_chunk_that_announces_too_much_is_refused_before_it_comes() {
    is_refused_without_ending(&format!("{CHUNKED}fffffff\r\n"), "", 413, "too_large");
}

#[test]
fn a_malformed_chunk_size_is_refused() {
    for size in ["+3", " 3", "3 ", "0x3", "", "-1", "000000003", "3\n"] {
        is_refused_without_ending(&format!("{CHUNKED}{size}\r\nabc\r\n0\r\n\r\n"), "", 400, "bad_request");
    }
}

#[test]
fn a_chunk_extension_without_end_is_refused() {
    is_refused_without_ending(&format!("{CHUNKED}1;"), "extension", 400, "bad_request");
}

#[test]
fn trailers_without_end_are_refused() {
    is_refused_without_ending(&format!("{CHUNKED}0\r\n"), "Trailer: x\r\n", 431, "headers_too_large");
}

#[test]
fn a_client_that_expects_100_continue_gets_it() {
    let site = Site::new();
    let mut client = site.connect();
    client.send("POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body");
    assert_eq!(client.answer().body, "POST /e body");
}

#[test]
fn a_client_that_sends_the_body_along_gets_no_100_continue() {
    let site = Site::new();
    let mut client = site.connect();
    client.send("POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody");
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_client_that_asks_for_too_much_is_refused_at_once() {
    let site = Site::new();
    let mut client = site.connect();
    client.send("POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 4000\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().status, 413);
    client.sees_the_end();
}

#[test]
fn a_request_that_comes_byte_by_byte_is_served() {
    let site = Site::new();
    let mut client = site.connect();
    for byte in format!("{CHUNKED}3\r\nabc\r\n0\r\n\r\n").as_bytes() {
        client.send([*byte]);
    }
    assert_eq!(client.answer().body, "POST /c abc");
}

/// A site where one body of 40,000 bytes finds room at a time, however it comes.
fn tight() -> Site {
    Site::with(|limits| (limits.max_body, limits.max_held) = (40_000, 79_999))
}

/// Has a client send all of a large body but its last byte.
fn send_most_of_a_body(client: &mut Client) {
    client.send("POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 40000\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("x".repeat(39_999));
}

#[test]
fn a_large_body_that_comes_slowly_makes_room_for_one_that_is_there() {
    let site = tight();
    let mut slow = site.connect();
    send_most_of_a_body(&mut slow);
    eventually("the slow one makes room", || {
        let mut quick = site.connect();
        post(&mut quick, &"x".repeat(40_000));
        assert_eq!(quick.answer().status, 200);
        // It is refused if it finds no room for what comes now.
        site.stats.evicted() == 1 || site.app.refused() == [503]
    });
}

#[test]
fn a_large_body_that_finds_no_room_is_answered_503_while_small_ones_are_served() {
    let site = tight();
    let mut busy = site.connect();
    let body = "x".repeat(40_000);
    busy.send(format!("POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 40000\r\n\r\n{body}"));
    site.app.gate.await_arrivals(1);
    let mut refused = site.connect();
    post(&mut refused, &body);
    let answer = refused.answer();
    assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")));
    refused.sees_the_end();
    let mut small = site.connect();
    post(&mut small, &"x".repeat(8000));
    assert_eq!(small.answer().status, 200);
    site.app.gate.open();
    assert_eq!(busy.answer().status, 200);
    post(&mut busy, &body);
    assert_eq!(busy.answer().status, 200, "there is room again");
}
