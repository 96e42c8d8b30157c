//! `healthcheck`: `GET /healthz` of the configured address, for images that have no curl; without TCP, of the Unix socket.
//!
//! Where TLS is spoken, whoever answers must prove to have the configured certificate; its name and age do not matter.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::base::failure::Failure;
use crate::cli::command::{Arguments, CONFIG, Command, Group, JSON, Operands};
use crate::cli::configured::load_config;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::client::{Address, Transport, one_line};
use crate::http::client::Endpoint;
use crate::http::tls;

pub const COMMAND: Command = Command {
    name: "healthcheck",
    group: Group::Daemon,
    operands: Operands::NONE,
    options: &[CONFIG, JSON],
    shared: &[],
    summary: "ask the daemon of this configuration whether it is healthy",
    example: "jarvis-secretsd healthcheck || echo unhealthy",
    run,
};

/// Less than what a container's health check is given, so that a reason can still be told.
const TIME_LIMIT: Duration = Duration::from_secs(4);

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let server = load_config(&arguments.config_path())?.server;
    let (address, what) = match (server.bind_addr, server.unix_socket) {
        (Some(bound), _) => {
            let address = Address::of(reachable(bound), server.tls.is_some());
            let what = format!("{address}/healthz");
            (address, what)
        }
        (None, Some(path)) => {
            let address = Address::Unix(path);
            let what = format!("{address} /healthz");
            (address, what)
        }
        (None, None) => unreachable!("the configuration has either"),
    };
    let tls = match (&address, server.tls) {
        (Address::Tcp(Endpoint { tls: true, .. }), Some(tls)) => Some(tls::client_of(&tls.cert_path)?),
        _ => None,
    };
    let transport = Transport { address, tls, time_limit: TIME_LIMIT };
    let answer = transport.call("GET", "/healthz", &[], None, |_| {}).map_err(|why| Failure::new(&what, why))?;
    if answer.status == 200 {
        return if arguments.has(&JSON) { output::print_line(&answer.body) } else { Ok(()) };
    }
    let body = String::from_utf8_lossy(&answer.body);
    let failure = Failure::new(what, format_args!("status {}: {}", answer.status, one_line(&body)));
    Err(failure.with(serde_json::from_slice(&answer.body).unwrap_or_default()).into())
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
