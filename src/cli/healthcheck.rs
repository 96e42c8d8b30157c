//! `healthcheck`: `GET /healthz` of the configured address, for images that have no curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::{Exit, load_config};
use crate::failure::Failure;

const TIMEOUT: Duration = Duration::from_secs(3);

/// No answer of `/healthz` is longer.
const LONGEST_ANSWER: u64 = 16 * 1024;

pub fn run(config_path: &Path) -> Result<(), Exit> {
    let address = reachable(load_config(config_path)?.server.bind_addr);
    let fail = |why: &dyn std::fmt::Display| Exit::from(Failure::new(format_args!("http://{address}/healthz"), why));
    let answer = ask(address).map_err(|why| fail(&why))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| fail(&"the answer is not HTTP"))?;
    if head.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    let status = head.lines().next().unwrap_or_default();
    Err(fail(&format_args!("{status}: {}", body.escape_debug())))
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
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
