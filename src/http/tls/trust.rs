//! A client that trusts certificate authorities.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore};

use super::material;
use crate::base::failure::Failure;

/// The CAs that the system trusts.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What it takes to speak with a server whose certificate for its name is of a CA in the file at `ca_path`, or of one that the
/// system trusts. `identity` is a certificate, with what leads to its CA behind it, and its key, which the server may ask for.
///
/// # Errors
/// If a file cannot be read or does not hold what it should.
pub fn client_trusting(ca_path: Option<&Path>, identity: Option<(&Path, &Path)>) -> Result<Arc<ClientConfig>, Failure> {
    trusting(ca_path, identity, material::clients_private_key)
}

/// The same for the daemon, which is a client too, and uses no key that others may read.
///
/// # Errors
/// As those of [`client_trusting`], or if the key is not private.
pub fn daemon_trusting(ca_path: Option<&Path>, identity: Option<(&Path, &Path)>) -> Result<Arc<ClientConfig>, Failure> {
    trusting(ca_path, identity, material::daemons_private_key)
}

fn trusting(
    ca_path: Option<&Path>,
    identity: Option<(&Path, &Path)>,
    private_key: impl Fn(&Path) -> Result<PrivateKeyDer<'static>, Failure>,
) -> Result<Arc<ClientConfig>, Failure> {
    let roots = match ca_path {
        Some(path) => material::roots(path)?,
        None => systems_roots()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| Failure::new("TLS", why))?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((cert_path, key_path)) => {
            let (chain, key) = (material::chain(cert_path)?, private_key(key_path)?);
            builder.with_client_auth_cert(chain, key).map_err(|why| material::mismatch(cert_path, key_path, why))?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Of all public CAs some may be malformed by now. Nobody here has chosen them, and one that is missing is noticed.
fn systems_roots() -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(material::chain(Path::new(SYSTEM_CA))?);
    if usable == 0 { Err(Failure::new(SYSTEM_CA, "holds no usable CA certificate")) } else { Ok(roots) }
}
