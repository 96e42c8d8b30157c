//! Reading from and writing to a connection's socket within limits of time.
//!
//! The socket's own timeouts are used, and changed only when they have to: a request that comes in one piece costs one
//! system call to read and one to answer.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;

use super::link::Link;
use super::registry::Visit;

/// The reading and the writing end of a connection, for the thread that serves it.
pub struct Wire<'a> {
    pub link: &'a Link,
    visit: &'a Visit,
    /// As the socket has it; none: as it was accepted.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl<'a> Wire<'a> {
    /// The ends of a new connection.
    pub fn new(visit: &'a Visit) -> Self {
        Self { link: &visit.link, visit, read_timeout: None, write_timeout: None }
    }

    /// Waits for the first byte, which stays where it is; none means that the client sends nothing. Nothing within
    /// `timeout` is an error of the kind `TimedOut`.
    pub fn peek(&mut self, timeout: Duration) -> io::Result<Option<u8>> {
        self.wait_for(timeout)?;
        let mut first = [0];
        loop {
            match self.link.stream.peek(&mut first, RecvFlags::empty()) {
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                peeked => return peeked.map(|count| first[..count].first().copied()).map_err(name_timeout),
            }
        }
    }

    /// Whether everything that has arrived was read.
    pub fn is_read(&self) -> bool {
        match self.link.stream.peek(&mut [0], RecvFlags::DONTWAIT) {
            Ok(count) => count == 0,
            Err(why) => why.kind() == ErrorKind::WouldBlock,
        }
    }

    /// Reads once; 0 means that the client sends no more. Nothing within `timeout` is an error of the kind `TimedOut`.
    pub fn read(&mut self, room: &mut [u8], timeout: Duration) -> io::Result<usize> {
        self.wait_for(timeout)?;
        loop {
            match (&self.link.stream).read(room) {
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                read => return read.map_err(name_timeout),
            }
        }
    }

    /// Writes both parts, in one go if the client takes them. If it does not take them all within `timeout`, however
    /// slowly, that is an error of the kind `TimedOut`.
    pub fn write(&mut self, parts: [&[u8]; 2], timeout: Duration) -> io::Result<()> {
        let deadline = Instant::now() + timeout;
        let mut slices = parts.map(IoSlice::new);
        let mut rest = &mut slices[..];
        let mut wait = timeout;
        // Also drops parts that are empty from the beginning.
        IoSlice::advance_slices(&mut rest, 0);
        if !rest.is_empty() {
            match self.link.stream.write_now(rest) {
                Ok(count) => IoSlice::advance_slices(&mut rest, count),
                Err(why) if matches!(why.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(why) => return Err(why),
            }
        }
        if !rest.is_empty() {
            // A client that does not take its answer has to make room for others like one that sends no request, in memory
            // too.
            self.visit.hold_answer();
            self.link.receive(Instant::now());
        }
        while !rest.is_empty() {
            if self.write_timeout != Some(wait) {
                self.link.stream.set_write_timeout(wait)?;
                self.write_timeout = Some(wait);
            }
            match (&self.link.stream).write_vectored(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => IoSlice::advance_slices(&mut rest, count),
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Err(why) => return Err(name_timeout(why)),
            }
            if !rest.is_empty() {
                wait = time_left(deadline)?;
            }
        }
        Ok(())
    }

    /// Tells the client that nothing more will be written.
    pub fn finish(&self) -> io::Result<()> {
        self.link.stream.shutdown(Shutdown::Write)
    }

    fn wait_for(&mut self, timeout: Duration) -> io::Result<()> {
        if self.read_timeout != Some(timeout) {
            self.link.stream.set_read_timeout(timeout)?;
            self.read_timeout = Some(timeout);
        }
        Ok(())
    }
}

/// The time until `deadline`; none left is an error of the kind `TimedOut`.
pub fn time_left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// Linux reports a socket's timeout as `EAGAIN`.
fn name_timeout(why: io::Error) -> io::Error {
    match why.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => why,
    }
}
