//! A client that trusts certificate authorities.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use super::material;
use crate::failure::Failure;

/// What it takes to speak with a server whose certificate for its name is of a CA in the file at `ca_path`. `identity`
/// is a certificate, with what leads to its CA behind it, and its key, which the server may ask for.
///
/// # Errors
/// If a file cannot be read or does not hold what it should.
pub fn client_trusting(ca_path: &Path, identity: Option<(&Path, &Path)>) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    // A bundle of all public CAs holds some that are malformed by now.
    let (usable, _) = roots.add_parsable_certificates(material::certificates(ca_path)?);
    if usable == 0 {
        return Err(Failure::new(ca_path.display(), "holds no usable CA certificate"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| Failure::new("TLS", why))?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((cert_path, key_path)) => {
            let (chain, key) = (material::certificates(cert_path)?, material::clients_private_key(key_path)?);
            builder.with_client_auth_cert(chain, key).map_err(|why| material::mismatch(cert_path, key_path, why))?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
