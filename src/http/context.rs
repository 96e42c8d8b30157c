//! What all connections of a server share.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::registry::Registry;
use super::tls::Tls;
use super::{Address, ConnectionStats, Handler, Limits, Peer};

/// What a connection needs besides its socket.
pub struct Context {
    pub limits: Limits,
    pub handler: Arc<dyn Handler>,
    pub stats: Arc<ConnectionStats>,
    pub registry: Arc<Registry>,
    tls: Option<Arc<Tls>>,
    boot: u32,
    requests: AtomicU64,
}

impl Context {
    /// # Errors
    /// If the system gives no random bytes.
    pub fn new(
        limits: Limits,
        handler: Arc<dyn Handler>,
        stats: Arc<ConnectionStats>,
        capacity: usize,
        tls: Option<Arc<Tls>>,
    ) -> io::Result<Self> {
        let boot = getrandom::u32().map_err(|why| io::Error::other(why.to_string()))?;
        let registry = Arc::new(Registry::new(capacity, limits.max_held, stats.clone()));
        Ok(Self { limits, handler, stats, registry, tls, boot, requests: AtomicU64::new(0) })
    }

    /// What is spoken with `peer`; plain HTTP if there is none. A Unix socket does not leave the host, and the kernel says
    /// who is at its other end.
    pub fn tls_with(&self, peer: &Peer) -> Option<&Arc<Tls>> {
        match peer.address {
            Address::Tcp(_) => self.tls.as_ref(),
            Address::Unix { .. } => None,
        }
    }

    /// An id that no other request has, also after a restart.
    pub fn next_request_id(&self) -> String {
        format!("{:08x}-{:x}", self.boot, self.requests.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
