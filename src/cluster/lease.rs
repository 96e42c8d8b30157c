//! What keeps a daemon's lease, and has it stand for leader. A thread of its own does it: nothing else may hold it up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::members::new_incarnation;
use super::standing::Lease;
use super::start::Cluster;
use crate::base::failure::Failure;
use crate::base::moment::Moment;
use crate::etcd::{self, LeaseId};

/// The shortest pause, where etcd does not answer.
const SHORTEST: Duration = Duration::from_millis(50);

/// How long it waits for the answer to what it does at the end.
const AT_THE_END: Duration = Duration::from_secs(2);

/// Keeps one daemon's lease.
pub struct Keeper {
    cluster: Arc<Cluster>,
    /// What is to be done when this daemon comes to lead.
    on_leading: Box<dyn Fn() + Send>,
    /// When the lease is kept again.
    next: Moment,
    /// It led when it was last looked.
    led: bool,
    /// It was said that there is no lease.
    told: bool,
}

impl Keeper {
    pub fn new(cluster: Arc<Cluster>, on_leading: Box<dyn Fn() + Send>) -> Self {
        Self { cluster, on_leading, next: Moment::now(), led: false, told: false }
    }

    /// Does what is due, and returns how long it is until something is again.
    pub fn keep(&mut self) -> Duration {
        let log = self.cluster.log.clone();
        let is_answered = match log.standing().lasting() {
            Some((lease, true)) => self.keep_alive(lease),
            Some((lease, false)) => {
                // It may last still in etcd: it is ended there, so that nothing is held under it.
                log.standing().lost();
                let _ = log.etcd().revoke(lease, self.deadline());
                self.grant()
            }
            None => self.grant(),
        };
        // Nothing else is asked while it is open whether the lease lasts.
        if is_answered {
            self.stand();
        }
        let leads = log.standing().leads();
        if leads && !self.led {
            (self.on_leading)();
        }
        self.led = leads;
        self.cluster.config().poll.min(self.next.since(Moment::now())).max(SHORTEST)
    }

    fn pause(&self) -> Duration {
        self.cluster.config().lease / 3
    }

    /// When a call for the lease must have ended that is made now.
    fn deadline(&self) -> Instant {
        Instant::now() + self.pause()
    }

    /// Keeps the lease, if it is time for that. Returns whether it lasts for certain.
    fn keep_alive(&mut self, lease: LeaseId) -> bool {
        let asked = Moment::now();
        if asked < self.next {
            return true;
        }
        let log = self.cluster.log.clone();
        match log.etcd().keep_alive(lease, self.deadline()) {
            Ok(Some(ttl)) => {
                log.standing().kept(lease, asked, ttl);
                self.next = asked.plus(self.pause());
                true
            }
            Ok(None) => {
                log.standing().lost();
                self.grant()
            }
            // It is tried again at once: the lease may last until then.
            Err(_) => false,
        }
    }

    /// Asks for a new lease. Returns whether there was an answer: without a lease, one can still look who leads.
    fn grant(&mut self) -> bool {
        let log = self.cluster.log.clone();
        let asked = Moment::now();
        self.next = asked.plus(self.pause());
        let granted = log.etcd().grant(self.cluster.config().lease, self.deadline());
        let granted =
            granted.and_then(|granted| Ok((granted, new_value(&self.cluster.config().node).map_err(no_random_bytes)?)));
        match granted {
            Ok(((lease, ttl), value)) => {
                log.standing().granted(Lease::new(lease, value, asked, ttl));
                self.told = false;
                true
            }
            // Whoever asks etcd for something says so.
            Err(etcd::Error::Unavailable(_)) => false,
            Err(why) => {
                if !std::mem::replace(&mut self.told, true) {
                    log::error!("This daemon cannot lead, nor rotate secrets with appliers: {why}");
                }
                true
            }
        }
    }

    /// Looks who leads, and stands if nobody does.
    fn stand(&self) {
        let log = &self.cluster.log;
        let standing = log.standing();
        // Both together take no longer than the lease is kept without an answer.
        let deadline = || Instant::now() + self.pause() / 2;
        let Ok(leader) = log.leader_key(deadline()) else { return };
        let is_free = leader.is_none();
        standing.heard_leader(leader);
        if !is_free || !standing.may_stand(self.cluster.config().lease) {
            return;
        }
        let Some((lease, value)) = standing.lease_and_value() else { return };
        if let Ok(leader) = log.stand(lease, &value, deadline()) {
            standing.heard_leader(leader);
        }
    }

    /// Ends the lease, and what is held under it.
    pub fn end(self) {
        let log = &self.cluster.log;
        if let Some((lease, _)) = log.standing().lasting() {
            log.standing().lost();
            // If it cannot be said, it ends by itself.
            let _ = log.etcd().revoke(lease, Instant::now() + AT_THE_END);
        }
    }
}

/// What no other daemon, and no other lease of this one, has.
///
/// # Errors
/// If there are no random bytes.
pub fn new_value(node: &str) -> Result<Vec<u8>, Failure> {
    Ok(format!("{node} {}", new_incarnation()?).into_bytes())
}

fn no_random_bytes(why: Failure) -> etcd::Error {
    etcd::Error::Refused(why.to_string())
}
