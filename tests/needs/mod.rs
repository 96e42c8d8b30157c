//! What a test cannot do without. Where it is missing the test is skipped, but under CI nothing may be.
#![allow(dead_code, reason = "each test needs something else")]

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::{Command, Stdio};

/// Whether the program can be run.
pub fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    is_there(found, format_args!("{program}, which make deps installs"))
}

/// Whether the test is run by root.
pub fn to_be_root() -> bool {
    is_there(rustix::process::geteuid().is_root(), format_args!("root"))
}

/// An address of this host that other hosts would use.
pub fn address_of_the_network() -> Option<IpAddr> {
    // Nothing is sent: the kernel only chooses the address that it would send from.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let chosen = socket.connect("198.51.100.1:9").and_then(|()| socket.local_addr());
    let address = chosen.map(|addr| addr.ip()).ok().filter(|ip| !ip.is_loopback());
    is_there(address.is_some(), format_args!("a network"));
    address
}

fn is_there(found: bool, what: std::fmt::Arguments) -> bool {
    assert!(found || std::env::var("CI").as_deref() != Ok("true"), "not there: {what}");
    if !found {
        eprintln!("skipped for want of: {what}");
    }
    found
}
