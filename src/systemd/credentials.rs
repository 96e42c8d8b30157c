//! The socket behind `LoadCredential=ID:/path` of systemd.exec(5).
//!
//! systemd connects, says in the name of its own end for which unit and which credential, and reads until the end.
//!
//! That protocol has no way to say no: a connection that ends at once is an empty credential, with which the unit would
//! start. So who may not have one is sent more than systemd takes, upon which the start of the unit fails.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::base::failure::Failure;
use crate::base::secret::Wiped;
use crate::http::{Peer, UnixSocket};

/// How long root may keep us waiting that does not read. A value fits into the socket's buffer, so nobody does.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// More than a unit's credentials may have in all (`CREDENTIALS_TOTAL_SIZE_MAX` of systemd, 1 MiB).
const TOO_MUCH: usize = 1024 * 1024 + 1;

/// How long accepting pauses when it fails.
const PAUSE: Duration = Duration::from_millis(100);

/// The mode of the socket's file: root can connect, and systemd is root.
const MODE: u32 = 0o600;

/// A socket that listens for those who want a credential.
#[derive(Debug)]
pub struct CredentialSocket(UnixSocket);

/// Who wants a credential, and which, as far as the kernel vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requester {
    pub peer: Peer,
    /// What the name of that end says. Anybody can bind such a name, so only a name of root is trusted.
    pub wanted: Option<WantedCredential>,
}

impl Requester {
    /// Whether it may be systemd.
    pub fn is_root(&self) -> bool {
        self.peer.unix_uid() == Some(0)
    }
}

/// The unit that a credential is for, and the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedCredential {
    /// As in `backend.service`.
    pub unit: String,
    /// The credential's name, which is the secret's.
    pub id: String,
}

impl WantedCredential {
    /// Reads `<random hexadecimal digits>/unit/<unit>/<id>`.
    pub fn parse(name: &[u8]) -> Option<Self> {
        let (random, rest) = std::str::from_utf8(name).ok()?.split_once("/unit/")?;
        let (unit, id) = rest.split_once('/')?;
        let is_random = !random.is_empty() && random.bytes().all(|digit| digit.is_ascii_hexdigit());
        let is_whole = is_random && !unit.is_empty() && !id.is_empty() && !id.contains('/');
        is_whole.then(|| Self { unit: unit.to_owned(), id: id.to_owned() })
    }
}

impl fmt::Display for Requester {
    /// As the logs name it: `unix:uid=0,pid=4711,unit=backend.service`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.peer.fmt(f)?;
        match &self.wanted {
            Some(WantedCredential { unit, .. }) => write!(f, ",unit={}", unit.escape_debug()),
            None => Ok(()),
        }
    }
}

impl CredentialSocket {
    /// Makes the socket at `path`.
    ///
    /// # Errors
    /// As [`UnixSocket::bind`].
    pub fn bind(path: &Path) -> Result<Self, Failure> {
        UnixSocket::bind(path, MODE).map(Self)
    }

    pub fn at(socket: UnixSocket) -> Self {
        Self(socket)
    }

    /// Begins to answer with what `find` returns, which is nothing for a unit that must not have the credential. A thread of
    /// its own answers one after another, as nobody is waited for.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn serve(self, find: impl Fn(&Requester) -> Option<Wiped> + Send + 'static) -> io::Result<CredentialServer> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let until = wake.clone();
        let thread = thread::Builder::new().name("credentials".to_owned()).spawn(move || self.run(find, &until))?;
        Ok(CredentialServer { wake, thread })
    }

    fn run(self, find: impl Fn(&Requester) -> Option<Wiped>, until: &OwnedFd) {
        loop {
            let mut sockets = [PollFd::new(&self.0, PollFlags::IN), PollFd::new(until, PollFlags::IN)];
            let polled = poll(&mut sockets, None);
            if polled.is_ok() && !sockets[1].revents().is_empty() {
                return;
            }
            match self.0.accept() {
                Ok((stream, name, peer)) => {
                    let wanted = name.as_abstract_name().and_then(WantedCredential::parse);
                    if let Err(why) = answer(stream, &Requester { peer, wanted }, &find) {
                        log::debug!("{self}: {why}");
                    }
                }
                Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(why) => {
                    log::warn!("{self}: accepting a connection: {why}");
                    thread::sleep(PAUSE);
                }
            }
        }
    }
}

impl fmt::Display for CredentialSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Writes the credential, or what is none.
fn answer(mut stream: UnixStream, requester: &Requester, find: impl Fn(&Requester) -> Option<Wiped>) -> io::Result<()> {
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    match find(requester) {
        Some(credential) => stream.write_all(&credential),
        None if requester.is_root() => stream.write_all(&vec![0; TOO_MUCH]),
        None => Ok(()),
    }
}

/// A credential socket at work. Dropping it does not end it; [`stop`](Self::stop) does.
pub struct CredentialServer {
    wake: Arc<OwnedFd>,
    thread: JoinHandle<()>,
}

impl CredentialServer {
    /// Whether it goes on accepting connections.
    pub fn is_accepting(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Answers who is being answered, and ends.
    pub fn stop(self) {
        let Self { wake, thread } = self;
        if rustix::io::write(&wake, &1u64.to_ne_bytes()).is_err() || thread.join().is_err() {
            log::warn!("the thread for credentials had panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_other_end_says_unit_and_credential() {
        let wanted = WantedCredential { unit: "backend.service".to_owned(), id: "postgres_password".to_owned() };
        assert_eq!(WantedCredential::parse(b"5a9c8d7e6f/unit/backend.service/postgres_password"), Some(wanted));
        let not_systemd: [&[u8]; 8] = [
            b"",
            b"/unit/backend.service/id",
            b"xyz/unit/backend.service/id",
            b"5a9c/unit/backend.service/",
            b"5a9c/unit//id",
            b"5a9c/unit/backend.service/id/more",
            b"5a9c/user/backend.service/id",
            b"5a9c/unit/backend.service/\xff",
        ];
        for name in not_systemd {
            assert_eq!(WantedCredential::parse(name), None, "{}", name.escape_ascii());
        }
    }
}
