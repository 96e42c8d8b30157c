//! A socket to a server, over TCP or a Unix socket, on which nothing is waited for longer than a time limit says.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

/// How long the other side is waited for.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimit {
    /// Whatever is read or written later fails.
    pub deadline: Instant,
    /// So does what has to be waited for longer than this, with nothing read or written meanwhile.
    pub silence: Duration,
}

impl TimeLimit {
    /// No limit but the deadline.
    pub fn until(deadline: Instant) -> Self {
        Self { deadline, silence: Duration::MAX }
    }

    /// How long the next step may take.
    fn remaining(self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now()).min(self.silence);
        // The system takes a microsecond for the shortest time, and nothing for none at all.
        if left < Duration::from_micros(1) { Err(late()) } else { Ok(left) }
    }
}

/// A connected socket.
pub struct Socket {
    fd: OwnedFd,
    /// For what comes next.
    pub limit: TimeLimit,
    /// Where it is connected to, if that is another machine.
    pub remote: Option<IpAddr>,
}

impl Socket {
    /// Connects to one of the addresses that `host` has, whichever answers first in their order.
    ///
    /// # Errors
    /// That of the last address.
    pub fn tcp(host: &str, port: u16, limit: TimeLimit) -> io::Result<Self> {
        let mut failed = io::Error::other("the host has no address");
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, limit.remaining()?) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Self { fd: stream.into(), limit, remote: remote(address) });
                }
                Err(why) => failed = why,
            }
        }
        Err(failed)
    }

    /// Connects to the Unix socket at `path`.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn unix(path: &Path, limit: TimeLimit) -> io::Result<Self> {
        let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // Connecting waits too, if the queue of those who wait to be accepted is full.
        set_socket_timeout(&fd, Timeout::Send, Some(limit.remaining()?))?;
        rustix::net::connect(&fd, &SocketAddrUnix::new(path)?)?;
        Ok(Self { fd, limit, remote: None })
    }
}

/// The address, unless what is sent there stays on this machine.
fn remote(address: SocketAddr) -> Option<IpAddr> {
    Some(address.ip().to_canonical()).filter(|ip| !ip.is_loopback())
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no whole answer within the time limit")
}

/// What a timeout of the socket looks like, as what it means.
fn or_late<T>(outcome: rustix::io::Result<T>) -> io::Result<T> {
    outcome.map_err(|why| if why == rustix::io::Errno::AGAIN { late() } else { why.into() })
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        set_socket_timeout(&self.fd, Timeout::Recv, Some(self.limit.remaining()?))?;
        or_late(rustix::io::read(&self.fd, buffer))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        set_socket_timeout(&self.fd, Timeout::Send, Some(self.limit.remaining()?))?;
        or_late(rustix::io::write(&self.fd, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
