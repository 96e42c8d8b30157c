//! The end of a version whose secret has a program for it: what lies outside accepts it no more, and then it is destroyed.

use std::collections::BTreeSet;

use super::REASON;
use super::phases::{Known, NotRotated, damaged};
use super::retries::Work;
use super::rotator::{Claim, Rotator};
use crate::applier::{Action, Appliers};
use crate::audit::{Entry, Event};
use crate::vault::{Refused, Wish};

impl Rotator {
    /// Destroys those versions whose grace is over and which are to be retired before, as far as that succeeds. What does not
    /// is audited, logged and tried again later.
    pub(super) fn retire_expired(&self) {
        let Some(appliers) = self.appliers() else { return };
        let retiring = |name: &str| appliers.can(Action::Retire, name) && self.may_try(Work::Retirement, name);
        let mut failed = BTreeSet::new();
        for (name, version) in self.vault.expired_versions().into_iter().filter(|(name, _)| retiring(name)) {
            if self.is_stopping() {
                return;
            }
            // None goes before an older one.
            if failed.contains(&name) {
                continue;
            }
            let Some(claim) = self.claim(&name) else { continue };
            let entry = Entry { detail: Some(REASON.to_owned()), ..Entry::new(Event::DestroyVersion) };
            let kid = version.kid.of(&name);
            let retired = self.retire(appliers, &name, Some(&kid), &entry);
            let wish = Wish::Destroy { versions: vec![(name.clone(), version)] };
            let done = retired.and_then(|()| self.commit(wish, entry));
            self.note(Work::Retirement, &name, done.is_ok());
            match done {
                Ok(_) => log::info!("Destroyed {kid}, which is accepted outside no more"),
                Err(why) => {
                    log::error!("{kid} was not destroyed: {why}");
                    failed.insert(name);
                }
            }
            drop(claim);
        }
    }

    /// Makes what lies outside accept no version of the secret any more but the current one, if there is a program for that.
    /// For [`Wish::Retire`], which destroys them; the claim, if there is one, is to be held until that is done. `entry` is the
    /// audit line of a failure.
    ///
    /// # Errors
    /// Says why not, and then none is to be destroyed; or that the secret is being rotated.
    pub fn retire_old(&self, name: &str, entry: &Entry) -> Result<Option<Claim<'_>>, NotRotated> {
        if !self.has(name) {
            return Ok(None);
        }
        let claim = self.claim(name).ok_or_else(|| Refused::Pending(name.to_owned()))?;
        if let Some(appliers) = self.appliers().filter(|appliers| appliers.can(Action::Retire, name)) {
            self.retire(appliers, name, None, entry)?;
        }
        Ok(Some(claim))
    }

    /// Retires the version `kid`, or all that are not current, the oldest first.
    fn retire(&self, appliers: &Appliers, name: &str, kid: Option<&str>, entry: &Entry) -> Result<(), NotRotated> {
        let replaced = self.vault.find_replaced(name);
        for sight in replaced.into_iter().filter(|sight| kid.is_none_or(|kid| kid == sight.kid)) {
            let opened = self.vault.open(&sight).map_err(damaged)?;
            let (old, current) = (Known { kid: sight.kid, opened }, self.current(name)?);
            // The same value again is no old one.
            if old.opened.value() != current.opened.value() {
                let retired = appliers.retire(name, old.told(), current.told());
                retired.map_err(|why| self.failed(name, Some(old.kid), entry, why))?;
            }
        }
        Ok(())
    }
}
