//! One connection's life: request after request, until one side has had enough.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use log::{debug, error};
use rouille::Request;

use super::Refusal;
use super::body::Body;
use super::buffer::Input;
use super::context::Context;
use super::head::{Head, parse_head};
use super::link::Link;
use super::reply::{Date, Reply};
use super::scanner::Scanner;
use super::wire::{Wire, time_left};

/// For how long, and for how many bytes, we listen to a client after our last word. Closing a socket while it still
/// sends would reset the connection before the client has read the answer (RFC 9112, section 9.6).
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// Serves a connection until it ends.
pub fn serve(link: &Link, context: &Context) {
    let limits = &context.limits;
    // It fails only if the client has gone already.
    let Ok(wire) = Wire::open(link, limits.idle_timeout, limits.request_timeout) else { return };
    let mut connection = Connection { wire, context, input: Input::new(limits.max_head), date: Date::default() };
    while connection.exchange() {}
}

struct Connection<'a> {
    wire: Wire<'a>,
    context: &'a Context,
    input: Input,
    date: Date,
}

/// Why no whole request came.
enum End {
    /// The client has gone, or had to go.
    Gone,
    /// It is told what was wrong.
    Refused(Refusal),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What the log says about a request.
struct Subject<'a> {
    id: &'a str,
    began: Instant,
    method: &'a str,
    target: &'a str,
}

impl Connection<'_> {
    /// One request and its answer. Returns whether another may follow.
    fn exchange(&mut self) -> bool {
        if self.input.unread().is_empty() && !matches!(self.read(self.context.limits.idle_timeout), Ok(1..)) {
            return false;
        }
        let began = Instant::now();
        let id = self.context.next_request_id();
        let unknown = Subject { id: &id, began, method: "-", target: "-" };
        let head = match self.receive_head(began) {
            Ok(head) => head,
            Err(end) => return self.end(end, &unknown),
        };
        match self.receive_body(&head, began) {
            Ok(body) => self.answer(head, body, &id, began),
            Err(end) => self.end(end, &Subject { method: &head.method, target: &head.target, ..unknown }),
        }
    }

    fn receive_head(&mut self, began: Instant) -> Result<Head, End> {
        let mut scanner = Scanner::default();
        loop {
            if let Some(place) = scanner.scan(self.input.unread())? {
                let end = place.end;
                let head = parse_head(&self.input.unread()[place], &self.context.limits)?;
                self.input.consume(end);
                return Ok(head);
            }
            if self.input.is_full() {
                return Err(Refusal::new(431, "the head of the request is too large").into());
            }
            self.receive_more(began)?;
        }
    }

    fn receive_body(&mut self, head: &Head, began: Instant) -> Result<Body, End> {
        let mut body = Body::new(head.framing, self.context.limits.max_body);
        loop {
            let used = body.feed(self.input.unread())?;
            self.input.consume(used);
            if body.is_complete() {
                return Ok(body);
            }
            // A client that has begun to send does not wait for it any more.
            if head.expects_continue && used == 0 {
                let go_ahead = b"HTTP/1.1 100 Continue\r\n\r\n";
                self.wire.link.receive(began);
                self.write([go_ahead, b""]).map_err(|_| End::Gone)?;
            }
            self.receive_more(began)?;
        }
    }

    /// Waits for more of a request that began at the moment `began`.
    fn receive_more(&mut self, began: Instant) -> Result<(), End> {
        self.wire.link.receive(began);
        let read = time_left(began + self.context.limits.request_timeout).and_then(|left| self.read(left));
        match read {
            Ok(0) => Err(Refusal::bad_request("the request ends in the middle").into()),
            Ok(_) => Ok(()),
            Err(why) if why.kind() == std::io::ErrorKind::TimedOut => {
                self.context.stats.count_timed_out();
                Err(Refusal::new(408, "the request did not arrive in time").into())
            }
            Err(_) => Err(End::Gone),
        }
    }

    fn answer(&mut self, head: Head, body: Body, id: &str, began: Instant) -> bool {
        if !self.wire.link.begin() {
            return false;
        }
        let Head { method, target, mut headers, keep_alive, is_http_10, .. } = head;
        let is_head = method == "HEAD";
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("X-Request-Id"));
        headers.push(("X-Request-Id".to_owned(), id.to_owned()));
        let handled = if is_head { "GET" } else { &method };
        let peer = &self.wire.link.peer;
        let request = Request::fake_http_from(peer.address, handled, target, headers, Vec::new());

        let handler = &self.context.handler;
        // What a handler shares with others outlives its panic (see `sync::lock`), and the rest is dropped.
        let reply = catch_unwind(AssertUnwindSafe(|| Reply::new(handler.handle(&request, body.bytes(), peer))));
        drop(body);
        let (reply, is_whole) = match reply {
            Ok(Ok(reply)) => (reply, true),
            Ok(Err(why)) => (self.fail(id, &format!("the answer cannot be sent: {why}")), false),
            // What the panic says is not logged: it may hold what the handler had in its hands.
            Err(_) => (self.fail(id, "its handler panicked"), false),
        };
        let keep_alive = keep_alive && is_whole && !self.context.registry.is_closing();
        let connection = match (keep_alive, is_http_10) {
            (true, false) => None,
            (true, true) => Some("keep-alive"),
            (false, _) => Some("close"),
        };
        let reply_body = if is_head { b"" } else { reply.body() };
        let subject = Subject { id, began, method: &method, target: request.raw_url() };
        let is_sent = self.send(&reply, reply_body, connection, &subject);
        self.input.shrink();
        match is_sent {
            true if keep_alive => {
                self.wire.link.wait(Instant::now());
                !self.context.registry.is_closing()
            }
            true => self.hang_up(),
            false => false,
        }
    }

    fn fail(&self, id: &str, why: &str) -> Reply {
        error!("request {id}: {why}");
        self.context.handler.refused(500);
        Reply::refusing(Refusal::internal())
    }

    /// Ends the connection because no whole request came.
    fn end(&mut self, end: End, subject: &Subject) -> bool {
        let End::Refused(refusal) = end else { return false };
        if !self.wire.link.begin() {
            return false;
        }
        self.context.handler.refused(refusal.status);
        let reply = Reply::refusing(refusal);
        // Whether it was HEAD may not be known. The connection ends here, so a body behind its answer misleads nobody.
        self.send(&reply, reply.body(), Some("close"), subject) && self.hang_up()
    }

    /// Returns whether the client took the answer.
    fn send(&mut self, reply: &Reply, body: &[u8], connection: Option<&str>, subject: &Subject) -> bool {
        let head = reply.head(subject.id, self.date.now(), connection);
        let sent = self.write([head.as_bytes(), body]);
        // Neither holds a control character, or it would have been refused. The query is left out: it is no place for
        // a credential, but clients have put some there.
        let (method, path) = (subject.method, subject.target.split('?').next().unwrap_or_default());
        let (status, bytes, micros) = (reply.status(), body.len(), subject.began.elapsed().as_micros());
        debug!("{method} {path} {status} {bytes} bytes {micros} us {} {}", self.wire.link.peer, subject.id);
        sent.is_ok()
    }

    /// Says goodbye such that the client can read the last answer; returns false, as no other request may follow.
    fn hang_up(&mut self) -> bool {
        self.wire.link.wait(Instant::now());
        let deadline = Instant::now() + LINGER_TIME;
        let mut heard = 0;
        if self.wire.finish().is_ok() {
            while heard < LINGER_BYTES {
                self.input.consume(self.input.unread().len());
                match time_left(deadline).and_then(|left| self.read(left)) {
                    Ok(count @ 1..) => heard += count,
                    _ => break,
                }
            }
        }
        false
    }

    fn read(&mut self, timeout: Duration) -> std::io::Result<usize> {
        self.input.fill(|room| self.wire.read(room, timeout))
    }

    fn write(&mut self, parts: [&[u8]; 2]) -> std::io::Result<()> {
        let written = self.wire.write(parts, self.context.limits.request_timeout);
        if written.as_ref().is_err_and(|why| why.kind() == std::io::ErrorKind::TimedOut) {
            self.context.stats.count_timed_out();
        }
        written
    }
}
