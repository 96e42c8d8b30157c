//! Who is at the other end of a connection, as far as the connection itself tells.

use std::fmt;
use std::net::SocketAddr;

use super::CertificateName;

/// The other end of a connection. Nothing in it is taken from what the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where the connection comes from.
    pub address: SocketAddr,
    /// The names in the certificate that the client has proved to have; none if it presented none.
    pub certificate_names: Vec<CertificateName>,
}

impl Peer {
    /// Somebody of whom nothing but the address is known.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, certificate_names: Vec::new() }
    }
}

impl fmt::Display for Peer {
    /// As the logs name it: `192.0.2.1:51234`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}
