//! A server with a small application, and a client that sends exactly the given bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use jarvis_secretsd::http::{self, ConnectionStats, Exchange, Handler, Limits, Listener, Peer, Server, Tls};
use rouille::{Request, Response};

use crate::patience::{self, NEVER, PATIENCE};

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    patience::eventually(what, || condition().then_some(()));
}

/// Limits of a server for tests: nobody is cut off for being slow, for what a busy machine delays is no failure.
pub fn limits() -> Limits {
    Limits { max_body: 1000, request_timeout: NEVER, idle_timeout: NEVER, ..Limits::default() }
}

/// A gate that requests to `/hold` wait at.
#[derive(Default)]
pub struct Gate {
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |(_, is_open)| !*is_open).unwrap());
    }

    /// Waits until `count` requests have come to the gate.
    pub fn await_arrivals(&self, count: usize) {
        drop(self.changed.wait_while(self.state.lock().unwrap(), |(came, _)| *came < count).unwrap());
    }

    pub fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

/// An application that answers with what it saw, takes every request but for `/anonymous` as authenticated, and misbehaves on demand.
#[derive(Default)]
pub struct App {
    pub gate: Gate,
    handled: Mutex<usize>,
    refused: Mutex<Vec<u16>>,
    distrusted: Mutex<Vec<String>>,
    peers: Mutex<Vec<String>>,
}

impl App {
    /// How many requests came through to the application.
    pub fn handled(&self) -> usize {
        *self.handled.lock().unwrap()
    }

    /// Who sent the requests, in order.
    pub fn peers(&self) -> Vec<String> {
        self.peers.lock().unwrap().clone()
    }

    /// Why certificates of clients were not accepted.
    pub fn distrusted(&self) -> Vec<String> {
        self.distrusted.lock().unwrap().clone()
    }

    /// The statuses that the layer answered with by itself.
    pub fn refused(&self) -> Vec<u16> {
        self.refused.lock().unwrap().clone()
    }
}

impl Handler for App {
    fn handle(&self, request: &Request, body: &[u8], exchange: &mut Exchange) -> Response {
        let peer = exchange.peer;
        *self.handled.lock().unwrap() += 1;
        self.peers.lock().unwrap().push(peer.to_string());
        if request.raw_url() != "/anonymous" {
            peer.identified();
        }
        match request.raw_url() {
            "/hold" => self.gate.pass(),
            "/panic" => panic!("on demand"),
            "/large" => return Response::from_data("application/octet-stream", vec![b'x'; 32 << 20]),
            "/unchanged" => return Response::text("a body").with_status_code(304),
            "/unsendable" => return Response::text("a body").with_additional_header("ETag", "a\r\nb"),
            _ => {}
        }
        let body = String::from_utf8_lossy(body);
        let names: Vec<String> = peer.certificate_names.iter().map(ToString::to_string).collect();
        Response::text(format!("{} {} {body}", request.method(), request.raw_url()))
            .with_additional_header("Seen-Host", request.header("Host").unwrap_or("none").to_owned())
            .with_additional_header("Seen-Names", names.join(" "))
            .with_additional_header("Seen-Id", request.header("X-Request-Id").unwrap_or("none").to_owned())
    }

    fn refused(&self, status: u16) {
        self.refused.lock().unwrap().push(status);
    }

    fn distrusted(&self, _: &Peer, why: &str) {
        self.distrusted.lock().unwrap().push(why.to_owned());
    }
}

/// A server on a port of its own, which ends with the test.
pub struct Site {
    pub app: Arc<App>,
    pub stats: Arc<ConnectionStats>,
    pub addr: SocketAddr,
    server: Option<Server>,
}

impl Site {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Limits)) -> Self {
        Self::listening(|listener| listener, change)
    }

    /// One that finds a client with this request already there when it begins to serve: no limit of time can be over before
    /// the request has come.
    pub fn asked(request: &str, change: impl FnOnce(&mut Limits)) -> (Self, Client) {
        let mut early = None;
        let connect = |listener: Listener| {
            let mut client = Client::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
            client.send(request);
            early = Some(client);
            listener
        };
        let site = Self::listening(connect, change);
        (site, early.unwrap())
    }

    /// One that speaks TLS.
    pub fn secure(tls: &Arc<Tls>, change: impl FnOnce(&mut Limits)) -> Self {
        Self::listening(|listener| listener.secure(tls.clone()), change)
    }

    fn listening(prepare: impl FnOnce(Listener) -> Listener, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = limits();
        change(&mut limits);
        let app = Arc::new(App::default());
        let listener = prepare(http::bind("127.0.0.1:0".parse().unwrap()).unwrap());
        let (addr, stats) = (listener.local_addr().unwrap(), listener.stats().clone());
        let server = Some(listener.serve(limits, app.clone()).unwrap());
        Self { app, stats, addr, server }
    }

    pub fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.addr).unwrap())
    }

    /// Waits until the server waits for so many clients. It begins to do so only after the answer has come, and whom it does
    /// not wait for need not make room.
    pub fn await_waiting(&self, count: usize) {
        let server = self.server.as_ref().unwrap();
        eventually("the server waits for them", || server.waiting() == count);
    }

    /// Takes the server out, to be stopped by the test itself.
    pub fn take_server(&mut self) -> Server {
        self.server.take().unwrap()
    }

    /// Sends a request on a new connection and checks that it is answered.
    pub fn serves_others(&self) {
        assert_eq!(self.connect().get("/other").body, "GET /other ");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.app.gate.open();
        self.server.take().map(|server| server.stop(PATIENCE));
    }
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().filter_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        });
        let value = values.next();
        assert_eq!(values.next(), None, "{name} stands there once");
        value
    }
}

/// A client that sends exactly the given bytes.
pub struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, unread: Vec::new() }
    }

    /// Sends `bytes`; a server that has closed the connection meanwhile is seen when reading.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    pub fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        self.answer()
    }

    /// Whether it is answered, and the connection does not end before.
    pub fn is_served(&mut self) -> bool {
        self.send("GET /other HTTP/1.1\r\nHost: h\r\n\r\n");
        let answers = !self.unread.is_empty() || self.read();
        if answers {
            assert_eq!(self.answer().body, "GET /other ");
        }
        answers
    }

    /// The next answer, with its body.
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.answer_to_head();
        let length = answer.header("Content-Length").map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            assert!(self.read(), "the connection ended in a body");
        }
        answer.body = String::from_utf8(self.unread.drain(..length).collect()).unwrap();
        answer
    }

    /// The next answer, which has no body, whatever its head says.
    pub fn answer_to_head(&mut self) -> Answer {
        let head = self.head();
        let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        Answer { status, head, body: String::new() }
    }

    /// The next head as it came.
    pub fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                return String::from_utf8(self.unread.drain(..end + 4).collect()).unwrap();
            }
            assert!(self.read(), "the connection ended in a head: {:?}", String::from_utf8_lossy(&self.unread));
        }
    }

    /// Sends `piece` again and again, slowly, until the server answers.
    pub fn drip(&mut self, piece: &[u8]) -> Answer {
        self.stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        eventually("the server has enough of it", || {
            let is_answered = self.stream.peek(&mut [0]).is_ok();
            if !is_answered {
                self.send(piece);
            }
            is_answered
        });
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.answer()
    }

    /// Sends no more, but still reads.
    pub fn finish(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Waits until the server closes the connection, without another byte before.
    pub fn sees_the_end(&mut self) {
        let more = self.read();
        assert!(!more && self.unread.is_empty(), "more came: {:?}", String::from_utf8_lossy(&self.unread));
    }

    /// Reads once; false at the end of the connection.
    fn read(&mut self) -> bool {
        let mut room = [0; 64 * 1024];
        match self.stream.read(&mut room) {
            Ok(count) => {
                self.unread.extend_from_slice(&room[..count]);
                count > 0
            }
            Err(why) if why.kind() == ErrorKind::ConnectionReset => false,
            Err(why) => panic!("waiting for the server: {why}"),
        }
    }
}
