//! A filter at the other end of a Unix socket: connect, send, end what is sent, read to the end.
//!
//! Whoever listens gets the master key, or says what it is. So it must be root or this process's own user, by what the kernel
//! says of who has bound the socket (`SO_PEERCRED`, unix(7)).

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::geteuid;

use crate::base::secret::Wiped;
use crate::programs::outcome::{MOST_OUTPUT, ProgramEnd};

/// How long to wait before a socket is tried again that has no room for a connection.
const PAUSE: Duration = Duration::from_millis(20);

/// What comes back for `input` until `deadline`.
///
/// # Errors
/// In words: why nothing did.
pub fn exchange(path: &Path, input: &[u8], deadline: Instant) -> Result<Wiped, String> {
    let uid = geteuid().as_raw();
    let asked = (|| {
        let stream = connected(path, deadline)?;
        match socket_peercred(&stream)?.uid.as_raw() {
            peer if peer == 0 || peer == uid => asked(&stream, input, deadline).map(Ok),
            peer => {
                Ok(Err(format!("user {peer} listens there, and it must be root or user {uid}, who runs the daemon")))
            }
        }
    })();
    match asked {
        Ok(Ok(answer)) if answer.is_empty() => {
            Err("answered nothing; the log of the service at that socket says why".to_owned())
        }
        Ok(Ok(answer)) if answer.len() > MOST_OUTPUT => Err(ProgramEnd::PrintedTooMuch.to_string()),
        Ok(answer) => answer,
        // A read or a write that has waited for too long says either.
        Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Err(ProgramEnd::TimedOut.to_string())
        }
        Err(why) => Err(why.to_string()),
    }
}

fn connected(path: &Path, deadline: Instant) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    loop {
        // Not blocking, for a socket whose service does not accept would make it wait without end.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match connect(&socket, &address) {
            Ok(()) => {
                ioctl_fionbio(&socket, false)?;
                return Ok(UnixStream::from(socket));
            }
            Err(Errno::AGAIN) => {
                left(deadline)?;
                thread::sleep(PAUSE);
            }
            Err(why) => return Err(why.into()),
        }
    }
}

fn asked(mut stream: &UnixStream, mut input: &[u8], deadline: Instant) -> io::Result<Wiped> {
    while !input.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        match stream.write(input) {
            Ok(taken) => input = &input[taken..],
            // It may have answered without reading.
            Err(why) if why.kind() == ErrorKind::BrokenPipe => break,
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    // Of this size from the start, so that it never moves and leaves a copy behind.
    let mut answer = Wiped::new(vec![0; MOST_OUTPUT + 1]);
    let mut length = 0;
    while length < answer.len() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut answer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            // Where a time is set, a signal ends it, also one whose handler has calls begun anew (signal(7)).
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    answer.truncate(length);
    Ok(answer)
}

/// The time until `deadline`.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;
    use crate::base::files::scratch;

    /// What a service at the socket does with its one connection, and what is then made of it within `patience`.
    fn asked_of(
        name: &str,
        patience: Duration,
        service: impl FnOnce(UnixStream) + Send + 'static,
    ) -> Result<Wiped, String> {
        let path = scratch(name).join("key");
        let listener = UnixListener::bind(&path).unwrap();
        let serving = thread::spawn(move || service(listener.accept().unwrap().0));
        let answer = exchange(&path, b"input", Instant::now() + patience);
        serving.join().unwrap();
        answer
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_service_is_sent_all_and_then_the_end_and_its_answer_is_read_to_the_end() {
        let answer = asked_of("socket-filter", LONG, |mut stream| {
            let mut input = Vec::new();
            stream.read_to_end(&mut input).unwrap();
            input.reverse();
            stream.write_all(&input).unwrap();
        });
        assert_eq!(**answer.unwrap(), *b"tupni");
    }

    #[test]
    fn a_service_that_does_not_answer_in_time_or_not_at_all_has_failed() {
        let silent = asked_of("socket-silent", Duration::from_millis(50), |stream| {
            // Until the other end is closed.
            poll(&mut [PollFd::new(&stream, PollFlags::empty())], None).unwrap();
        });
        assert_eq!(silent.unwrap_err(), "took longer than timeout_secs");
        let nothing = asked_of("socket-nothing", LONG, drop).unwrap_err();
        assert!(nothing.contains("answered nothing") || nothing.contains("reset"), "{nothing}");
    }

    #[test]
    fn a_service_that_answers_without_end_is_not_listened_to_for_ever() {
        let endless = asked_of("socket-endless", LONG, |mut stream| while stream.write_all(&[b'x'; 4096]).is_ok() {});
        assert_eq!(endless.unwrap_err(), "printed more than 1 MiB");
    }

    #[test]
    fn where_nobody_listens_the_system_says_why() {
        let path = scratch("socket-none").join("key");
        let why = exchange(&path, b"", Instant::now() + LONG).unwrap_err();
        assert!(why.contains("No such file"), "{why}");
    }
}
