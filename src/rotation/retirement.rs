//! The end of a version whose secret has a program for it: external systems refuse it, and then it is destroyed.

use std::collections::BTreeSet;

use super::REASON;
use super::opened::OpenedVersion;
use super::phases::{NotRotated, damaged};
use super::retries::Work;
use super::rotator::{Claim, Rotator};
use crate::applier::{Action, Appliers};
use crate::audit::{Entry, Event};
use crate::vault::{Condition, Done, Duty, Operation, Order, Previous, Refused, VersionRef};

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
            // They are tried again together.
            if failed.contains(&name) {
                continue;
            }
            let Ok(claim) = self.claim(&name) else { continue };
            let entry = Entry { detail: Some(REASON.to_owned()), ..Entry::new(Event::DestroyVersion) };
            let kid = version.kid.of(&name);
            let retired = self.retire(appliers, &name, Some(&kid), &entry);
            let operation = Operation::Destroy { versions: vec![(name.clone(), version)] };
            let done = retired.and_then(|()| self.commit(operation, entry));
            self.note(Work::Retirement, &name, done.is_ok());
            match done {
                Ok(_) => log::info!("Destroyed {kid}, which the external system no longer accepts"),
                Err(why) => {
                    log::error!("{kid} was not destroyed: {why}");
                    failed.insert(name);
                }
            }
            drop(claim);
        }
    }

    /// Makes external systems refuse all versions of the secret but the current one, if there is a program for that. For
    /// [`Operation::Retire`], which destroys them; the claim, if there is one, is to be held until that is done. `entry` is the
    /// audit line of a failure.
    ///
    /// # Errors
    /// Says why not, and then none is to be destroyed; or that the secret is being rotated.
    pub fn retire_old(&self, name: &str, entry: &Entry) -> Result<Option<Claim<'_>>, NotRotated> {
        if !self.has(name) {
            return Ok(None);
        }
        let claim = self.claim(name)?;
        if let Some(appliers) = self.appliers().filter(|appliers| appliers.can(Action::Retire, name)) {
            self.retire(appliers, name, None, entry)?;
        }
        Ok(Some(claim))
    }

    /// What becomes of the versions before a new one, where they are revoked: where a program is to retire them first, they are
    /// not destroyed before that, but can be read no more.
    pub fn revoking(&self, name: &str) -> Previous {
        match self.appliers() {
            Some(appliers) if appliers.can(Action::Retire, name) => Previous::Ended,
            _ => Previous::Destroyed,
        }
    }

    /// Destroys the versions before `kid`, which has just been made of the claimed secret. Before that, it makes external
    /// systems refuse them, if there is a program for that. `entry` says who wants it.
    ///
    /// # Errors
    /// Says why not. The one that was replaced can be read no more, and is tried again later.
    pub fn revoke_old(&self, claim: &Claim, kid: &str, entry: &Entry) -> Result<Vec<Done>, NotRotated> {
        let name = claim.name();
        let Some(appliers) = self.appliers().filter(|appliers| appliers.can(Action::Retire, name)) else {
            return Ok(Vec::new());
        };
        let entry = Entry { event: Event::Retire, ..entry.clone() };
        let retired = self.retire(appliers, name, None, &entry);
        let done = retired.and_then(|()| {
            // A newer version must not have come in between: its grace is for those who have read this one.
            let condition = Condition { if_match: Some(vec![kid.to_owned()]), if_none_match: None };
            Ok(self.vault.commit(Order {
                operation: Operation::Retire { name: name.to_owned(), seen: None },
                condition,
                duty: Duty::Claim,
                entry,
            })?)
        });
        self.note(Work::Retirement, name, done.is_ok());
        if let Err(why) = &done {
            log::error!("The versions of {name} before {kid} were not destroyed: {why}");
        }
        done
    }

    /// Retires the version `kid`, or all that are not current, the oldest first.
    fn retire(&self, appliers: &Appliers, name: &str, kid: Option<&str>, entry: &Entry) -> Result<(), NotRotated> {
        let now = self.vault.now();
        let is_retired = |version: &VersionRef| kid.is_none_or(|kid| kid == version.kid);
        let (retired, others): (Vec<_>, Vec<_>) = self.vault.find_replaced(name).into_iter().partition(is_retired);
        // Those whose grace is over are retired themselves.
        let readable: Vec<VersionRef> = others.into_iter().filter(|version| version.expires_at > now).collect();
        for version in retired {
            let old = self.known(version)?;
            let current = self.current(name)?;
            if old.has_value_of(&current) || self.is_among(&old, &readable)? {
                // It is retired with the last version that has this value.
                continue;
            }
            let pending = self.vault.find_pending(name).map(|version| self.known(version)).transpose()?;
            if pending.is_some_and(|pending| old.has_value_of(&pending)) {
                // It may become the current one, or be discarded, and then nobody else would retire the value.
                return Err(Refused::Pending(name.to_owned()).into());
            }
            self.vault.still_claims(name)?;
            let retired = appliers.retire(name, old.told(), current.told());
            retired.map_err(|why| self.failed(name, Some(old.kid), entry, why))?;
        }
        Ok(())
    }

    /// Whether one of `versions` has the same value.
    fn is_among(&self, old: &OpenedVersion, versions: &[VersionRef]) -> Result<bool, NotRotated> {
        for version in versions {
            if old.opened.value() == self.vault.open(version).map_err(damaged)?.value() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
