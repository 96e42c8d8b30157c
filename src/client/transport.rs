//! How a daemon is reached: one connection a call.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::address::Address;
use crate::http::client::{Answer, Connection, Request, TimeLimit};

/// How to reach one daemon, and for how long to try.
pub struct Transport {
    pub address: Address,
    /// What TLS is spoken with, where it is.
    pub tls: Option<Arc<ClientConfig>>,
    /// How long a call may take, from connecting to the end of the answer.
    pub time_limit: Duration,
}

impl Transport {
    /// Calls the daemon. `before` is told, before anything is sent, to which other machine all would go in the clear.
    ///
    /// # Errors
    /// If there is no connection, or no whole, well-formed answer within the time limit.
    pub fn call(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
        before: impl FnOnce(IpAddr),
    ) -> io::Result<Answer> {
        let limit = TimeLimit::until(Instant::now() + self.time_limit);
        let host = &self.address.authority();
        let mut connection = match &self.address {
            Address::Unix(path) => Connection::unix(path, limit)?,
            Address::Tcp(endpoint) => Connection::tcp(endpoint, self.tls.as_ref(), limit)?,
        };
        if let Some(remote) = connection.remote_in_clear() {
            before(remote);
        }
        connection.exchange(&Request { method, target, host, headers, body, keep_alive: false })
    }
}
