//! The versions whose grace is over, and their end.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Vault;
use super::order::{AT_A_TIME, Condition, Duty, Operation, Order, Refused};
use super::shared_log::Unavailable;
use super::version::Version;
use crate::audit::{Entry, Event};

impl Vault {
    /// The versions that [`Operation::Destroy`] may destroy, each with its secret, the oldest of a secret first.
    pub fn expired_versions(&self) -> Vec<(String, Version)> {
        let now = self.clock.now();
        let mut expired = Vec::new();
        self.walk(
            |name, secret, items| {
                let gone = secret.versions.iter().filter(|kept| kept.is_gone(now));
                items.extend(gone.map(|kept| (name.to_owned(), kept.version.clone())));
            },
            |items| expired.extend(items),
        );
        expired
    }

    /// Leaves the versions of these secrets to whoever calls this, once: [`destroy_expired`](Self::destroy_expired) passes
    /// them over.
    pub fn hold_expired(&self, names: BTreeSet<String>) {
        let _ = self.held.set(names);
    }

    /// Destroys the versions whose grace is over. Each one's audit line gives `reason` as its detail.
    ///
    /// Ends early when `stopping` says so, or another daemon leads. Returns how many were destroyed.
    ///
    /// # Errors
    /// Says why no more could be destroyed; those before stay so.
    pub fn destroy_expired(self: &Arc<Self>, reason: &str, stopping: impl Fn() -> bool) -> Result<usize, Refused> {
        let mut destroyed = 0;
        let is_held = |name: &String| self.held.get().is_some_and(|held| held.contains(name));
        let expired: Vec<_> = self.expired_versions().into_iter().filter(|(name, _)| !is_held(name)).collect();
        for versions in expired.chunks(AT_A_TIME).take_while(|_| self.leads() && !stopping()) {
            let entry = Entry { detail: Some(reason.to_owned()), ..Entry::new(Event::DestroyVersion) };
            let operation = Operation::Destroy { versions: versions.to_vec() };
            let order = Order { operation, condition: Condition::default(), duty: Duty::Leader, entry };
            match self.commit(order) {
                // Another daemon has come to lead meanwhile, and does it.
                Err(Refused::Shared(Unavailable::Fenced(_))) => break,
                done => destroyed += done?.len(),
            }
        }
        if destroyed > 0 {
            log::info!("Destroyed {destroyed} versions whose grace period is over");
        }
        Ok(destroyed)
    }
}
