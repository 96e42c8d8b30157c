//! What TLS is spoken with, from files in PEM.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::pem::{self, Block};
use super::{TlsConfig, TlsVersion};
use crate::base::clock::{Clock, Timestamp};
use crate::base::failure::Failure;
use crate::base::files;

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
    let chain = chain(&settings.cert_path)?;
    let key = daemons_private_key(&settings.key_path)?;
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

/// The certificates in the file at `path`, in its order, each with its line; at least one.
///
/// # Errors
/// If it cannot be read, holds none, or anything that is not understood.
pub fn certificates(path: &Path) -> Result<Vec<(usize, CertificateDer<'static>)>, Failure> {
    let blocks = pem::blocks(path, &files::read(path, LARGEST_FILE)?)?;
    let certificates = blocks.into_iter().filter(|block| block.kind == SectionKind::Certificate);
    let certificates: Vec<_> = certificates.map(|block| (block.line, block.der.into())).collect();
    if certificates.is_empty() {
        let why = "there is no certificate in it; it must be PEM (-----BEGIN CERTIFICATE-----)";
        return Err(Failure::new(path.display(), why));
    }
    Ok(certificates)
}

/// The same, as what is presented: one certificate, and what leads from it to its CA.
pub fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    Ok(certificates(path)?.into_iter().map(|(_, certificate)| certificate).collect())
}

/// The certificates of CAs in the file at `path`, all of which can be used.
///
/// # Errors
/// As those of [`certificates`], or names the line of one that cannot be used.
pub fn roots(path: &Path) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for (line, certificate) in certificates(path)? {
        let unusable = |why| {
            let place = format!("{}:{line}", path.display());
            Failure::new(place, format_args!("this certificate cannot be that of a CA: {why}; remove it from the file"))
        };
        roots.add(certificate).map_err(unusable)?;
    }
    Ok(roots)
}

/// The private key of the daemon, in the file at `path`, read as [`files::read_private_through_links`] does.
///
/// # Errors
/// If it cannot be read, holds no key or several, one that cannot be used, or anything that is not understood.
pub fn daemons_private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    private_key(path, &files::read_private_through_links(path, LARGEST_FILE)?)
}

/// The private key of a client, in the file at `path`, read as [`files::read_credential`] does.
///
/// # Errors
/// As those of [`daemons_private_key`].
pub fn clients_private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    private_key(path, &files::read_credential(path, LARGEST_FILE)?)
}

fn private_key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, Failure> {
    let fail = |why: &str| Failure::configuration(path.display(), why);
    let mut keys = pem::blocks(path, text)?.into_iter().filter(|block| block.kind != SectionKind::Certificate);
    let Some(Block { kind, der, .. }) = keys.next() else {
        return Err(fail("there is no private key in it; it must be PEM (-----BEGIN PRIVATE KEY-----)"));
    };
    if let Some(Block { line, .. }) = keys.next() {
        let why = "there is a second private key; only one can be used";
        return Err(Failure::configuration(format_args!("{}:{line}", path.display()), why));
    }
    let unusable = pem::what_key(&der);
    let key = PrivateKeyDer::from_pem(kind, der).ok_or_else(|| fail("there is no private key in it"))?;
    match ring::sign::any_supported_type(&key) {
        Ok(_) => Ok(key),
        Err(_) => Err(fail(&unusable.unwrap_or_else(|| "is not a private key that can be used here".to_owned()))),
    }
}

/// A client may present a certificate, and if it does, it must be one of the CA in the file at `path`.
fn client_verifier(path: &Path, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, Failure> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|why| Failure::new(path.display(), why))
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    const NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];
    match min {
        TlsVersion::Tls12 => BOTH,
        TlsVersion::Tls13 => NEWEST,
    }
}
