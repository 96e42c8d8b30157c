//! The sockets that the configuration asks for.

use std::net::SocketAddr;

use crate::config::ServerConfig;
use crate::failure::Failure;
use crate::http::{Endpoint, Listener, UnixSocket};
use crate::process::User;
use crate::systemd::{CredentialSocket, Passed};

/// Sockets that listen.
pub struct Sockets {
    /// For the API.
    pub api: Listener,
    /// For systemd.
    pub credentials: Option<CredentialSocket>,
}

/// The TCP addresses at which others will be able to connect.
pub fn addresses(server: &ServerConfig, passed: &Passed) -> Vec<SocketAddr> {
    if passed.api.is_empty() { server.bind_addr.into_iter().collect() } else { passed.addresses() }
}

/// Binds all sockets that were not passed. The files of Unix sockets belong to `owner`, who is not yet the one who binds
/// them.
pub fn listen(server: &ServerConfig, passed: Passed, owner: Option<&User>) -> Result<Sockets, Failure> {
    let owner = owner.map(User::ids);
    let api = match passed.api {
        passed if passed.is_empty() => bind(server, owner)?,
        passed => {
            log::info!("Using the sockets that were passed, and not bind_addr and unix_socket of the configuration");
            passed
        }
    };
    let credentials = match (passed.credentials, &server.credential_socket) {
        (None, Some(path)) => Some(CredentialSocket::bind(path, owner)?),
        (passed, _) => passed,
    };
    Ok(Sockets { api: Listener::at(api), credentials })
}

fn bind(server: &ServerConfig, owner: Option<(u32, u32)>) -> Result<Vec<Endpoint>, Failure> {
    let mut endpoints = Vec::new();
    if let Some(addr) = server.bind_addr {
        endpoints.push(Endpoint::bind(addr).map_err(|why| Failure::new(addr, why))?);
    }
    if let Some(path) = &server.unix_socket {
        endpoints.push(Endpoint::unix(UnixSocket::bind(path, server.unix_socket_mode, owner)?));
    }
    Ok(endpoints)
}
