//! Reads a secret, and reads it again when it has changed:
//!
//!     read_secret NAME [SECONDS]     SECONDS pass between two looks, 60 by default
//!
//! `JARVIS_SECRETSD_ADDR` (`http://127.0.0.1:8081`, or `unix:/run/jarvis-secretsd/sock`), `JARVIS_SECRETSD_CLIENT` and
//! `JARVIS_SECRETSD_TOKEN` say where it is and who asks. A service that has an HTTP client will use that one; here the
//! standard library does.

use std::env;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

const PATIENCE: Option<Duration> = Some(Duration::from_secs(10));

/// Where it is, and who asks.
struct Daemon {
    address: String,
    client: String,
    token: String,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// What an answer says, as a terminal may show it.
fn printable(text: &str) -> String {
    text.chars().map(|character| if (' '..='~').contains(&character) { character } else { '?' }).collect()
}

/// What the value is for, as connecting to a database.
fn use_secret(name: &str, kid: &str, value: &str) {
    if !value.is_empty() {
        println!("{name}: {}", printable(kid));
    }
}

fn ask(daemon: &Daemon, name: &str, etag: &str) -> io::Result<Answer> {
    let Daemon { address, client, token } = daemon;
    let (host, path) = (address.trim_start_matches("http://"), address.strip_prefix("unix:"));
    let request = format!(
        "GET /secret/{name} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nX-Jarvis-Client: {client}\r\n\
         Authorization: Bearer {token}\r\nIf-None-Match: {etag}\r\n\r\n",
        if path.is_some() { "localhost" } else { host },
    );
    let answer = match path {
        Some(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(PATIENCE)?;
            exchange(stream, &request)?
        }
        None => {
            let stream = TcpStream::connect(host)?;
            stream.set_read_timeout(PATIENCE)?;
            exchange(stream, &request)?
        }
    };
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let answer = Answer { status, head: head.to_owned(), body: body.to_owned() };
    // The connection may have ended too early. A 304 has no body.
    let length = answer.header("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if answer.body.len() == length { Ok(answer) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn watch(daemon: &Daemon, name: &str, pause: Duration) -> Result<(), String> {
    let mut etag = "\"none\"".to_owned();
    loop {
        let answer = match ask(daemon, name, &etag) {
            Ok(answer) => answer,
            Err(why) => {
                eprintln!("{name}: no answer: {why}");
                sleep(Duration::from_secs(1));
                continue;
            }
        };
        match answer.status {
            200 => {
                // The reason could quote the value.
                let secret: serde_json::Value =
                    serde_json::from_str(&answer.body).map_err(|_| "the answer is not JSON".to_owned())?;
                use_secret(name, secret["kid"].as_str().unwrap_or(""), secret["value"].as_str().unwrap_or(""));
                etag = answer.header("ETag").unwrap_or("\"none\"").to_owned();
            }
            304 => {}
            429 | 503 => {
                eprintln!("{name}: {}", printable(&answer.body));
                let seconds = answer.header("Retry-After").and_then(|seconds| seconds.parse().ok());
                sleep(Duration::from_secs(seconds.unwrap_or(1)));
                continue;
            }
            _ => return Err(printable(&answer.body)),
        }
        sleep(pause);
    }
}

/// What the arguments and the environment say.
fn settings() -> Result<(Daemon, String, Duration), String> {
    let usage = "usage: read_secret NAME [SECONDS]";
    let mut arguments = env::args().skip(1);
    let name = arguments.next().ok_or(usage)?;
    let seconds = arguments.next().map_or(Ok(60), |seconds| seconds.parse()).map_err(|_| usage)?;
    let variable = |name: &str| env::var(name).map_err(|why| format!("{name}: {why}"));
    let address = env::var("JARVIS_SECRETSD_ADDR").unwrap_or("http://127.0.0.1:8081".to_owned());
    let (client, token) = (variable("JARVIS_SECRETSD_CLIENT")?, variable("JARVIS_SECRETSD_TOKEN")?);
    Ok((Daemon { address, client, token }, name, Duration::from_secs(seconds)))
}

fn main() -> ExitCode {
    let ended = settings()
        .and_then(|(daemon, name, pause)| watch(&daemon, &name, pause).map_err(|why| format!("{name}: {why}")));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
