//! Where a daemon is: the forms of an address.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::net::SocketAddrUnix;

/// Where a daemon is. Prints as it is written in a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp {
        /// A host's name or IP address; one of IPv6 without its brackets.
        host: String,
        port: u16,
        tls: bool,
    },
    Unix(PathBuf),
}

impl Address {
    /// Reads `http://host:port`, `https://host:port` or `unix:/path`.
    ///
    /// # Errors
    /// Says which of these it is not, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match SocketAddrUnix::new(path) {
                Ok(_) if path.starts_with('/') => Ok(Self::Unix(path.into())),
                _ => {
                    Err("must be unix: and the absolute path of a socket, such as unix:/run/jarvis-secretsd/sock"
                        .into())
                }
            };
        }
        let wrong = "must be http://host:port, https://host:port or unix:/path, such as http://127.0.0.1:8081";
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(wrong.into()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = authority.rsplit_once(':').ok_or(wrong)?;
        let port = port.parse().ok().filter(|number| *number != 0 && !port.starts_with('+')).ok_or(wrong)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => Some(address).filter(|address| address.parse::<std::net::Ipv6Addr>().is_ok()),
            None => Some(host).filter(|host| {
                !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
            }),
        };
        Ok(Self::Tcp { host: host.ok_or(wrong)?.to_owned(), port, tls })
    }

    pub fn of(address: SocketAddr, tls: bool) -> Self {
        Self::Tcp { host: address.ip().to_string(), port: address.port(), tls }
    }

    /// What a request says in its `Host`.
    pub fn authority(&self) -> String {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port, .. } => format!("{host}:{port}"),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { tls, .. } => write!(f, "{}://{}", if *tls { "https" } else { "http" }, self.authority()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_of_three_forms() {
        for text in [
            "http://127.0.0.1:8081",
            "https://secrets.example.org:443",
            "http://[::1]:8081",
            "unix:/run/jarvis-secretsd/sock",
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Address::parse("http://localhost:1/").unwrap().to_string(), "http://localhost:1");
        let long = format!("unix:/{}", "x".repeat(200));
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
            "unix:relative",
            "unix:",
            &long,
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
