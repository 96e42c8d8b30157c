//! A gateway that a test plays: it hears whole requests, and answers what the test's script says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::base::sync::lock;
use crate::etcd::Endpoint;

/// A request that has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    pub target: String,
    pub authorization: Option<String>,
    /// Null if it had no body.
    pub body: Value,
    /// On which connection, counted from 0.
    pub connection: usize,
}

/// What is done with it.
pub enum Reply {
    Json(u16, &'static str),
    /// An answer of status 200 that was made for this request.
    Made(String),
    /// An answer of status 200, a byte a chunk.
    Chunked(&'static str),
    /// An answer of status 200 that keeps the connection, which is then closed all the same.
    ThenClose(&'static str),
    /// These bytes, and the end.
    Raw(&'static str),
    /// Nothing, until the client has had enough.
    Silence,
}

#[derive(Clone)]
pub struct Gateway {
    pub endpoint: Endpoint,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Gateway {
    /// A gateway on a port of its own that answers each request by `script`.
    pub fn start(script: impl FnMut(&Heard) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint::of(listener.local_addr().unwrap(), false);
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let (script, all, count) = (Arc::new(Mutex::new(script)), heard.clone(), AtomicUsize::new(0));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, all, connection) = (script.clone(), all.clone(), count.fetch_add(1, Ordering::SeqCst));
                thread::spawn(move || serve(stream.unwrap(), connection, &script, &all));
            }
        });
        Self { endpoint, heard }
    }

    /// One that answers every request so.
    pub fn always(reply: fn() -> Reply) -> Self {
        Self::start(move |_| reply())
    }

    /// An address where nobody listens.
    pub fn dead() -> Endpoint {
        Endpoint::of(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(), false)
    }

    /// What has come so far.
    pub fn heard(&self) -> Vec<Heard> {
        lock(&self.heard).clone()
    }
}

fn serve<S: FnMut(&Heard) -> Reply>(
    stream: TcpStream,
    connection: usize,
    script: &Mutex<S>,
    all: &Mutex<Vec<Heard>>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let heard = hear(&mut reader, connection)?;
        lock(all).push(heard.clone());
        let reply = lock(script)(&heard);
        match reply {
            Reply::Json(status, body) => {
                write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()?;
            }
            Reply::Made(body) => {
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()?;
            }
            Reply::Chunked(body) => {
                write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").ok()?;
                for byte in body.bytes() {
                    stream.write_all(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']).ok()?;
                }
                write!(stream, "0\r\n\r\n").ok()?;
            }
            Reply::ThenClose(body) => {
                return write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok();
            }
            Reply::Raw(bytes) => return stream.write_all(bytes.as_bytes()).ok(),
            Reply::Silence => return reader.read_to_end(&mut Vec::new()).ok().map(drop),
        }
    }
}

/// The next request; none if the connection was closed.
fn hear(reader: &mut impl BufRead, connection: usize) -> Option<Heard> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" if lines.is_empty() => return None,
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let value = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name).map(str::to_owned));
    let mut body = vec![0; value("Content-Length: ").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Heard {
        target: lines[0].split(' ').nth(1)?.to_owned(),
        authorization: value("Authorization: "),
        body: if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() },
        connection,
    })
}
