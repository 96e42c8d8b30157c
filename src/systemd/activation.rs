//! Sockets that the service manager has bound for us: sd_listen_fds(3).

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

use super::CredentialSocket;
use crate::base::failure::Failure;
use crate::http::{Endpoint, UnixSocket};

/// The name (`FileDescriptorName=`) of a socket that serves credentials instead of the API.
const CREDENTIALS: &str = "credentials";

#[derive(Default)]
pub struct Passed {
    /// Those for the API. If there are any, they take the place of those of the configuration.
    pub api: Vec<Endpoint>,
    /// The socket for credentials, likewise.
    pub credentials: Option<CredentialSocket>,
}

impl Passed {
    /// The TCP addresses at which others can connect.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.api.iter().filter_map(Endpoint::tcp_addr).collect()
    }
}

/// Takes the sockets that the environment says were passed to this process (`LISTEN_PID`, `LISTEN_FDS`,
/// `LISTEN_FDNAMES`).
///
/// It has to be called before any file is opened: only then is it sure that what has the numbers was passed.
///
/// # Errors
/// If what was passed is not a stream socket of TCP or Unix that listens.
pub fn passed_sockets() -> Result<Passed, Failure> {
    let mut passed = Passed::default();
    // The crate does without the process's number where there is none; sd_listen_fds(3) does not.
    let is_ours = std::env::var("LISTEN_PID").is_ok_and(|pid| pid.parse() == Ok(std::process::id()));
    if !is_ours {
        return Ok(passed);
    }
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut sockets = ListenFd::from_env();
    for index in 0..sockets.len() {
        let name = names.next().unwrap_or_default();
        let fail = |why: &dyn Display| Failure::new(format_args!("socket {} ({name}) of LISTEN_FDS", index + 1), why);
        match (take(&mut sockets, index).map_err(|why| fail(&why))?, name) {
            (Socket::Unix(socket), CREDENTIALS) if passed.credentials.is_none() => {
                passed.credentials = Some(CredentialSocket::at(socket));
            }
            (_, CREDENTIALS) => return Err(fail(&"credentials are served at one Unix socket")),
            (Socket::Unix(socket), _) => passed.api.push(Endpoint::unix(socket)),
            (Socket::Tcp(socket), _) => passed.api.push(socket),
        }
    }
    Ok(passed)
}

enum Socket {
    Tcp(Endpoint),
    Unix(UnixSocket),
}

/// Takes what was passed as number `index`, if it is a socket that listens.
fn take(sockets: &mut ListenFd, index: usize) -> io::Result<Socket> {
    let wrong = || io::Error::other("is not a stream socket of TCP or Unix that listens (Accept=no)");
    let listening = |socket: &dyn AsFd| socket_acceptconn(socket.as_fd()).is_ok_and(|listens| listens);
    if let Ok(Some(socket)) = sockets.take_unix_listener(index) {
        return if listening(&socket) { UnixSocket::new(socket).map(Socket::Unix) } else { Err(wrong()) };
    }
    match sockets.take_tcp_listener(index) {
        Ok(Some(socket)) if listening(&socket) => Endpoint::tcp(socket).map(Socket::Tcp),
        _ => Err(wrong()),
    }
}
