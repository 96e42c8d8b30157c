//! One endpoint: connections that are kept for the next request, and whether it is passed over.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::base::sync::lock;
use crate::http::client::{Answer, Connection, Endpoint, Request, TimeLimit};

/// How many idle connections are kept.
const KEPT: usize = 4;
/// For how long they are. What lies between may forget one that is silent for longer, without telling anybody.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// How long connecting may take.
const CONNECTING: Duration = Duration::from_millis(300);
/// How long an endpoint is passed over that could not be connected to.
const PASSED_OVER_FOR: Duration = Duration::from_secs(5);

/// One endpoint of etcd.
pub struct Server {
    endpoint: Endpoint,
    authority: String,
    tls: Option<Arc<ClientConfig>>,
    idle: Mutex<Vec<Idle>>,
    passed_over_until: Mutex<Option<Instant>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Server {
    pub fn new(endpoint: Endpoint, tls: Option<Arc<ClientConfig>>) -> Self {
        let (authority, tls) = (endpoint.authority(), tls.filter(|_| endpoint.tls));
        Self { endpoint, authority, tls, idle: Mutex::default(), passed_over_until: Mutex::default() }
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether it could not be connected to a short time before `now`.
    pub fn is_passed_over(&self, now: Instant) -> bool {
        lock(&self.passed_over_until).is_some_and(|until| now < until)
    }

    /// Sends a request, with these headers and this body, on a connection that was kept or a new one. Notes in `in_doubt` that it
    /// was sent without an answer, also where it was then sent again.
    ///
    /// # Errors
    /// If there is no connection, or no whole, well-formed answer within `limit`.
    pub fn exchange(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
        limit: TimeLimit,
        in_doubt: &Cell<bool>,
    ) -> io::Result<Answer> {
        let request = Request { method, target, host: &self.authority, headers, body, keep_alive: true };
        let exchange = |connection: &mut Connection| {
            let answer = connection.exchange(&request);
            in_doubt.set(in_doubt.get() || answer.is_err());
            answer
        };
        if let Some(mut connection) = self.take() {
            connection.limit(limit);
            match exchange(&mut connection) {
                Ok(answer) => return Ok(self.keep(connection, answer)),
                // It was closed while it was idle, or at least there is nothing to show that the endpoint is in trouble. The
                // other ones that are idle are as old.
                Err(why) if is_closed(&why) => lock(&self.idle).clear(),
                Err(why) => return Err(why),
            }
        }
        let mut connection = self.connect(limit)?;
        let answer = exchange(&mut connection)?;
        Ok(self.keep(connection, answer))
    }

    fn connect(&self, limit: TimeLimit) -> io::Result<Connection> {
        let until = limit.deadline.min(Instant::now() + CONNECTING);
        let connected = Connection::tcp(&self.endpoint, self.tls.as_ref(), TimeLimit { deadline: until, ..limit });
        let connected = connected.and_then(|mut connection| {
            connection.limit(limit);
            connection.shake_hands().map(|()| connection)
        });
        let now = Instant::now();
        match &connected {
            Ok(_) => *lock(&self.passed_over_until) = None,
            // The call had no time left for it.
            Err(_) if now >= limit.deadline => {}
            Err(_) => *lock(&self.passed_over_until) = Some(now + PASSED_OVER_FOR),
        }
        connected
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        idle.retain(|idle| idle.since.elapsed() < KEPT_FOR);
        idle.pop().map(|idle| idle.connection)
    }

    fn keep(&self, connection: Connection, answer: Answer) -> Answer {
        if answer.keeps_open {
            let mut idle = lock(&self.idle);
            if idle.len() < KEPT {
                idle.push(Idle { connection, since: Instant::now() });
            }
        }
        answer
    }
}

/// Whether the other side has closed the connection.
pub fn is_closed(why: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(why.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_endpoint_that_cannot_be_connected_to_is_passed_over_for_a_while() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let server = Server::new(Endpoint::of(address, false), None);
        let (before, in_doubt) = (Instant::now(), Cell::default());
        assert!(!server.is_passed_over(before));
        let limit = TimeLimit { deadline: before + Duration::from_secs(60), silence: Duration::from_secs(60) };
        assert!(server.exchange("GET", "/version", &[], None, limit, &in_doubt).is_err());
        assert!(server.is_passed_over(before) && !in_doubt.get());
        assert!(!server.is_passed_over(Instant::now() + PASSED_OVER_FOR));
    }
}
