//! Rollback of a secret with appliers.
//!
//! The value of an older version is applied to the external system, verified, and then made current, as a new value is.

use super::phases::NotRotated;
use super::retries::Work;
use super::rotator::Rotator;
use crate::audit::Entry;
use crate::vault::{Condition, Done, Operation, Previous};

impl Rotator {
    /// Gives the secret a new version with the value of the older one called `kid`, once external systems accept it. `entry`
    /// is the audit line, but for the version and how it ended.
    ///
    /// # Errors
    /// Says why not; the version before is then still the current one. What the vault refuses is not audited yet.
    pub fn roll_back(
        &self,
        name: &str,
        kid: &str,
        condition: Condition,
        entry: &Entry,
    ) -> Result<Vec<Done>, NotRotated> {
        // Held until all is decided. What cannot be done is told as that, and not as a rotation under way or as what an applier
        // says of it. Nothing that was sent is logged before: from here on, `kid` is that of a version.
        let claim = self.claim(name);
        self.vault.foresee(operation(name, kid), condition.clone())?;
        let _claim = claim?;
        let done = self.try_roll_back(name, kid, condition, entry);
        match &done {
            Ok(_) => {
                self.note(Work::Rotation, name, true);
                log::info!("Rolled {name} back to the value of {kid}, which the external system accepts");
            }
            Err(why) => {
                // Nobody rolls back once more by himself; what stays pending is decided on as after a rotation.
                if self.vault.find_pending(name).is_some() {
                    self.note(Work::Rotation, name, false);
                }
                log::error!("{name} was not rolled back to {kid}: {why}");
            }
        }
        done
    }

    fn try_roll_back(
        &self,
        name: &str,
        kid: &str,
        condition: Condition,
        entry: &Entry,
    ) -> Result<Vec<Done>, NotRotated> {
        self.check_appliers(name, entry)?;
        self.replace(self.current(name)?, operation(name, kid), condition, Previous::Kept, entry)
    }
}

fn operation(name: &str, kid: &str) -> Operation {
    Operation::RollBack { name: name.to_owned(), kid: kid.to_owned(), is_prepared: true }
}
