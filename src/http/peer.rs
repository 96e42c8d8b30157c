//! Who is at the other end of a connection, as far as the connection itself tells.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use super::CertificateName;
use super::source::Source;
use super::standing::{Standing, StandingCell};

/// The other end of a connection. Nothing in it is taken from what the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: Address,
    /// Whether the address of ours that it connected to is a loopback address.
    pub to_loopback: bool,
    /// The names in the certificate that the client has proved to have; none if it presented none.
    pub certificate_names: Vec<CertificateName>,
    /// What its clones also know of it.
    pub(crate) standing: StandingCell,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host of the network.
    Tcp(SocketAddr),
    /// A process of this host, as the kernel saw it when it connected (`SO_PEERCRED`, unix(7)).
    Unix {
        /// The process's effective user.
        uid: u32,
        /// The process, which may have ended since; 0 if it is in a PID namespace that ours does not see.
        pid: i32,
    },
}

impl Peer {
    /// Somebody of whom nothing but the address is known. Who comes from a loopback address is taken to have connected to
    /// one.
    pub fn at(address: impl Into<Address>) -> Self {
        let address = address.into();
        let to_loopback = matches!(address, Address::Tcp(address) if is_loopback(address));
        Self { address, to_loopback, certificate_names: Vec::new(), standing: StandingCell::default() }
    }

    /// The same, who connected to this address of ours.
    pub fn connected_to(self, local: SocketAddr) -> Self {
        Self { to_loopback: is_loopback(local), ..self }
    }

    /// The user at the other end of a Unix socket.
    pub fn unix_uid(&self) -> Option<u32> {
        match self.address {
            Address::Unix { uid, .. } => Some(uid),
            Address::Tcp(_) => None,
        }
    }

    /// The source that the connection counts for.
    pub fn source(&self) -> Source {
        match self.address {
            Address::Unix { uid, .. } => Source::User(uid),
            Address::Tcp(address) => Source::of(address.ip()),
        }
    }

    /// Notes that a request of this connection was attributed to a client. From here on the connection is not among the first
    /// that have to make room for others.
    pub fn identified(&self) {
        self.standing.set(Standing::Identified);
    }

    /// What the connection has shown of its client so far.
    pub(super) fn standing(&self) -> Standing {
        self.standing.get()
    }

    /// Notes that a request of this connection is answered, and returns what it has shown of its client.
    pub(super) fn answered(&self) -> Standing {
        if self.standing() == Standing::New {
            self.standing.set(Standing::Passing);
        }
        self.standing()
    }

    /// Notes that the connection ends as soon as its client has read the last answer.
    pub(super) fn parts(&self) {
        self.standing.set(Standing::Passing);
    }

    /// The address for a [`rouille::Request`], which has no other form for it. For a Unix socket it is one that no TCP
    /// peer has, on this host, where that peer is; nothing decides by it.
    pub(super) fn socket_addr(&self) -> SocketAddr {
        match self.address {
            Address::Tcp(address) => address,
            Address::Unix { .. } => (Ipv4Addr::LOCALHOST, 0).into(),
        }
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Peer {
    /// As the logs name it: `192.0.2.1:51234`, or `unix:uid=1000,pid=4711`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix { uid, pid } => write!(f, "unix:uid={uid},pid={pid}"),
        }
    }
}
