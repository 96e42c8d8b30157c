//! Where a daemon is: the forms of an address.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::net::SocketAddrUnix;

use crate::http::client::Endpoint;

/// Where a daemon is. Prints as it is written in a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(Endpoint),
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
        Endpoint::parse(text).map(Self::Tcp).ok_or_else(|| wrong.to_owned())
    }

    pub fn of(address: SocketAddr, tls: bool) -> Self {
        Self::Tcp(Endpoint::of(address, tls))
    }

    /// What a request says in its `Host`.
    pub fn authority(&self) -> String {
        match self {
            Self::Tcp(endpoint) => endpoint.authority(),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(endpoint) => endpoint.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_of_three_forms() {
        for text in ["http://127.0.0.1:8081", "https://secrets.example.org:443", "unix:/run/jarvis-secretsd/sock"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        let long = format!("unix:/{}", "x".repeat(200));
        for text in ["", "127.0.0.1:8081", "http://host:1/path", "unix:relative", "unix:", &long] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
