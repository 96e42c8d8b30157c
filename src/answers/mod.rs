//! The JSON answers of the API where a call succeeds: the daemon writes them, and the client commands read them.
//!
//! A field is written as it stands here, in this order. Where it is read, a field that is not known is passed over, for the
//! daemon may be a newer one; and a field that an older one does not have is optional. A field that is
//! here stays, in its form: the commands of today read it.
//!
//! Long lists are written item by item and read as a whole: their types take the list as a parameter. Errors are not here: a
//! command reads them as the fields that there are, and passes on also those that it does not know.

mod consumers;
mod daemon;
mod list;
mod rotation;
mod secret;
mod settings;
mod version;

pub use consumers::{Consumer, ConsumerList};
pub use daemon::{Clustered, Health, Rekeyed};
pub use list::{ListedSecret, SecretList};
pub use rotation::{PlannedVersion, Rotated, RotationPlan, RotationSchedule, ScheduledRotation};
pub use secret::{ConfiguredSecret, DeletedSecret, SecretValue};
pub use settings::SecretSettings;
pub use version::{ListedVersion, NewVersion, NewVersions, PendingVersion, Retired, VersionList, VersionMetadata};

#[cfg(test)]
mod tests;
