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

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

use self::material::Material;
use crate::base::clock::Clock;
use crate::base::failure::Failure;
use crate::base::sync::lock;

pub use config::{TlsConfig, TlsVersion};
pub use name::CertificateName;
pub use pin::client_of;
pub use session::{Heard, Session, Unsecured};
pub use trust::{client_trusting, daemon_trusting};

/// What is said to a client for which there is no room, before any handshake: an alert (RFC 8446, section 6), fatal,
/// `internal_error`. Clients say so; plain HTTP they could not read.
pub const REFUSAL: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// How often the files are looked at, at most.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// The certificate, its key and the client CA in force.
#[derive(Debug)]
pub struct Tls {
    settings: TlsConfig,
    clock: Clock,
    in_force: Mutex<Arc<Material>>,
    watch: Mutex<Watch>,
}

/// What the files looked like when they were last read.
#[derive(Debug)]
struct Watch {
    looked: Instant,
    seen: Vec<Option<Fingerprint>>,
}

impl Tls {
    /// Reads the files that `settings` names. Certificates are valid by `clock`.
    ///
    /// # Errors
    /// If one of them cannot be read or does not hold what it should, if the key does not belong to the certificate,
    /// or if others than its owner may read it.
    pub fn load(settings: &TlsConfig, clock: &Clock) -> Result<Self, Failure> {
        let seen = fingerprints(settings);
        let material = material::load(settings, clock)?;
        Ok(Self {
            settings: settings.clone(),
            clock: clock.clone(),
            in_force: Mutex::new(Arc::new(material)),
            watch: Mutex::new(Watch { looked: Instant::now(), seen }),
        })
    }

    /// Reads the files again, whether they have changed or not. Logs what came of it; on a failure, what was in force
    /// before stays so.
    pub fn reload(&self) {
        self.read_again(&mut lock(&self.watch));
    }

    /// What is in force. If the files have changed, they are read before.
    fn in_force(&self) -> Arc<Material> {
        // One thread looks; the others do not wait for a slow disk.
        let watch = match self.watch.try_lock() {
            Ok(watch) => Some(watch),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(mut watch) = watch
            && watch.looked.elapsed() >= BETWEEN_LOOKS
        {
            if fingerprints(&self.settings) == watch.seen {
                watch.looked = Instant::now();
            } else {
                self.read_again(&mut watch);
            }
        }
        lock(&self.in_force).clone()
    }

    fn read_again(&self, watch: &mut Watch) {
        // Taken before the files are read: what changes meanwhile is then seen as a change.
        let seen = fingerprints(&self.settings);
        *watch = Watch { looked: Instant::now(), seen };
        match material::load(&self.settings, &self.clock) {
            Ok(material) => {
                *lock(&self.in_force) = Arc::new(material);
                log::info!("TLS certificate reloaded: {}", self.settings.cert_path.display());
            }
            Err(why) => log::error!("TLS certificate not reloaded, the old one stays in force: {why}"),
        }
    }
}

/// What tells a file from the one that was there before: a rename or a new symbolic link changes the inode, and every
/// write the time of the change.
#[derive(Debug, PartialEq, Eq)]
struct Fingerprint {
    device: u64,
    inode: u64,
    len: u64,
    changed: (i64, i64),
}

impl Fingerprint {
    fn of(path: &Path) -> Option<Self> {
        let meta = path.metadata().ok()?;
        let changed = (meta.ctime(), meta.ctime_nsec());
        Some(Self { device: meta.dev(), inode: meta.ino(), len: meta.len(), changed })
    }
}

fn fingerprints(settings: &TlsConfig) -> Vec<Option<Fingerprint>> {
    settings.paths().map(Fingerprint::of).collect()
}
