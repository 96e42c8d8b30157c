//! Where a server is that is reached over TCP: `http://host:port` or `https://host:port`.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

/// A server's host and port, and whether TLS is spoken there. Prints as it is written in a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A host's name or IP address; one of IPv6 without its brackets.
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

impl Endpoint {
    /// Reads `http://host:port` or `https://host:port`; none if `text` is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let (tls, rest) = match text.split_once("://")? {
            ("http", rest) => (false, rest),
            ("https", rest) => (true, rest),
            _ => return None,
        };
        let (host, port) = rest.strip_suffix('/').unwrap_or(rest).rsplit_once(':')?;
        let port = port.parse().ok().filter(|number| *number != 0 && !port.starts_with('+'))?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => Some(address).filter(|address| address.parse::<Ipv6Addr>().is_ok()),
            None => Some(host).filter(|host| {
                !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
            }),
        };
        Some(Self { host: host?.to_owned(), port, tls })
    }

    pub fn of(address: SocketAddr, tls: bool) -> Self {
        Self { host: address.ip().to_string(), port: address.port(), tls }
    }

    /// What a request says in its `Host`.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_scheme_a_host_and_a_port() {
        for text in ["http://127.0.0.1:8081", "https://secrets.example.org:443", "http://[::1]:8081"] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Endpoint::parse("http://localhost:1/").unwrap().to_string(), "http://localhost:1");
        for text in [
            "",
            "127.0.0.1:8081",
            "http://127.0.0.1",
            "http://:8081",
            "http://host:0",
            "http://host:+1",
            "http://host:65536",
            "http://host:1/path",
            "http://user@host:1",
            "http://[127.0.0.1]:1",
            "http://::1:1",
            "HTTP://host:1",
            "ftp://host:1",
            "http://host\r\n:1",
        ] {
            assert_eq!(Endpoint::parse(text), None, "{text}");
        }
    }
}
