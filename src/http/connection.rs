//! One connection's life: request after request, until one side has had enough.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use log::{debug, error};
use rouille::Request;

use super::body::Body;
use super::buffer::Input;
use super::context::Context;
use super::exchange::Exchange;
use super::head::{Head, parse_head};
use super::registry::Visit;
use super::reply::{Date, Reply};
use super::scanner::Scanner;
use super::tls::{Session, Unsecured};
use super::wire::{Wire, time_left};
use super::{Peer, Refusal};

/// For how long, and for how many bytes, we listen to a client after our last word. Closing a socket while it still
/// sends would reset the connection before the client has read the answer (RFC 9112, section 9.6).
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// Serves a connection until it ends.
pub fn serve(visit: &Visit, context: &Context) {
    let link = &visit.link;
    let limits = &context.limits;
    let mut connection = Connection {
        visit,
        wire: Wire::new(visit),
        session: None,
        peer: link.peer.clone(),
        context,
        input: Input::new(limits.max_head),
        date: Date::default(),
    };
    if connection.secure() {
        while connection.exchange() {}
        connection.part();
    }
}

struct Connection<'a> {
    visit: &'a Visit,
    wire: Wire<'a>,
    /// TLS over the wire, where it is spoken.
    session: Option<Session>,
    peer: Peer,
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
    /// Begins TLS where it is to be spoken. Returns whether requests may follow. Until then it is the client's turn, who
    /// thus has to make room for others like one who sends no request.
    fn secure(&mut self) -> bool {
        let Some(tls) = self.context.tls_with(&self.peer) else { return true };
        let peer = &self.peer;
        match Session::begin(&mut self.wire, tls, self.context.limits.request_timeout) {
            Ok(session) => {
                self.peer.certificate_names = session.client_names();
                self.session = Some(session);
                return true;
            }
            Err(Unsecured::Plain) => {
                let id = self.context.next_request_id();
                let refusal = Refusal::bad_request("this port speaks TLS; use https://");
                return self.end(refusal.into(), &Subject { id: &id, began: Instant::now(), method: "-", target: "-" });
            }
            Err(Unsecured::Distrusted(why)) => {
                debug!("{peer}: the client's certificate is not accepted: {why}");
                self.context.handler.distrusted(peer, &why.to_string());
            }
            Err(Unsecured::Failed(why)) => debug!("{peer}: no TLS: {why}"),
            Err(Unsecured::Broken(why)) => {
                debug!("{peer}: no TLS: {why}");
                self.count_timeout(&why);
                return false;
            }
        }
        // The client was sent an alert, and may still be sending itself.
        self.wire.link.begin() && self.hang_up()
    }

    /// Tells a client that speaks TLS that the connection ends here, and was not cut by somebody on the way.
    fn part(&mut self) {
        if let Some(session) = &mut self.session {
            // A client that has gone already needs no goodbye.
            let _ = session.dismiss(&mut self.wire);
        }
    }

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
        match self.receive_body(&head, began).and_then(|body| self.verify_client().map(|()| body)) {
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
            if !self.visit.hold(body.memory_with(self.input.unread().len())) {
                return Err(Refusal::busy().into());
            }
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

    /// Refuses a client that would not be let in any more with the certificate that it began with.
    fn verify_client(&mut self) -> Result<(), End> {
        let (Some(session), Some(tls)) = (&mut self.session, self.context.tls_with(&self.peer)) else { return Ok(()) };
        let Err(why) = session.verify_again(tls) else { return Ok(()) };
        debug!("{}: the client's certificate is not accepted any more: {why}", self.peer);
        self.context.handler.distrusted(&self.peer, &why);
        Err(Refusal::distrusted().into())
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
        let is_last = !keep_alive;
        let is_head = method == "HEAD";
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("X-Request-Id"));
        headers.push(("X-Request-Id".to_owned(), id.to_owned()));
        let handled = if is_head { "GET" } else { &method };
        let peer = &self.peer;
        let request = Request::fake_http_from(peer.socket_addr(), handled, target, headers, Vec::new());

        let handler = &self.context.handler;
        // What a handler shares with others outlives its panic (see `sync::lock`), and the rest is dropped.
        let session = self.session.as_mut().zip(self.context.tls_with(peer));
        let mut exchange = Exchange::on(&self.visit.link, session, peer, is_head);
        let handle = || Reply::new(handler.handle(&request, body.bytes(), &mut exchange));
        let reply = catch_unwind(AssertUnwindSafe(handle));
        drop(body);
        let (reply, is_whole) = match reply {
            Ok(Ok(reply)) => (reply, true),
            Ok(Err(why)) => (self.fail(id, &format!("the answer cannot be sent: {why}")), false),
            // What the panic says is not logged: it may hold what the handler had in its hands.
            Err(_) => (self.fail(id, "its handler panicked"), false),
        };
        self.visit.expect_answer(reply.body().len());
        let gives_way = !self.visit.may_stay();
        let keep_alive = keep_alive && is_whole && !gives_way && !self.context.registry.is_closing();
        let connection = match (keep_alive, is_http_10) {
            (true, false) => None,
            (true, true) => Some("keep-alive"),
            (false, _) => Some("close"),
        };
        let reply_body = if is_head { b"" } else { reply.body() };
        let subject = Subject { id, began, method: &method, target: request.raw_url() };
        let is_sent = self.send(&reply, reply_body, connection, &subject);
        drop(reply);
        self.visit.expect_answer(0);
        self.input.shrink();
        match is_sent {
            true if keep_alive => {
                self.wire.link.wait(Instant::now());
                !self.context.registry.is_closing()
            }
            // It has said that it sends nothing more, so there is nothing to wait for.
            true if is_last && self.input.unread().is_empty() && self.wire.is_read() => false,
            // Others wait for its place, not for what else it sends.
            true if gives_way => {
                let _ = self.finish();
                false
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
        self.visit.expect_answer(0);
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
        debug!("{method} {path} {status} {bytes} bytes {micros} us {} {}", self.peer, subject.id);
        sent.is_ok()
    }

    /// Says goodbye such that the client can read the last answer; returns false, as no other request may follow.
    fn hang_up(&mut self) -> bool {
        self.visit.part();
        self.wire.link.wait(Instant::now());
        let deadline = Instant::now() + LINGER_TIME;
        let mut heard = 0;
        if self.finish().is_ok() {
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
        let Self { wire, session, input, .. } = self;
        input.fill(|room| match session {
            Some(session) => session.read(wire, room, timeout),
            None => wire.read(room, timeout),
        })
    }

    fn finish(&mut self) -> std::io::Result<()> {
        if let Some(session) = &mut self.session {
            session.finish(&mut self.wire, LINGER_TIME)?;
        }
        self.wire.finish()
    }

    fn write(&mut self, parts: [&[u8]; 2]) -> std::io::Result<()> {
        let timeout = self.context.limits.request_timeout;
        let written = match &mut self.session {
            Some(session) => session.write(&mut self.wire, parts, timeout),
            None => self.wire.write(parts, timeout),
        };
        written.inspect_err(|why| self.count_timeout(why))
    }

    fn count_timeout(&self, why: &std::io::Error) {
        if why.kind() == std::io::ErrorKind::TimedOut {
            self.context.stats.count_timed_out();
        }
    }
}
