//! The sockets that the configuration asks for.

use std::io::ErrorKind;
use std::net::SocketAddr;

use crate::base::failure::Failure;
use crate::base::files;
use crate::config::ServerConfig;
use crate::http::{Endpoint, Listener, UnixSocket};
use crate::systemd::{CredentialSocket, Passed};

/// The sockets of a daemon.
pub struct Sockets {
    pub api: Listener,
    /// The socket where systemd fetches credentials.
    pub credentials: Option<CredentialSocket>,
}

/// The TCP addresses at which others will be able to connect.
pub fn addresses(server: &ServerConfig, passed: &Passed) -> Vec<SocketAddr> {
    if passed.api.is_empty() { server.bind_addr.into_iter().collect() } else { passed.addresses() }
}

/// Sockets of which those are bound, or were passed, that root may be needed for.
pub struct Begun<'a> {
    server: &'a ServerConfig,
    passed_api: bool,
    api: Vec<Endpoint>,
    credentials: Option<CredentialSocket>,
}

/// Binds the TCP socket, unless sockets were passed.
pub fn begin(server: &ServerConfig, passed: Passed) -> Result<Begun<'_>, Failure> {
    let Passed { mut api, credentials } = passed;
    let passed_api = !api.is_empty();
    if passed_api {
        log::info!("Using the sockets that were passed, and not bind_addr and unix_socket of the configuration");
    } else if let Some(addr) = server.bind_addr {
        api.push(Endpoint::bind(addr).map_err(|why| Failure::new(addr, why))?);
    }
    Ok(Begun { server, passed_api, api, credentials })
}

impl Begun<'_> {
    /// Binds the Unix sockets that were not passed.
    ///
    /// That is for the daemon's own user. Their directories are that user's, who could put something else in the place of
    /// what root is just making there, and so have root change a file of its own.
    pub fn complete(self) -> Result<Sockets, Failure> {
        let Self { server, passed_api, mut api, credentials } = self;
        if let (Some(path), false) = (&server.unix_socket, passed_api) {
            api.push(Endpoint::unix(UnixSocket::bind(path, server.unix_socket_mode)?));
        }
        let credentials = match (credentials, &server.credential_socket) {
            (None, Some(path)) => Some(CredentialSocket::bind(path)?),
            (passed, _) => passed,
        };
        Ok(Sockets { api: Listener::at(api), credentials })
    }
}

/// Why the daemon, whose user this process runs as by now, could not make its Unix sockets in the directories that are there.
/// Those that are not may be made by the service manager.
pub fn warnings(server: &ServerConfig) -> impl Iterator<Item = Failure> {
    let paths = [&server.unix_socket, &server.credential_socket].into_iter().flatten();
    paths
        .filter(|path| !files::is_missing(files::parent(path)))
        .filter_map(|path| UnixSocket::check_directory(path).err())
}

/// Whether a daemon could bind a TCP socket to `addr` with the rights that this process has; false if somebody listens there.
///
/// # Errors
/// If it could not: says why.
pub fn try_tcp(addr: SocketAddr) -> Result<bool, Failure> {
    match Endpoint::try_bind(addr) {
        Ok(()) => Ok(true),
        Err(why) if why.kind() == ErrorKind::AddrInUse => Ok(false),
        Err(why) => {
            let remedy = match why.kind() {
                ErrorKind::PermissionDenied => "; only root may listen on such a port",
                ErrorKind::AddrNotAvailable => "; this host has no such address",
                _ => "",
            };
            Err(Failure::new(addr, format_args!("the daemon could not listen there: {why}{remedy}")))
        }
    }
}
