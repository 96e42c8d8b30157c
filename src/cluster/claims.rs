//! The secrets that a daemon has claimed, so that no other one rotates them outside at the same time.

use std::time::{Duration, Instant};

use super::answers::{added, asked};
use super::log::EtcdLog;
use crate::base::sync::lock;
use crate::etcd;
use crate::vault::Unavailable;

/// How long it is tried to say that a claim is given up. What could not be said is said later.
const PATIENCE: Duration = Duration::from_secs(1);

impl EtcdLog {
    /// Claims the secret `name`, which etcd knows as `hidden`, as long as this daemon's lease lasts. Returns false if another
    /// daemon has.
    ///
    /// # Errors
    /// If etcd does not answer, or this daemon has no lease.
    pub fn put_claim(&self, name: &str, hidden: &str) -> Result<bool, Unavailable> {
        let no_lease =
            || Unavailable::Unanswered("this daemon has no lease in etcd, and can claim no secret".to_owned());
        // What was given up before must not be deleted when it is claimed again.
        let _one_at_a_time = lock(self.claiming());
        let (lease, value) = self.standing().lease_and_value().ok_or_else(no_lease)?;
        let key = self.keys().claim(hidden);
        let put = (key.clone(), value.clone());
        let is_ours = match self.put_in_place_of(None, put, Some(lease), self.deadline()) {
            Ok(there) => there.as_ref() == Some(&value),
            Err(etcd::Error::LeaseGone) => return Err(no_lease()),
            Err(why) => {
                self.standing().leave((key, value));
                return Err(added(why));
            }
        };
        if is_ours && !self.standing().claim(name, key, &value) {
            return Err(no_lease());
        }
        Ok(is_ours)
    }

    /// Lets other daemons claim the secret.
    pub fn drop_claim(&self, name: &str) {
        self.standing().give_up(name);
        self.delete_given_up();
    }

    /// Deletes the claims that were given up, and those that have arrived late, as far as etcd answers.
    pub fn delete_given_up(&self) {
        // Each tick calls this, and need not wait for a claim that is just being made.
        if self.standing().given_up().is_empty() && self.standing().unanswered().is_empty() {
            return;
        }
        let _one_at_a_time = lock(self.claiming());
        // What cannot be deleted now is deleted later.
        let _ = self.try_delete_given_up(Instant::now() + PATIENCE);
    }

    fn try_delete_given_up(&self, deadline: Instant) -> Result<(), Unavailable> {
        for put in self.standing().given_up() {
            self.delete_if(put.clone(), deadline)?;
            self.standing().deleted(&put);
        }
        for (key, value) in self.standing().unanswered() {
            let there = self.value_of(key.clone(), deadline).map_err(asked)?;
            if there.as_ref() == Some(&value) && self.delete_if((key.clone(), value.clone()), deadline)? {
                self.standing().arrived(&(key, value));
            }
        }
        Ok(())
    }
}
