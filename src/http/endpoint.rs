//! Sockets that listen, of either kind.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::sockopt::{set_socket_reuseaddr, set_tcp_nodelay};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use super::link::Link;
use super::socket::Socket;
use super::{BACKLOG, Peer, UnixSocket};

/// A socket that listens. It never makes the one who accepts wait.
#[derive(Debug)]
pub struct Endpoint {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixSocket),
}

impl Endpoint {
    /// A TCP socket, bound to `addr`. Port 0 lets the system pick one.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(addr)?;
        // The standard library has the kernel keep 128 connections that nobody has accepted yet. One more is dropped, and
        // its client tries again after a second.
        listen(&socket, BACKLOG)?;
        Self::tcp(socket)
    }

    /// Whether [`bind`](Self::bind) would do. Nothing listens meanwhile, so that nobody connects, and no daemon that is just
    /// started finds the address in use.
    pub fn try_bind(addr: SocketAddr) -> io::Result<()> {
        let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        set_socket_reuseaddr(&socket, true)?;
        Ok(bind(&socket, &addr)?)
    }

    /// Makes an endpoint of a TCP socket that listens already.
    pub fn tcp(socket: TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // So that what is written is sent at once. The connections inherit it.
        set_tcp_nodelay(&socket, true)?;
        let addr = socket.local_addr()?;
        Ok(Self { kind: Kind::Tcp(socket, addr) })
    }

    pub fn unix(socket: UnixSocket) -> Self {
        Self { kind: Kind::Unix(socket) }
    }

    /// The address and port of a TCP socket.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        match self.kind {
            Kind::Tcp(_, addr) => Some(addr),
            Kind::Unix(_) => None,
        }
    }

    /// The next connection; an error of the kind `WouldBlock` if there is none.
    pub(super) fn accept(&self, epoch: std::time::Instant) -> io::Result<Link> {
        match &self.kind {
            Kind::Tcp(socket, _) => {
                let (stream, address) = socket.accept()?;
                // One that listens at all addresses is reached at a certain one.
                let local = stream.local_addr()?;
                Ok(Link::new(Socket::Tcp(stream), Peer::at(address).connected_to(local), epoch))
            }
            Kind::Unix(socket) => {
                let (stream, _, peer) = socket.accept()?;
                Ok(Link::new(Socket::Unix(stream), peer, epoch))
            }
        }
    }
}

impl AsFd for Endpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Tcp(socket, _) => socket.as_fd(),
            Kind::Unix(socket) => socket.as_fd(),
        }
    }
}

impl fmt::Display for Endpoint {
    /// As the log names it: `127.0.0.1:8081`, or `unix:/run/jarvis-secretsd/sock`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Tcp(_, addr) => addr.fmt(f),
            Kind::Unix(socket) => socket.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Instant;

    use rustix::net::sockopt::tcp_nodelay;

    use super::*;

    #[test]
    fn an_answer_in_two_pieces_does_not_wait_for_the_clients_acknowledgement() {
        let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let _client = TcpStream::connect(endpoint.tcp_addr().unwrap()).unwrap();
        let link = endpoint.accept(Instant::now()).unwrap();
        assert!(tcp_nodelay(&link.stream).unwrap());
    }
}
