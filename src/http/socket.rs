//! A connection's socket, of either kind.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};

/// A connected socket. It is read and written by reference, as the sockets of the standard library are.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Calls the same method of whichever socket it is.
macro_rules! either {
    ($self:expr, $socket:ident => $call:expr) => {
        match $self {
            Socket::Tcp($socket) => $call,
            Socket::Unix($socket) => $call,
        }
    };
}

impl Socket {
    pub fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        either!(self, socket => socket.set_read_timeout(Some(timeout)))
    }

    pub fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        either!(self, socket => socket.set_write_timeout(Some(timeout)))
    }

    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        either!(self, socket => socket.set_nonblocking(nonblocking))
    }

    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        either!(self, socket => socket.shutdown(how))
    }

    /// Writes what can be written without waiting for the client.
    pub fn write_now(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(sendmsg(self, parts, &mut SendAncillaryBuffer::default(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
    }

    /// Reads what has come, without waiting for more.
    pub fn read_now(&self, room: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self, room, RecvFlags::DONTWAIT).map(|(count, _)| count)?)
    }

    /// Reads what will be read again, with these flags besides.
    pub fn peek(&self, room: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
        Ok(recv(self, room, RecvFlags::PEEK | flags).map(|(count, _)| count)?)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        either!(self, socket => socket.as_fd())
    }
}

impl Read for &Socket {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        either!(self, socket => (&mut &*socket).read(room))
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, socket => (&mut &*socket).write(bytes))
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(self, socket => (&mut &*socket).write_vectored(parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
