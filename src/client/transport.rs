//! How a daemon is reached: one connection a call.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::address::Address;
use super::exchange::{Answer, Request, exchange};
use super::socket::Socket;

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
        let deadline = Instant::now() + self.time_limit;
        let request = Request { method, target, host: &self.address.authority(), headers, body };
        match (&self.address, &self.tls) {
            (Address::Unix(path), _) => exchange(&mut Socket::unix(path, deadline)?, &request),
            (Address::Tcp { host, port, .. }, None) => {
                let mut socket = Socket::tcp(host, *port, deadline)?;
                if let Some(remote) = socket.remote {
                    before(remote);
                }
                exchange(&mut socket, &request)
            }
            (Address::Tcp { host, port, .. }, Some(tls)) => {
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                let session = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
                let socket = Socket::tcp(host, *port, deadline)?;
                exchange(&mut StreamOwned::new(session, socket), &request)
            }
        }
    }
}
