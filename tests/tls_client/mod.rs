//! A TLS client, and the files of a TLS server, from the certificates in tests/data/tls.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jarvis_secretsd::http::{TlsConfig, TlsVersion};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::patience::PATIENCE;

/// A file of tests/data/tls.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

pub fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(data(&format!("{name}.pem"))).unwrap()
}

/// A directory with a server's certificate and key, in which files can be replaced. It goes with the test.
pub struct ServerFiles(PathBuf);

impl ServerFiles {
    /// The files of `server`, in the directory `root`, which is made.
    pub fn new(root: PathBuf) -> Self {
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        let files = Self(root);
        files.put("server.pem", "tls.pem");
        files.put("server.key", "tls.key");
        files
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Puts a copy of the file `source` of tests/data/tls in the place of `name`, as a whole.
    pub fn put(&self, source: &str, name: &str) {
        self.write(name, &fs::read(data(source)).unwrap());
    }

    /// Puts `bytes` in the place of `name`, as a whole.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        let fresh = self.path("fresh");
        fs::write(&fresh, bytes).unwrap();
        fs::set_permissions(&fresh, Permissions::from_mode(0o600)).unwrap();
        fs::rename(&fresh, self.path(name)).unwrap();
    }

    /// Settings that name these files, and no client CA.
    pub fn settings(&self) -> TlsConfig {
        TlsConfig {
            cert_path: self.path("tls.pem"),
            key_path: self.path("tls.key"),
            client_ca_path: None,
            min_version: TlsVersion::Tls12,
        }
    }

    /// The same, with the CA of the tests as client CA.
    pub fn settings_with_client_ca(&self) -> TlsConfig {
        TlsConfig { client_ca_path: Some(data("ca.pem")), ..self.settings() }
    }
}

impl Drop for ServerFiles {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a client offers.
#[derive(Clone, Copy, Default)]
pub struct Offer<'a> {
    /// The name of a certificate in tests/data/tls that it presents.
    pub certificate: Option<&'a str>,
    /// The one version of TLS that it speaks; both 1.2 and 1.3 if there is none.
    pub version: Option<&'static SupportedProtocolVersion>,
    /// Protocols by ALPN.
    pub protocols: &'a [&'a str],
}

/// A connection over TLS, on which nothing has been sent yet.
pub type Secure = StreamOwned<ClientConnection, TcpStream>;

/// Connects to a server that must have a certificate of the CA of the tests for `localhost`.
pub fn connect(addr: SocketAddr, offer: Offer) -> Secure {
    connect_as(&client(offer), addr)
}

/// The same as a client that remembers its sessions.
pub fn connect_as(client: &Arc<ClientConfig>, addr: SocketAddr) -> Secure {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = "localhost".try_into().unwrap();
    StreamOwned::new(ClientConnection::new(client.clone(), name).unwrap(), stream)
}

pub fn client(offer: Offer) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate("ca")).unwrap();
    let versions: &[_] = match &offer.version {
        Some(version) => &[*version],
        None => &[&TLS13, &TLS12],
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match offer.certificate {
        Some(name) => {
            let key = PrivateKeyDer::from_pem_file(data(&format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(vec![certificate(name)], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = offer.protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Ends the handshake.
pub fn agree(secure: &mut Secure) -> io::Result<()> {
    while secure.conn.is_handshaking() {
        secure.conn.complete_io(&mut secure.sock)?;
    }
    Ok(())
}

/// Sends a request that ends the connection, and returns all that comes until the server says that nothing more will.
/// Without that, as if somebody had cut the connection, it is an error.
pub fn ask(secure: &mut Secure, target: &str, headers: &str) -> io::Result<String> {
    write!(secure, "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")?;
    let mut answer = String::new();
    secure.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The server's certificate, once the handshake has ended.
pub fn server_certificate(addr: SocketAddr) -> CertificateDer<'static> {
    let mut secure = connect(addr, Offer::default());
    agree(&mut secure).unwrap();
    secure.conn.peer_certificates().unwrap()[0].clone().into_owned()
}
