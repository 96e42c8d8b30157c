//! What TLS is spoken with, from files in PEM.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::clock::{Clock, Timestamp};
use crate::config::{TlsConfig, TlsVersion};
use crate::failure::Failure;
use crate::files;

/// No file of certificates is larger, not even a bundle of all public CAs.
const LARGEST_FILE: u64 = 1024 * 1024;

/// What was read from the files.
#[derive(Debug)]
pub struct Material {
    /// What a connection begins with.
    pub server: Arc<ServerConfig>,
    /// What verifies the certificates of clients; none if they are asked for none.
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl Material {
    /// Verifies a client's certificate, the first of `chain`, as a handshake would `now`. The client has proved to have its key.
    ///
    /// # Errors
    /// Says why a handshake would fail.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), rustls::Error> {
        let (Some(clients), [certificate, others @ ..]) = (&self.clients, chain) else { return Ok(()) };
        clients.verify_client_cert(certificate, others, unix_time(now)).map(|_| ())
    }
}

/// Certificates are valid by the daemon's clock.
#[derive(Debug)]
struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(self.0.now()))
    }
}

fn unix_time(moment: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(moment.seconds()))
}

/// Reads the files and checks that they belong together. Certificates are valid by `clock`.
///
/// # Errors
/// Names the file that is wrong, and what to do.
pub fn load(settings: &TlsConfig, clock: &Clock) -> Result<Material, Failure> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&settings.cert_path)?;
    let key = private_key(&settings.key_path, &files::read_private_through_links(&settings.key_path, LARGEST_FILE)?)?;
    let clients = settings.client_ca_path.as_ref().map(|path| client_verifier(path, provider.clone())).transpose()?;
    let builder = ServerConfig::builder_with_details(provider, Arc::new(Time(clock.clone())))
        .with_protocol_versions(versions(settings.min_version))
        .map_err(|why| Failure::new("TLS", why))?;
    let builder = match &clients {
        Some(clients) => builder.with_client_cert_verifier(clients.clone()),
        None => builder.with_no_client_auth(),
    };
    let mut config =
        builder.with_single_cert(chain, key).map_err(|why| mismatch(&settings.cert_path, &settings.key_path, why))?;
    // Of what both can do, we choose.
    config.ignore_client_order = true;
    // A resumed session would bring back a client whose certificate has expired meanwhile, and keep keys in memory.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    // A client that wants to speak another protocol (by mistake, or led here by somebody) is refused.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Material { server: Arc::new(config), clients })
}

/// The failure of a certificate and a key that rustls does not take together, for the reason `why`.
pub fn mismatch(cert_path: &Path, key_path: &Path, why: rustls::Error) -> Failure {
    let key_path = key_path.display();
    let why = match why {
        rustls::Error::InconsistentKeys(_) => {
            format!("the key {key_path} does not belong to this certificate; put the matching pair in place")
        }
        why => format!("the certificate cannot be used with the key {key_path}: {why}"),
    };
    Failure::new(cert_path.display(), why)
}

/// The certificates in the file at `path`, in its order; at least one.
///
/// # Errors
/// If it cannot be read, is malformed, or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let fail = |why: &dyn std::fmt::Display| Failure::new(path.display(), why);
    let bytes = files::read(path, LARGEST_FILE)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|why| fail(&format_args!("is no file of certificates in PEM: {}", describe(&why))))?;
    if certificates.is_empty() {
        return Err(fail(&"there is no certificate in it; it must be PEM (-----BEGIN CERTIFICATE-----)"));
    }
    Ok(certificates)
}

/// The private key of a client, in the file at `path`, read as [`files::read_credential`] does.
///
/// # Errors
/// If it cannot be read, is malformed, encrypted or missing.
pub fn clients_private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    private_key(path, &files::read_credential(path, LARGEST_FILE)?)
}

fn private_key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, Failure> {
    PrivateKeyDer::from_pem_slice(text).map_err(|why| {
        let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
        let why = if text.windows(encrypted.len()).any(|window| window == encrypted) {
            "the key is encrypted; decrypt it with: openssl pkey -in FILE -out NEW".to_owned()
        } else if matches!(why, pem::Error::NoItemsFound) {
            "there is no private key in it; it must be PEM (-----BEGIN PRIVATE KEY-----)".to_owned()
        } else {
            format!("is no private key in PEM: {}", describe(&why))
        };
        Failure::configuration(path.display(), why)
    })
}

/// A client may present a certificate, and if it does, it must be one of the CA in the file at `path`.
fn client_verifier(path: &Path, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, Failure> {
    let fail = |why: &dyn std::fmt::Display| Failure::new(path.display(), why);
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|why| fail(&format_args!("holds no usable CA certificate: {why}")))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|why| fail(&why))
}

/// What is wrong with a file, without quoting from it.
fn describe(why: &pem::Error) -> &'static str {
    match why {
        pem::Error::MissingSectionEnd { .. } => "a section has no end; the file was cut off",
        pem::Error::IllegalSectionStart { .. } => "a section begins with a malformed line",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it is malformed",
    }
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    const NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];
    match min {
        TlsVersion::Tls12 => BOTH,
        TlsVersion::Tls13 => NEWEST,
    }
}
