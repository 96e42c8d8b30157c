//! Who leads: the daemon whose value is in the leader's key, as long as its lease lasts.

use std::time::{Duration, Instant};

use super::answers::{added, asked, malformed};
use super::log::EtcdLog;
use super::standing::name;
use crate::etcd::LeaseId;
use crate::vault::Unavailable;

/// How long a daemon that stops tries to say that it leads no more.
const PATIENCE: Duration = Duration::from_secs(1);

impl EtcdLog {
    /// The value of the leader's key, as all changes that were answered before have left it.
    pub fn leader_key(&self, deadline: Instant) -> Result<Option<Vec<u8>>, Unavailable> {
        self.value_of(self.keys().leader(), deadline).map_err(asked)
    }

    /// Puts `value` into the leader's key under this lease, unless there is one. Returns the one that is there then.
    ///
    /// # Errors
    /// If etcd does not answer; it may be there all the same.
    pub fn stand(&self, lease: LeaseId, value: &[u8], deadline: Instant) -> Result<Option<Vec<u8>>, Unavailable> {
        let put = (self.keys().leader(), value.to_vec());
        self.put_in_place_of(None, put, Some(lease), deadline).map_err(added)
    }

    /// Takes what leads by this value out of the leader's key. Returns false if something else is there.
    ///
    /// # Errors
    /// If etcd does not answer; it may be taken out all the same.
    pub fn depose(&self, value: Vec<u8>, deadline: Instant) -> Result<bool, Unavailable> {
        self.delete_if((self.keys().leader(), value), deadline)
    }

    /// Leads no more, and does not stand again.
    pub fn resign(&self) {
        if let Some(value) = self.standing().resign() {
            // What cannot be said now, the end of the lease says.
            let _ = self.depose(value, Instant::now() + PATIENCE);
        }
    }

    /// Lets another daemon lead than the one that does, which does not stand again for as long as a lease lasts. Returns the
    /// name of that one; none: nobody leads.
    ///
    /// # Errors
    /// If etcd does not answer; it may lead no more all the same.
    pub fn step_down(&self) -> Result<Option<String>, Unavailable> {
        let deadline = self.deadline();
        loop {
            let Some(leader) = self.leader_key(deadline)? else { return Ok(None) };
            if self.depose(leader.clone(), deadline)? {
                return Ok(Some(name(&leader)));
            }
            // Another one leads meanwhile, or an earlier attempt has got through.
            if Instant::now() >= deadline {
                return Err(malformed());
            }
        }
    }
}
