//! What several daemons do about a rotation in the middle of which one of them was cut off.
//!
//! What a program does outside cannot be taken back by whoever goes on. So whoever goes on first lets the time pass that the
//! program of the other daemon has, and then decides by what external systems accept. A daemon whose own program has ended too
//! late, because it or its host stood still meanwhile, puts right itself what that program may have undone.

use std::time::{Duration, Instant};

use super::opened::OpenedVersion;
use super::phases::NotRotated;
use super::retries::Work;
use super::rotator::Rotator;
use crate::applier::{Appliers, Verdict};
use crate::audit::{Entry, Event};
use crate::vault::Refused;

impl Rotator {
    /// The secrets whose pending version is for this daemon to decide on: where several daemons share the vault, those that
    /// nobody has claimed for as long as a program of the daemon that has prepared it may still run.
    pub(super) fn to_decide(&self) -> Vec<String> {
        let pending = self.vault.pending().into_iter().map(|(name, version)| {
            let kid = version.kid.of(&name);
            (name, kid)
        });
        let pending: Vec<_> = pending.collect();
        self.left().keep(&pending);
        let may_decide = |(name, kid): &(String, String)| self.is_left(name, kid);
        pending.into_iter().filter(may_decide).map(|(name, _)| name).collect()
    }

    fn is_left(&self, name: &str, kid: &str) -> bool {
        let Some(lease) = self.vault.lease() else { return true };
        if self.left().is_ours(kid) {
            return true;
        }
        if self.claim(name).is_err() {
            self.left().claimed(name);
            return false;
        }
        let program = self.appliers().map_or(Duration::ZERO, |appliers| appliers.time_limit(name));
        self.left().found(name, kid, Instant::now()) >= lease + program
    }

    /// A program of this daemon has applied a version after another daemon may have decided on it.
    pub(super) fn doubt(&self, name: &str, applied: OpenedVersion) {
        self.doubtful().push((name.to_owned(), applied));
        self.note(Work::Repair, name, false);
    }

    /// Makes external systems accept again what the vault serves, where a program of this daemon has ended too late.
    pub(super) fn repair(&self) {
        let (now, later) = std::mem::take(&mut *self.doubtful())
            .into_iter()
            .partition::<Vec<_>, _>(|(name, _)| !self.is_stopping() && self.may_try(Work::Repair, name));
        self.doubtful().extend(later);
        for (name, applied) in now {
            let is_settled = match self.try_repair(&name, &applied) {
                Ok(is_settled) => is_settled,
                Err(why) => {
                    log::error!(
                        "It is not certain that the external system accepts the current value of {name}: {why}"
                    );
                    false
                }
            };
            self.note(Work::Repair, &name, is_settled);
            if !is_settled {
                self.doubtful().push((name, applied));
            }
        }
    }

    /// Returns whether there is nothing to repair any more.
    fn try_repair(&self, name: &str, applied: &OpenedVersion) -> Result<bool, NotRotated> {
        let Some(appliers) = self.appliers() else { return Ok(true) };
        // Whoever has claimed it may still come to accept the value.
        let Ok(_claim) = self.claim(name) else { return Ok(false) };
        if self.vault.find_pending(name).is_some() {
            return Ok(false);
        }
        let current = match self.current(name) {
            Err(NotRotated::Vault(Refused::NotFound(_))) => return Ok(true),
            current => current?,
        };
        if current.has_value_of(applied) {
            return Ok(true);
        }
        let entry = Entry::new(Event::Rotate);
        match self.verified(appliers, name, &current)? {
            Verdict::Works => return Ok(true),
            Verdict::Unknown(why) => return Err(NotRotated::ExternalSystem(why)),
            Verdict::Refused => {}
        }
        let kid = Some(current.kid.clone());
        let applied = appliers.apply(name, applied.told(), current.told());
        applied.map_err(|why| self.failed(name, kid.clone(), &entry, why))?;
        let is_accepted = self.verified(appliers, name, &current)? == Verdict::Works;
        if is_accepted {
            let what = "a value that was decided against was applied too late, and the current one was applied again";
            log::warn!("{name}: {what}");
            let _ = self.failed(name, kid, &entry, what.to_owned());
        }
        Ok(is_accepted)
    }

    fn verified(&self, appliers: &Appliers, name: &str, version: &OpenedVersion) -> Result<Verdict, Refused> {
        self.vault.still_claims(name)?;
        Ok(appliers.verify(name, version.told()))
    }
}
