//! Which of several daemons works on a secret outside of the vault: the one that has claimed it.

use std::sync::Arc;
use std::time::Duration;

use super::Vault;
use super::order::Refused;
use super::shared_log::Unavailable;

/// A secret that no other daemon works on, as long as this lives and the daemon's lease lasts.
pub struct SharedClaim {
    vault: Arc<Vault>,
    name: String,
}

impl Drop for SharedClaim {
    fn drop(&mut self) {
        if let Some(shared) = &self.vault.shared {
            shared.give_up(&self.name);
        }
    }
}

impl Vault {
    /// Keeps other daemons from working on the secret; none if one of them does. It must not be claimed here already.
    ///
    /// # Errors
    /// If the shared log does not answer.
    pub fn claim(self: &Arc<Self>, name: &str) -> Result<Option<SharedClaim>, Refused> {
        let claim = || SharedClaim { vault: self.clone(), name: name.to_owned() };
        let Some(shared) = &self.shared else { return Ok(Some(claim())) };
        if !shared.claim(name, &self.hidden("claim", name)).map_err(Refused::Shared)? {
            return Ok(None);
        }
        let claim = claim();
        // What others have done to it until now.
        self.confirm_now().map_err(Refused::Shared)?;
        Ok(Some(claim))
    }

    /// To be asked before each step outside.
    ///
    /// # Errors
    /// If the claim of the secret has ended.
    pub fn still_claims(&self, name: &str) -> Result<(), Refused> {
        match &self.shared {
            Some(shared) if !shared.has_claimed(name) => {
                let why = "this daemon has lost its claim to it, and another one may go on with it";
                Err(Refused::Shared(Unavailable::Fenced(why.to_owned())))
            }
            _ => Ok(()),
        }
    }

    /// How long a claim may outlast its daemon; none: there are no other daemons.
    pub fn lease(&self) -> Option<Duration> {
        self.shared.as_ref().map(|shared| shared.lease())
    }
}
