//! The rotation of secrets with appliers, by one thread at a time for each.
//!
//! A rotation that was not finished comes before anything else, and one that has failed is tried again later.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Schedule;
use super::left::Left;
use super::opened::OpenedVersion;
use super::retries::{Retries, Work};
use crate::applier::Appliers;
use crate::audit::{AuditLog, Entry, Event};
use crate::base::sync::lock;
use crate::vault::{Description, Previous, Refused, Rotation, SharedClaim, Vault};

/// How long it is before what is due is looked at again.
const BREATH: Duration = Duration::from_secs(1);

/// How long a rotation whose program was killed may take to end.
const SETTLING: Duration = Duration::from_secs(5);

/// Rotates secrets with appliers, each by one thread at a time.
pub struct Rotator {
    pub vault: Arc<Vault>,
    pub(super) audit: Arc<AuditLog>,
    pub(super) appliers: Option<Appliers>,
    state: Mutex<State>,
    /// Something in `state` has changed.
    changed: Condvar,
    left: Mutex<Left>,
    doubtful: Mutex<Doubtful>,
}

#[derive(Default)]
struct State {
    is_stopping: bool,
    /// Who sleeps is to look again at what is to be done.
    is_woken: bool,
    /// The secrets that are being rotated, or whose old versions are being retired.
    under_way: BTreeSet<String>,
    retries: Retries,
}

/// Versions that a program of this daemon may have applied too late, each with its secret.
type Doubtful = Vec<(String, OpenedVersion)>;

/// A secret that nobody else rotates as long as this lives.
pub struct Claim<'a> {
    rotator: &'a Rotator,
    name: String,
    /// What keeps other daemons from it.
    shared: Option<SharedClaim>,
}

impl Claim<'_> {
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        // Whoever claims it here next must not find that another daemon's.
        drop(self.shared.take());
        self.rotator.state().under_way.remove(&self.name);
        self.rotator.changed.notify_all();
    }
}

impl Rotator {
    /// For the secrets of `vault`, with these appliers.
    pub fn new(vault: Arc<Vault>, audit: Arc<AuditLog>, appliers: Option<Appliers>) -> Self {
        if let Some(appliers) = &appliers {
            vault.hold_expired(appliers.retiring());
        }
        Self {
            vault,
            audit,
            appliers,
            state: Mutex::default(),
            changed: Condvar::new(),
            left: Mutex::default(),
            doubtful: Mutex::default(),
        }
    }

    /// Whether the secret has appliers.
    pub fn has(&self, name: &str) -> bool {
        self.appliers.as_ref().is_some_and(|appliers| appliers.has(name))
    }

    /// How many secrets with appliers there are whose value the schedule replaces.
    pub fn auto_with_appliers(&self) -> u64 {
        let names = self.appliers.iter().flat_map(Appliers::names);
        let described = names.filter_map(|name| self.vault.describe(name));
        described.filter(|described| described.current.rotation == Rotation::Auto).count() as u64
    }

    pub fn appliers(&self) -> Option<&Appliers> {
        self.appliers.as_ref()
    }

    /// Keeps everybody else from rotating the secret.
    ///
    /// # Errors
    /// [`Refused::Pending`] if somebody rotates it already, at this daemon or another one, or nothing is begun any more.
    pub fn claim(&self, name: &str) -> Result<Claim<'_>, Refused> {
        let pending = || Refused::Pending(name.to_owned());
        let mut state = self.state();
        if state.is_stopping || !state.under_way.insert(name.to_owned()) {
            return Err(pending());
        }
        drop(state);
        let mut claim = Claim { rotator: self, name: name.to_owned(), shared: None };
        claim.shared = Some(self.vault.claim(name)?.ok_or_else(pending)?);
        Ok(claim)
    }

    /// Whether somebody could [claim](Self::claim) the secret now, as far as this daemon knows.
    pub fn is_free(&self, name: &str) -> bool {
        let state = self.state();
        !state.is_stopping && !state.under_way.contains(name)
    }

    /// Finds out what is to become of a version that is pending, from before a crash or because it could not be told.
    fn resolve(&self, name: &str) {
        let Ok(claim) = self.claim(name) else { return };
        if !self.has(name) {
            log::error!(
                "The rotation of {name} is not finished, and it is unknown which of its two values works, because \
                 [rotation.{name}] is no longer configured: put it back, or store the value that works with POST \
                 /secret"
            );
            return self.note(Work::Rotation, name, false);
        }
        let entry = Entry { detail: Some("unfinished".to_owned()), ..Entry::new(Event::Rotate) };
        let decided = self.decide(name, Err(None), Previous::Kept, &entry);
        // One that was discarded is decided too.
        let is_decided = self.vault.find_pending(name).is_none();
        self.note(Work::Rotation, name, is_decided);
        match decided {
            Ok(_) => log::info!("Finished the rotation of {name}: the external system accepts the new value"),
            Err(why) if is_decided => log::warn!("The rotation of {name} was not finished, the old value stays: {why}"),
            Err(why) => log::error!("The rotation of {name} is not finished: {why}"),
        }
        drop(claim);
    }

    /// Goes on with what was not finished, and tries again what has failed, as far as it is time for that.
    pub fn tend(&self, schedule: &Schedule) {
        self.repair();
        for name in self.to_decide() {
            if self.may_try(Work::Rotation, &name) && !self.is_stopping() {
                self.resolve(&name);
            }
        }
        let (again, others): (Vec<_>, Vec<_>) =
            self.to_try(Work::Rotation).into_iter().partition(|name| self.is_planned(name, schedule));
        self.rotate_due(&again);
        // These are no longer due, or will be at another time.
        others.iter().for_each(|name| self.note(Work::Rotation, name, true));
        let to_retire = self.to_try(Work::Retirement);
        // What another daemon could not retire, this one finds there.
        if !to_retire.is_empty() || self.vault.is_shared() {
            self.retire_expired();
        }
        for name in to_retire.iter().filter(|name| self.may_try(Work::Retirement, name)) {
            // There is nothing of it to retire any more.
            self.note(Work::Retirement, name, true);
        }
    }

    /// Whether the schedule would rotate the secret now.
    fn is_planned(&self, name: &str, schedule: &Schedule) -> bool {
        let (now, described) = (self.vault.now(), self.vault.describe(name));
        described.is_some_and(|Description { current, .. }| {
            current.rotation == Rotation::Auto
                && current.is_due(now)
                && schedule.scheduled_at(name, &current, now) <= now
        })
    }

    /// Rotates those that are still due, and for which it is not too early after a failure.
    pub(super) fn rotate_due(&self, names: &[String]) {
        let entry = Entry { detail: Some(super::REASON.to_owned()), ..Entry::new(Event::Rotate) };
        for name in names.iter().take_while(|_| !self.is_stopping()) {
            if self.may_try(Work::Rotation, name)
                && self.vault.find_pending(name).is_none()
                && let Ok(claim) = self.claim(name)
            {
                // It is logged and audited, and tried again.
                let _ = self.rotate(&claim, true, false, &entry);
            }
        }
    }

    pub(super) fn may_try(&self, work: Work, name: &str) -> bool {
        self.state().retries.may_try(work, name, self.vault.now())
    }

    fn to_try(&self, work: Work) -> Vec<String> {
        self.state().retries.due(work, self.vault.now())
    }

    pub(super) fn note(&self, work: Work, name: &str, succeeded: bool) {
        self.state().retries.note(work, name, succeeded, self.vault.now());
        self.changed.notify_all();
    }

    /// Tries nothing again that has failed here: the leader finds it by itself. What only this daemon knows of, it repairs.
    pub(super) fn leave_to_the_leader(&self) {
        self.state().retries.keep(Work::Repair);
        self.repair();
    }

    /// Ends a [sleep](Self::sleep): this daemon has come to lead.
    pub fn wake(&self) {
        self.state().is_woken = true;
        self.changed.notify_all();
    }

    /// Sleeps for so long, or until there is something to try again or everything is to end.
    pub fn sleep(&self, longest: Duration) {
        let begun = Instant::now();
        let mut state = self.state();
        while !state.is_stopping && !std::mem::take(&mut state.is_woken) {
            let next = state.retries.left(self.vault.now());
            // Somebody else may be at what is due.
            let next = next.map(|next| begun + BREATH.max(begun.elapsed() + next));
            let until = next.unwrap_or(begun + longest).min(begun + longest);
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.state().is_stopping
    }

    /// Begins nothing any more, and lets what is under way end within `grace`; what does not is cut off, and decided on at
    /// the next start.
    pub fn stop(&self, grace: Duration) {
        self.state().is_stopping = true;
        self.changed.notify_all();
        let Some(appliers) = &self.appliers else { return };
        if !self.is_idle_within(grace) {
            log::warn!("Rotation interrupted; it resumes at the next start");
            appliers.cut_off();
            self.is_idle_within(SETTLING);
        }
        appliers.end();
    }

    fn is_idle_within(&self, grace: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), grace, |state| !state.under_way.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.under_way.is_empty()
    }

    /// Whether the work on the secret has failed, and was not done since.
    pub(super) fn has_failed(&self, work: Work, name: &str) -> bool {
        self.state().retries.has_failed(work, name)
    }

    pub(super) fn left(&self) -> MutexGuard<'_, Left> {
        lock(&self.left)
    }

    pub(super) fn doubtful(&self) -> MutexGuard<'_, Doubtful> {
        lock(&self.doubtful)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}
