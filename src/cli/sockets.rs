//! The sockets that the configuration asks for.

use std::net::SocketAddr;

use crate::config::ServerConfig;
use crate::failure::Failure;
use crate::http::{Endpoint, Listener, SocketFile};
use crate::process::User;
use crate::systemd::CredentialSocket;

/// Sockets that listen.
pub struct Sockets {
    /// For the API.
    pub api: Listener,
    /// For systemd.
    pub credentials: Option<CredentialSocket>,
}

/// The TCP addresses at which others will be able to connect.
pub fn addresses(server: &ServerConfig) -> Vec<SocketAddr> {
    server.bind_addr.into_iter().collect()
}

/// Binds all sockets. The files of Unix sockets belong to `owner`, who is not yet the one who binds them.
pub fn listen(server: &ServerConfig, owner: Option<&User>) -> Result<Sockets, Failure> {
    let owner = owner.map(User::ids);
    let credentials = server.credential_socket.as_ref().map(|path| CredentialSocket::bind(path, owner)).transpose()?;
    Ok(Sockets { api: Listener::at(bind(server, owner)?), credentials })
}

fn bind(server: &ServerConfig, owner: Option<(u32, u32)>) -> Result<Vec<Endpoint>, Failure> {
    let mut endpoints = Vec::new();
    if let Some(addr) = server.bind_addr {
        endpoints.push(Endpoint::bind(addr).map_err(|why| Failure::new(addr, why))?);
    }
    if let Some(path) = &server.unix_socket {
        let (socket, file) = SocketFile::bind(path, server.unix_socket_mode, owner)?;
        endpoints.push(Endpoint::unix(socket, Some(file)).map_err(|why| Failure::new(path.display(), why))?);
    }
    Ok(endpoints)
}
