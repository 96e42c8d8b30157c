//! `healthcheck`: `GET /healthz` of the configured address, for images that have no curl.
//!
//! Where TLS is spoken, whoever answers must prove to have the configured certificate; its name and age do not matter.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::{Exit, load_config};
use crate::failure::Failure;
use crate::http::tls;

const TIMEOUT: Duration = Duration::from_secs(3);

/// No answer of `/healthz` is longer.
const LONGEST_ANSWER: u64 = 16 * 1024;

pub fn run(config_path: &Path) -> Result<(), Exit> {
    let server = load_config(config_path)?.server;
    let address = reachable(server.bind_addr);
    let scheme = if server.tls.is_some() { "https" } else { "http" };
    let fail =
        |why: &dyn std::fmt::Display| Exit::from(Failure::new(format_args!("{scheme}://{address}/healthz"), why));
    let stream = connect(address).map_err(|why| fail(&why))?;
    let answer = match &server.tls {
        Some(tls) => ask(secure(stream, address, tls::client_of(&tls.cert_path)?)?, address),
        None => ask(stream, address),
    };
    let answer = answer.map_err(|why| fail(&why))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| fail(&"the answer is not HTTP"))?;
    if head.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    let status = head.lines().next().unwrap_or_default();
    Err(fail(&format_args!("{status}: {}", body.escape_debug())))
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

fn secure(stream: TcpStream, address: SocketAddr, config: Arc<ClientConfig>) -> Result<impl Read + Write, Failure> {
    let session = ClientConnection::new(config, address.ip().into()).map_err(|why| Failure::new("TLS", why))?;
    Ok(StreamOwned::new(session, stream))
}

fn ask(mut stream: impl Read + Write, address: SocketAddr) -> io::Result<String> {
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A daemon that listens on every address is asked on the loopback one.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
