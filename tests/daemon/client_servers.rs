//! What a client makes of a server that is none of ours, or does us ill.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use jarvis_secretsd::client::{Address, Transport};

use crate::client_program::{failure, program};
use crate::site::Site;

/// Serves one connection, once a request has come.
fn serve(answer: impl FnOnce(&mut TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        answer(&mut stream);
    });
    addr
}

/// What `get db_main` fails with, by another server than the daemon, where this is the answer.
fn message(answer: impl Into<Vec<u8>>) -> String {
    message_with(1, answer)
}

/// The same with this status.
fn message_with(status: i32, answer: impl Into<Vec<u8>>) -> String {
    let answer = answer.into();
    // A client that has had enough may close the connection.
    let addr = serve(move |stream| _ = stream.write_all(&answer));
    let site = Site::empty();
    let output = program(&site, &["get", "db_main"]).env("JARVIS_SECRETSD_ADDR", format!("http://{addr}")).output();
    let why = failure(&output.unwrap(), status);
    why.replace(&format!("http://{addr}"), "ADDR")
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn garbage_is_no_answer() {
    for (status, answer, why) in [
        (5, "", "ADDR: the connection was closed without an answer"),
        (1, "SSH-2.0-OpenSSH_9.2\r\n", "ADDR: the answer is malformed: "),
        (
            5,
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}",
            "ADDR: the connection was closed in the middle of the answer",
        ),
        (
            1,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n",
            "a chunk does not end where its size says",
        ),
        (1, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "it has neither"),
        (1, "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n{}", "its body is too long"),
        (1, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}", "it is longer than it announced"),
    ] {
        let told = message_with(status, answer);
        assert!(told.contains(why), "{answer:?}: {told}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1 << 20));
    assert!(message(endless).contains("its head is too long"));
}

#[test]
fn an_answer_of_another_form_or_about_another_secret_is_not_taken_and_its_value_not_printed() {
    let valid = r#"{"name":"db_main","value":"hunter2","kid":"k"}"#;
    for body in [
        "{}".to_owned(),
        "<html>".to_owned(),
        valid.replace("db_main", "db_other"),
        valid.replace("\"hunter2\"", "[\"hunter2\"]"),
        valid.replace("\"k\"", "1"),
        valid[..valid.len() - 1].to_owned(),
    ] {
        assert_eq!(message(http("200 OK", &body)), "db_main: ADDR answers, but not as jarvis-secretsd does", "{body}");
    }
}

#[test]
fn a_refusal_in_words_of_somebody_else_steers_no_terminal() {
    assert_eq!(
        message(http("502 Bad Gateway", "<html>\u{1b}[2J")),
        "db_main: status 502 from ADDR, which does not answer as jarvis-secretsd does"
    );
    let body = r#"{"error":"x","message":"a\n\u001b[2J\"b\""}"#;
    assert_eq!(message(http("400 Bad Request", body)), r#"db_main: a\n\u{1b}[2J"b""#);
}

#[test]
fn the_message_about_an_unanswered_change_says_that_it_may_have_been_made() {
    let addr = serve(|_| ());
    let arguments = ["set", "db_main", "--generate", "--addr", &format!("http://{addr}")];
    let why = failure(&program(&Site::empty(), &arguments).output().unwrap(), 5);
    assert!(why.ends_with("without an answer: it may have been done anyway; check before you repeat it"), "{why}");
}

#[test]
fn a_redirection_is_not_followed() {
    let answer = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    assert!(message(answer).starts_with("db_main: status 302 from ADDR, "));
}

#[test]
fn a_server_that_never_comes_to_an_end_is_given_up() {
    let silent = serve(|stream| _ = stream.read(&mut [0; 1]));
    let dripping = serve(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        // Until the client has had enough.
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
    });
    for addr in [silent, dripping] {
        let address = Address::of(addr, false);
        let transport = Transport { address, tls: None, time_limit: Duration::from_millis(300) };
        let why = transport.call("GET", "/", &[], None, |_| {}).map(|answer| answer.status).unwrap_err();
        assert_eq!(why.to_string(), "no whole answer within the time limit");
    }
}
