//! How a daemon takes its name among the others at the start.

use std::path::Path;
use std::time::Instant;

use super::anchor::Kept;
use super::answers::{added, asked};
use super::lease::new_value;
use super::members::Alive;
use super::standing::Lease;
use super::start::Cluster;
use crate::base::failure::Failure;
use crate::base::moment::Moment;
use crate::etcd::{self, LeaseId};
use crate::vault::Unavailable;

/// How often it is tried again where the key has changed meanwhile.
const ATTEMPTS: u32 = 8;

/// Who has a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Named {
    /// The daemon that asked for it.
    Ours,
    /// Another one, which tells this of itself, if that can be read.
    Another(Option<Box<Alive>>),
}

impl Cluster {
    /// Takes this daemon's name among the others, so that no second one takes it while this one is there. What an earlier run has
    /// left is taken over: the directories, which this one has locked, show that it has ended.
    ///
    /// # Errors
    /// If another daemon has the name, or etcd does not answer.
    pub fn join(&self, audit_path: &Path, seq: u64, policy_sha256: &str) -> Result<(), Failure> {
        let ended = Kept::read(&Kept::path(audit_path))?.map(|kept| kept.incarnation);
        let Some(lease) = self.first_lease()? else { return Ok(()) };
        let alive = self.alive(seq, policy_sha256.to_owned());
        let named = self.take_name(lease, &alive, ended.as_deref(), self.log.deadline());
        match named.map_err(|why| self.failure(why))? {
            Named::Ours => Ok(()),
            Named::Another(other) => {
                let since = other.map_or_else(String::new, |other| format!(", since {}", other.since.to_the_second()));
                let why = format!(
                    "another daemon of this name works with the vault{since}; set `node` to another name at one of them, or, if \
                     it was killed, wait {} seconds",
                    self.config().lease.as_secs()
                );
                Err(Failure::new(&self.config().node, why))
            }
        }
    }

    /// A lease, with which it goes on; none: etcd has no space for one.
    fn first_lease(&self) -> Result<Option<LeaseId>, Failure> {
        let asked_at = Moment::now();
        let value = new_value(&self.config().node)?;
        match self.log.etcd().grant(self.config().lease, self.log.deadline()) {
            Ok((lease, ttl)) => {
                self.log.standing().granted(Lease::new(lease, value, asked_at, ttl));
                Ok(Some(lease))
            }
            Err(etcd::Error::NoSpace) => Ok(None),
            Err(why) => Err(self.failure(asked(why))),
        }
    }

    /// Tells `alive` of this daemon under its name, unless another daemon has that. `ended` is the run that had it before.
    pub(super) fn take_name(
        &self,
        lease: LeaseId,
        alive: &Alive,
        ended: Option<&str>,
        deadline: Instant,
    ) -> Result<Named, Unavailable> {
        let (key, value) = (self.log.keys().alive(&self.config().node), alive.bytes());
        let mut before = None;
        for _ in 0..ATTEMPTS {
            let put = (key.clone(), value.clone());
            let there = match self.log.put_in_place_of(before, put, Some(lease), deadline) {
                Err(etcd::Error::NoSpace) => return Ok(Named::Ours),
                there => there.map_err(added)?,
            };
            if there.as_ref() == Some(&value) {
                self.members.has_told(lease, value);
                return Ok(Named::Ours);
            }
            let other = there.as_ref().map(|there| serde_json::from_slice::<Alive>(there).ok());
            match other {
                Some(Some(other)) if Some(other.incarnation.as_str()) != ended => {
                    return Ok(Named::Another(Some(Box::new(other))));
                }
                Some(None) => return Ok(Named::Another(None)),
                // It is gone, or of a run that has ended.
                _ => before = there,
            }
        }
        Err(Unavailable::Unanswered(format!("etcd's `{}` kept changing", String::from_utf8_lossy(&key))))
    }
}

impl Drop for Cluster {
    /// A daemon that could not start leaves no name taken.
    fn drop(&mut self) {
        if let Some((lease, _)) = self.log.standing().lasting() {
            let _ = self.log.etcd().revoke(lease, Instant::now() + self.config().poll);
        }
    }
}
