//! Reads that all daemons which share the vault are to know of: told before the client has the value, and taken in from them.

use std::time::Duration;

use super::Consumers;
use super::shared::SharedRead;
use crate::base::clock::Timestamp;
use crate::base::sync::lock;
use crate::vault::{Kid, Refused, Unavailable};

/// How old what the others know of a client's last read may become before they are told of a later one.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(60 * 60);

impl Consumers {
    /// Lets the other daemons that share the vault know that `client` is about to get the version `kid` of `name`: who retires it
    /// from now on finds that. It costs a few look-ups when they know, and nothing where nobody shares the vault.
    ///
    /// `is_stale`: this daemon serves what it has although it cannot ask the others. They are then told later.
    ///
    /// # Errors
    /// If the client must not get it: the others cannot be told, or the version was destroyed meanwhile ([`Refused::Gone`]).
    pub fn announce(&self, name: &str, client: &str, kid: Kid, is_stale: bool) -> Result<(), Refused> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let now = self.vault.now();
        let told = lock(&self.reads).told(name, client, kid);
        if told.is_some_and(|told| now < told.plus(TOLD_AGAIN_AFTER)) {
            return Ok(());
        }
        let read = SharedRead { name: name.to_owned(), kid, client: client.to_owned(), at: now };
        if told.is_none() && is_stale {
            shared.note_later(read);
            return Ok(());
        }
        match told {
            // They know that it was read; the time can wait.
            Some(_) => shared.note_later(read.clone()),
            None => {
                shared.note(read.clone()).map_err(Refused::Shared)?;
                // Who retired the version before that did not find it.
                self.vault.confirm_now().map_err(Refused::Shared)?;
                if !self.vault.is_readable(name, kid) {
                    return Err(Refused::Gone(name.to_owned()));
                }
            }
        }
        self.take_in(&[read]);
        Ok(())
    }

    /// Notes reads that the other daemons can find, whoever has told of them.
    pub fn take_in(&self, reads: &[SharedRead]) {
        for SharedRead { name, kid, client, at } in reads {
            self.note(name, client, *kid, *at);
            lock(&self.reads).tell(name, client, *kid, *at);
        }
    }

    /// The daemons that are away, and may have served something of which they could not tell.
    ///
    /// # Errors
    /// If they are not known.
    pub fn unheard(&self) -> Result<Vec<String>, Unavailable> {
        self.shared.as_ref().map_or(Ok(Vec::new()), |shared| shared.unheard())
    }

    /// Since when no read of whichever daemon is missing; none where this one has the vault for itself.
    pub(super) fn shared_since(&self) -> Option<Timestamp> {
        self.shared.as_ref().map(|shared| shared.since())
    }
}
