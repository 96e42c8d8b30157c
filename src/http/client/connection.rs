//! A connection to a server, over TCP with or without TLS, or over a Unix socket.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::answer::Answer;
use super::endpoint::Endpoint;
use super::exchange::{Request, exchange};
use super::socket::{Socket, TimeLimit};

/// A connection that carries one request at a time.
pub enum Connection {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Connection {
    /// Connects to `endpoint`, and speaks TLS there by `tls` if that is given. The handshake is a part of the first request.
    ///
    /// # Errors
    /// If nobody accepts the connection within `limit`.
    pub fn tcp(endpoint: &Endpoint, tls: Option<&Arc<ClientConfig>>, limit: TimeLimit) -> io::Result<Self> {
        let connect = || Socket::tcp(&endpoint.host, endpoint.port, limit);
        match tls {
            None => connect().map(Self::Plain),
            Some(tls) => {
                let name = ServerName::try_from(endpoint.host.clone()).map_err(io::Error::other)?;
                let session = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
                Ok(Self::Tls(Box::new(StreamOwned::new(session, connect()?))))
            }
        }
    }

    /// Connects to the Unix socket at `path`.
    ///
    /// # Errors
    /// If nobody accepts the connection within `limit`.
    pub fn unix(path: &Path, limit: TimeLimit) -> io::Result<Self> {
        Socket::unix(path, limit).map(Self::Plain)
    }

    /// The other machine to which all goes in the clear.
    pub fn remote_in_clear(&self) -> Option<IpAddr> {
        match self {
            Self::Plain(socket) => socket.remote,
            Self::Tls(_) => None,
        }
    }

    /// Completes the handshake of TLS, if that is spoken.
    ///
    /// # Errors
    /// If it fails, or the other side is not who it should be.
    pub fn shake_hands(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => {
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock)?;
                }
                Ok(())
            }
        }
    }

    /// Gives what follows a time limit of its own.
    pub fn limit(&mut self, limit: TimeLimit) {
        match self {
            Self::Plain(socket) => socket.limit = limit,
            Self::Tls(stream) => stream.sock.limit = limit,
        }
    }

    /// Sends `request`, and reads the answer to its end.
    ///
    /// # Errors
    /// If the connection fails, or what comes back is not one whole, well-formed answer. The connection is of no use then.
    pub fn exchange(&mut self, request: &Request) -> io::Result<Answer> {
        match self {
            Self::Plain(socket) => exchange(socket, request),
            Self::Tls(stream) => exchange(&mut **stream, request),
        }
    }
}
