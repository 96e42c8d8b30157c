//! The sockets that the configuration asks for.

use std::net::SocketAddr;

use crate::config::ServerConfig;
use crate::failure::Failure;
use crate::http::{Endpoint, Listener, SocketFile};
use crate::process::User;

/// The TCP addresses at which others will be able to connect.
pub fn addresses(server: &ServerConfig) -> Vec<SocketAddr> {
    server.bind_addr.into_iter().collect()
}

/// Binds all sockets. The file of the Unix socket belongs to `owner`, who is not yet the one who binds it.
pub fn listen(server: &ServerConfig, owner: Option<&User>) -> Result<Listener, Failure> {
    let mut endpoints = Vec::new();
    if let Some(addr) = server.bind_addr {
        endpoints.push(Endpoint::bind(addr).map_err(|why| Failure::new(addr, why))?);
    }
    if let Some(path) = &server.unix_socket {
        let (socket, file) = SocketFile::bind(path, server.unix_socket_mode, owner.map(User::ids))?;
        endpoints.push(Endpoint::unix(socket, Some(file)).map_err(|why| Failure::new(path.display(), why))?);
    }
    Ok(Listener::at(endpoints))
}
