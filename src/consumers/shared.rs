//! What the daemons that share a vault tell one another of reads: that a client has read a version, the first time that it does.

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::vault::{Kid, Seen, Unavailable};

/// That a client has read a version, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedRead {
    pub name: String,
    pub kid: Kid,
    pub client: String,
    pub at: Timestamp,
}

/// Where the daemons that share a vault note these.
pub trait SharedReads: Send + Sync {
    /// Since when no read is missing: those of all daemons are noted before their clients have the values.
    fn since(&self) -> Timestamp;

    /// Notes a read. From then on, each daemon finds it.
    ///
    /// # Errors
    /// If that is not known to be so. It may be all the same.
    fn note(&self, read: SharedRead) -> Result<(), Unavailable>;

    /// Notes a read as soon as that can be done, and does not wait for it.
    fn note_later(&self, read: SharedRead);

    /// All reads of a secret that were noted before this call, of whatever version. With what is returned, a change can be refused
    /// if there are more by then.
    ///
    /// # Errors
    /// If they are not known.
    fn of(&self, name: &str) -> Result<(Vec<SharedRead>, Seen), Unavailable>;

    /// The daemons that are away, and may have served something of which they could not tell.
    ///
    /// # Errors
    /// If they are not known.
    fn unheard(&self) -> Result<Vec<String>, Unavailable>;
}
