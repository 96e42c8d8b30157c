//! What the configuration says of TLS on the TCP socket, `[server.tls]`.

use std::path::{Path, PathBuf};

/// `[server.tls]`: TLS on the TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate, and behind it those that lead to its CA; PEM.
    pub cert_path: PathBuf,
    /// The certificate's private key; PEM, not encrypted, readable by its owner only.
    pub key_path: PathBuf,
    /// The CAs whose certificates clients may present; PEM. Without it, clients are not asked for any.
    pub client_ca_path: Option<PathBuf>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246, `1.2`.
    Tls12,
    /// RFC 8446, `1.3`.
    Tls13,
}

impl TlsConfig {
    /// The paths of all files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.cert_path), Some(&self.key_path), self.client_ca_path.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }
}
