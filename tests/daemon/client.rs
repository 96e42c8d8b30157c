//! A small HTTP client that keeps its connection, and what it takes from an answer.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use serde_json::Value;

use crate::site::PATIENCE;
use crate::tls_client::Secure;

/// What bytes come and go over.
trait Stream: Read + io::Write + Send {}

impl<S: Read + io::Write + Send> Stream for S {}

/// A connection to the daemon, as a certain client of its policy or as nobody.
pub struct Client {
    stream: BufReader<Box<dyn Stream>>,
    headers: String,
}

impl Client {
    /// Connects, as the client called `name`.
    pub fn named(name: &str, addr: SocketAddr) -> Self {
        Self::with(&[("X-Jarvis-Client", name)], addr)
    }

    /// Connects as the client called `name`, from this address of our own.
    pub fn named_from(name: &str, from: IpAddr, addr: SocketAddr) -> Self {
        Self::over(Box::new(connect_from(from, addr)), &[("X-Jarvis-Client", name)], &addr.to_string())
    }

    /// Connects; every request then carries these headers, and a `Host` if there is none among them.
    pub fn with(headers: &[(&str, &str)], addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(Box::new(stream), headers, &addr.to_string())
    }

    /// Goes on over a connection that is there, as nobody.
    pub fn over_tcp(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(Box::new(stream), &[], "localhost")
    }

    /// Connects to a Unix socket; every request then carries these headers, and a `Host` that no TCP peer may send.
    pub fn unix(headers: &[(&str, &str)], path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(Box::new(stream), headers, "jarvis.example")
    }

    /// Goes on over TLS, with a server that calls itself `localhost`; every request then carries these headers.
    pub fn secure(headers: &[(&str, &str)], stream: Secure) -> Self {
        Self::over(Box::new(stream), headers, "localhost")
    }

    fn over(stream: Box<dyn Stream>, headers: &[(&str, &str)], host: &str) -> Self {
        let has_host = headers.iter().any(|(name, _)| *name == "Host");
        let host = if has_host { None } else { Some(("Host", host)) };
        let headers = headers.iter().copied().chain(host).fold(String::new(), |lines, header| line(lines, &header));
        Self { stream: BufReader::new(stream), headers }
    }

    pub fn get(&mut self, target: &str) -> Answer {
        self.ask("GET", target, &[], "")
    }

    pub fn post(&mut self, target: &str, body: &str) -> Answer {
        self.ask("POST", target, &[], body)
    }

    /// Sends a body that need not be text.
    pub fn post_bytes(&mut self, target: &str, body: &[u8]) -> Answer {
        self.try_ask("POST", target, &[], body).unwrap()
    }

    pub fn delete(&mut self, target: &str) -> Answer {
        self.ask("DELETE", target, &[], "")
    }

    /// Stores `value`, and returns the kid of the new version.
    pub fn store(&mut self, name: &str, value: &str) -> String {
        self.make(&serde_json::json!({ "name": name, "value": value }))
    }

    /// Stores what `wanted` says, and returns the kid of the new version.
    pub fn make(&mut self, wanted: &Value) -> String {
        let answer = self.post("/secret", &wanted.to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.text("kid")
    }

    /// The current value of a secret that this client may read.
    pub fn value(&mut self, name: &str) -> String {
        let answer = self.get(&format!("/secret/{name}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.text("value")
    }

    /// The metrics as they are now.
    pub fn metrics(&mut self) -> String {
        self.try_metrics().unwrap()
    }

    /// The same where the daemon may close the connection.
    ///
    /// # Errors
    /// As [`answer`](Self::answer); or if there is no page.
    pub fn try_metrics(&mut self) -> io::Result<String> {
        // The page that is given out may be of the second before. Another one is made after that, and counts one request more.
        let mut first = None;
        loop {
            let answer = self.try_ask("GET", "/metrics", &[], b"")?;
            if answer.status != 200 {
                return Err(io::Error::other(answer.body));
            }
            if *first.get_or_insert_with(|| answer.body.clone()) != answer.body {
                return Ok(answer.body);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a request with these headers besides the usual ones, and waits for its answer.
    pub fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.try_ask(method, target, headers, body.as_bytes()).unwrap()
    }

    /// The same where the daemon may be gone.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub fn try_ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let mut head = headers.iter().fold(format!("{method} {target} HTTP/1.1\r\n{}", self.headers), line);
        if !body.is_empty() || !matches!(method, "GET" | "HEAD" | "DELETE") {
            head = line(head, &("Content-Length", &body.len().to_string()));
        }
        // The answer of a daemon that refuses a request in its middle is read all the same.
        let _ = self.send([head.as_bytes(), b"\r\n", body].concat());
        self.answer_to(method)
    }

    /// Sends bytes as they are, which need not be a whole request.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    /// The next answer to what was sent.
    ///
    /// # Errors
    /// [`UnexpectedEof`](ErrorKind::UnexpectedEof) if the daemon has closed the connection instead.
    pub fn answer(&mut self) -> io::Result<Answer> {
        self.answer_to("GET")
    }

    fn answer_to(&mut self, method: &str) -> io::Result<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    format!("the connection ended in a head: {head:?}"),
                ));
            }
        }
        let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        let mut answer = Answer { status, head, body: String::new() };
        let length = if method == "HEAD" { None } else { answer.header("Content-Length") };
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.stream.read_exact(&mut body)?;
        answer.body = String::from_utf8(body).unwrap();
        Ok(answer)
    }
}

/// Connects to `addr` from this address of our own.
pub fn connect_from(from: IpAddr, addr: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::new(from, 0)).unwrap();
    connect(&socket, &addr).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn line(mut lines: String, (name, value): &(&str, &str)) -> String {
    write!(lines, "{name}: {value}\r\n").unwrap();
    lines
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of a header that stands there at most once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().filter_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        });
        let value = values.next();
        assert_eq!(values.next(), None, "{name} stands there twice: {}", self.head);
        value
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {:?}", self.body))
    }

    /// A field of the body that is a string.
    pub fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.body)).to_owned()
    }

    /// The status, and the code that the body gives for an error.
    pub fn refusal(&self) -> (u16, String) {
        (self.status, self.text("error"))
    }

    /// The body with a 9 for every digit, so that times and kids, which are new each time, can be compared.
    pub fn picture(&self) -> String {
        self.body.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect()
    }
}
