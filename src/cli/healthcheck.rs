//! `healthcheck`: `GET /healthz` of the configured address, for images that have no curl; without TCP, of the Unix socket.
//!
//! Where TLS is spoken, whoever answers must prove to have the configured certificate; its name and age do not matter.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::command::{Arguments, CONFIG, Command, Operands};
use super::{Exit, load_config};
use crate::failure::Failure;
use crate::http::tls;

pub const COMMAND: Command = Command {
    name: "healthcheck",
    operands: Operands::NONE,
    options: &[CONFIG],
    summary: "ask the daemon that this configuration is for whether it is healthy",
    run,
};

const TIMEOUT: Duration = Duration::from_secs(3);

/// No answer of `/healthz` is longer.
const LONGEST_ANSWER: u64 = 16 * 1024;

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let server = load_config(arguments.config_path())?.server;
    let (place, answer) = match (server.bind_addr.map(reachable), &server.unix_socket) {
        (Some(address), _) => {
            let scheme = if server.tls.is_some() { "https" } else { "http" };
            let answer = match &server.tls {
                Some(tls) => {
                    let config = tls::client_of(&tls.cert_path)?;
                    connect(address)
                        .and_then(|stream| secure(stream, address, config))
                        .and_then(|tls| ask(tls, address))
                }
                None => connect(address).and_then(|stream| ask(stream, address)),
            };
            (format!("{scheme}://{address}/healthz"), answer)
        }
        (None, Some(path)) => {
            let answer = connect_unix(path).and_then(|stream| ask(stream, "localhost"));
            (format!("unix:{} /healthz", path.display()), answer)
        }
        (None, None) => unreachable!("the configuration has either"),
    };
    let fail = |why: &dyn std::fmt::Display| Exit::from(Failure::new(&place, why));
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

fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Connecting waits too, if the queue of those who wait to be accepted is full.
    for timeout in [Timeout::Recv, Timeout::Send] {
        set_socket_timeout(&socket, timeout, Some(TIMEOUT))?;
    }
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

fn secure(stream: TcpStream, address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<impl Read + Write> {
    let session = ClientConnection::new(config, address.ip().into()).map_err(io::Error::other)?;
    Ok(StreamOwned::new(session, stream))
}

fn ask(mut stream: impl Read + Write, host: impl std::fmt::Display) -> io::Result<String> {
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
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
