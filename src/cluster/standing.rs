//! What a daemon is among those that share a vault: its lease, whether it leads, and which secrets it has claimed.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use crate::base::sync::lock;
use crate::etcd::LeaseId;

/// Its lease, and what it holds under it. Losing the lease loses all of that.
#[derive(Default)]
pub struct Standing {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    lease: Option<LeaseId>,
    /// Until when this daemon may take itself for the leader, by the value that it has put.
    leads: Option<(Vec<u8>, Instant)>,
    /// Of each secret that it has claimed, the key and the value.
    claims: BTreeMap<String, (Vec<u8>, Vec<u8>)>,
}

impl Standing {
    pub fn lease(&self) -> Option<LeaseId> {
        lock(&self.held).lease
    }

    /// The value of the leader's key, if this daemon leads as far as it can know.
    pub fn leads_as(&self) -> Option<Vec<u8>> {
        lock(&self.held).leads.as_ref().filter(|(_, until)| Instant::now() < *until).map(|(value, _)| value.clone())
    }

    /// The key and the value of the claim of a secret.
    pub fn claimed(&self, name: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        lock(&self.held).claims.get(name).cloned()
    }
}
