//! TLS on the TCP socket: what is read from the certificate files, and when it is read again.
//!
//! The files are looked at when a connection comes in, and with each request of a client with a certificate, at most once a
//! second, and on [`reload`](Tls::reload). What does not parse or does not match changes nothing.

mod config;
mod material;
mod name;
mod pem;
mod pin;
mod session;
mod trust;

use std::path::Path;
use std::sync::Arc;

use self::material::Material;
use crate::base::clock::Clock;
use crate::base::failure::Failure;
use crate::base::watched::Watched;

pub use config::{TlsConfig, TlsVersion};
pub use name::CertificateName;
pub use pin::client_of;
pub use session::{Heard, Session, Unsecured};
pub use trust::{client_trusting, daemon_trusting};

/// What is said to a client for which there is no room, before any handshake: an alert (RFC 8446, section 6), fatal,
/// `internal_error`. Clients say so; plain HTTP they could not read.
pub const REFUSAL: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// The certificate, its key and the client CA in force.
#[derive(Debug)]
pub struct Tls {
    clock: Clock,
    material: Watched<Material>,
}

impl Tls {
    /// Reads the files that `settings` names. Certificates are valid by `clock`.
    ///
    /// # Errors
    /// If one of them cannot be read or does not hold what it should, if the key does not belong to the certificate,
    /// or if others than its owner may read it.
    pub fn load(settings: &TlsConfig, clock: &Clock) -> Result<Self, Failure> {
        let paths = settings.paths().map(Path::to_owned).collect();
        let read = {
            let (settings, clock) = (settings.clone(), clock.clone());
            move || material::load(&settings, &clock)
        };
        Ok(Self { clock: clock.clone(), material: Watched::load("TLS certificate", paths, read)? })
    }

    /// Reads the files again, whether they have changed or not. Logs what came of it; on a failure, what was in force
    /// before stays so.
    pub fn reload(&self) {
        self.material.reload();
    }

    /// What is in force. If the files have changed, they are read before.
    fn in_force(&self) -> Arc<Material> {
        self.material.in_force()
    }
}
