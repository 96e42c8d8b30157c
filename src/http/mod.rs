//! The connection layer: bytes from sockets on one side, [`rouille::Request`] and [`rouille::Response`] on the other.
//!
//! A thread a connection reads one whole request under limits, calls the [`Handler`], and writes the answer. The layer
//! is strict where a proxy in front could see another request than we do, and it survives clients that are slow, silent,
//! many, or hostile. It knows nothing of secrets, clients or policy.

pub mod body;
mod buffer;
pub(crate) mod client;
mod connection;
mod context;
mod endpoint;
mod exchange;
pub mod framing;
pub mod head;
mod header;
mod link;
mod listener;
mod peer;
mod registry;
mod reply;
pub mod scanner;
mod socket;
mod source;
mod standing;
mod stats;
pub(crate) mod tls;
mod unix_socket;
mod wire;
mod workers;

use std::time::Duration;

use rouille::{Request, Response};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

pub use endpoint::Endpoint;
pub use exchange::Exchange;
pub(crate) use exchange::Waited;
pub(crate) use header::header_values;
pub use listener::{Listener, Server, bind};
pub(crate) use peer::Address;
pub use peer::Peer;
pub(crate) use source::Source;
pub use stats::ConnectionStats;
pub(crate) use tls::CertificateName;
pub use tls::{Tls, TlsConfig, TlsVersion};
pub(crate) use unix_socket::MAX_PATH;
pub use unix_socket::UnixSocket;

/// Files that the process may open besides connections, and what those wait for.
const OTHER_FILES: u64 = 32;
/// How many connections may wait to be accepted; the system has a limit of its own (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// Which part of the connections may [wait](Exchange::wait), each with a thread that sleeps, and for a file of its own. The
/// others answer requests at once.
const WAITING_PART: usize = 4;

/// Limits to what clients may cost the daemon.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time. Fewer are allowed if the process may not open that many files.
    pub max_connections: usize,
    /// How long a whole request may take to arrive, counted from its first byte, and an answer to be read.
    pub request_timeout: Duration,
    /// How long a connection may stay silent before a request.
    pub idle_timeout: Duration,
    /// Bytes of a request's head: its first line and its header lines.
    pub max_head: usize,
    /// Header lines of a request.
    pub max_headers: usize,
    /// Bytes of a request's body. The default is 0: only the application knows what it needs.
    pub max_body: usize,
    /// How the paths begin to which a `POST`, `PUT` or `PATCH` may be sent that tells no length, and so has no body. Elsewhere
    /// it has to.
    pub without_length: Option<&'static str>,
    /// Bytes that all requests and answers of more than 8 KiB may hold together while they are under way.
    pub max_held: usize,
}

impl Limits {
    /// How many connections there are let in at a time: those that may be, if the process may open that many files.
    pub fn capacity(&self) -> usize {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(OTHER_FILES);
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        (files - files.div_ceil(WAITING_PART + 1)).min(self.max_connections).max(1)
    }

    /// How many of them may [wait](Exchange::wait) at a time; at least one.
    pub fn max_waiting(&self) -> usize {
        (self.capacity() / WAITING_PART).max(1)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 512,
            request_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            max_head: 16 * 1024,
            max_headers: 64,
            max_body: 0,
            without_length: None,
            max_held: 4 * 1024 * 1024,
        }
    }
}

/// What answers the requests. It is called from many threads at a time.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    ///
    /// `body` is the whole body, and is wiped when this returns. The request itself carries none: rouille's copy of it
    /// could not be wiped. A `HEAD` request comes as `GET`, and `exchange` says so. The header `X-Request-Id` is ours, never
    /// the client's.
    ///
    /// It says by [`Peer::identified`] that the request is of a client that it knows. A connection of which it never says so
    /// is the first to make room for others, and only a quarter of the places keep such connections: others are closed
    /// behind the answer.
    ///
    /// A panic is answered with 500; it ends this connection and nothing else.
    fn handle(&self, request: &Request, body: &[u8], exchange: &mut Exchange) -> Response;

    /// Told of every answer that [`handle`](Self::handle) did not give: to a request that was malformed, too large or
    /// too slow, to a connection over the limit, and after a panic. It must neither block nor panic.
    fn refused(&self, status: u16);

    /// Told of a client at `peer` that presented a certificate which is not accepted, or not any more, and why; its
    /// connection ends. It must not panic.
    fn distrusted(&self, _peer: &Peer, _why: &str) {}
}

/// The form of every error: `{"error":code,"message":message}` with the status `status`.
pub fn refusal(status: u16, code: &str, message: &str) -> Response {
    #[derive(Serialize)]
    struct Form<'a> {
        error: &'a str,
        message: &'a str,
    }
    Response::json(&Form { error: code, message }).with_status_code(status)
}

/// A request that is not handed on, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    /// What is wrong, for the person who sent it.
    pub message: &'static str,
}

impl Refusal {
    const fn new(status: u16, message: &'static str) -> Self {
        Self { status, message }
    }

    const fn bad_request(message: &'static str) -> Self {
        Self::new(400, message)
    }

    const fn distrusted() -> Self {
        let message = "the client certificate of this connection is not accepted any more: it has expired, or its CA was \
                       replaced; connect again with a valid one";
        Self::new(401, message)
    }

    const fn internal() -> Self {
        Self::new(500, "the request could not be answered; the log says more under its request id")
    }

    const fn busy() -> Self {
        Self::new(503, "too many requests at a time; try again")
    }

    fn code(self) -> &'static str {
        match self.status {
            401 => "unauthenticated",
            408 => "timeout",
            411 => "length_required",
            413 => "too_large",
            417 => "expectation_failed",
            431 => "headers_too_large",
            500 => "internal",
            501 => "not_implemented",
            503 => "busy",
            505 => "version_not_supported",
            _ => "bad_request",
        }
    }

    fn response(self) -> Response {
        let response = refusal(self.status, self.code(), self.message);
        match self.status {
            401 => response.with_additional_header("WWW-Authenticate", "Bearer"),
            503 => response.with_additional_header("Retry-After", "1"),
            _ => response,
        }
    }
}
