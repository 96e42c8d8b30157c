//! What the log says about requests, and what it never says. Alone in its file, because there is one log a process.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use jarvis_secretsd::http::{self, Exchange, Handler, Limits};
use log::{LevelFilter, Log, Metadata, Record};
use rouille::{Request, Response};

#[path = "patience/mod.rs"]
mod patience;

use patience::{NEVER, PATIENCE};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Capture;

impl Log for Capture {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        LINES.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

struct Mirror;

impl Handler for Mirror {
    fn handle(&self, request: &Request, body: &[u8], _: &mut Exchange) -> Response {
        match request.url().as_str() {
            "/panic" => panic!("{}", String::from_utf8_lossy(body)),
            _ => Response::from_data("text/plain", body),
        }
    }

    fn refused(&self, _: u16) {}
}

#[test]
fn the_log_has_a_line_a_request_and_never_a_value() {
    log::set_logger(&Capture).unwrap();
    log::set_max_level(LevelFilter::Trace);
    // A panic's own message goes to standard error by way of this hook, which is the program's to set.
    std::panic::set_hook(Box::new(|_| {}));

    let listener = http::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    let limits = Limits { max_body: 100, request_timeout: NEVER, idle_timeout: NEVER, ..Limits::default() };
    let server = listener.serve(limits, Arc::new(Mirror)).unwrap();
    let mut answers = Vec::new();
    for (request, headers) in [
        ("POST /secret?token=CANARY HTTP/1.1", "Content-Length: 6"),
        ("POST /panic HTTP/1.1", "Content-Length: 6"),
        ("POST /chunks HTTP/1.1", "Transfer-Encoding: chunked"),
        ("POST /malformed HTTP/1.1", "A : CANARY"),
    ] {
        let mut client = TcpStream::connect(addr).unwrap();
        let head =
            format!("{request}\r\nHost: h\r\nAuthorization: Bearer CANARY\r\nConnection: close\r\n{headers}\r\n\r\n");
        client.write_all(format!("{head}CANARY").as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answers.push(answer);
    }
    server.stop(PATIENCE);
    drop(std::panic::take_hook());

    let lines = LINES.lock().unwrap();
    for (answer, start) in answers.iter().zip([
        "DEBUG POST /secret 200 6 bytes ",
        "DEBUG POST /panic 500 ",
        "DEBUG POST /chunks 413 ",
        "DEBUG - - 400 ",
    ]) {
        let id = answer.lines().find_map(|line| line.strip_prefix("X-Request-Id: ")).unwrap();
        let found = lines.iter().filter(|line| line.starts_with(start) && line.ends_with(&format!(" {id}"))).count();
        assert_eq!(found, 1, "{start}… {id} in {lines:#?}");
    }
    assert!(lines.iter().any(|line| line.starts_with("ERROR request ") && line.ends_with(": its handler panicked")));
    assert_eq!(lines.iter().filter(|line| line.starts_with("DEBUG")).count(), answers.len());
    assert!(!lines.iter().any(|line| line.contains("CANARY")), "{lines:#?}");
}
