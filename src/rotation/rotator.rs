//! The way of a secret with appliers to its new value: prepared, applied outside, verified, and then made current.
//!
//! The new value is on the disk before anything outside is told of it. So whatever breaks off in the middle, one of the two
//! values that are there works outside, and verify tells which.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Schedule;
use super::retries::{Retries, Work};
use crate::applier::{Appliers, Told, Verdict};
use crate::audit::{AuditLog, Entry, Event, Outcome};
use crate::failure::Failure;
use crate::sync::lock;
use crate::vault::{Condition, Description, Done, Opened, Order, Refused, Rotation, Vault, Wish};

/// How long it is before what is due is looked at again.
const BREATH: Duration = Duration::from_secs(1);

/// How long a rotation whose program was killed may take to end.
const SETTLING: Duration = Duration::from_secs(5);

/// Rotates secrets with appliers, each by one thread at a time.
pub struct Rotator {
    pub(super) vault: Arc<Vault>,
    audit: Arc<AuditLog>,
    pub(super) appliers: Option<Appliers>,
    state: Mutex<State>,
    /// Something in `state` has changed.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_stopping: bool,
    /// The secrets that are being rotated, or whose old versions are being retired.
    under_way: BTreeSet<String>,
    retries: Retries,
}

/// A secret that nobody else rotates as long as this lives.
pub struct Claim<'a> {
    rotator: &'a Rotator,
    name: String,
}

impl Claim<'_> {
    /// The secret.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.rotator.state().under_way.remove(&self.name);
        self.rotator.changed.notify_all();
    }
}

/// Why a secret was not rotated. It is audited and logged.
#[derive(Debug)]
pub enum NotRotated {
    /// What lies outside could not be changed, or would not say what it accepts: why, without any value.
    Outside(String),
    /// The vault has refused.
    Vault(Refused),
}

impl From<Refused> for NotRotated {
    fn from(refused: Refused) -> Self {
        Self::Vault(refused)
    }
}

impl std::fmt::Display for NotRotated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Outside(why) => f.write_str(why),
            Self::Vault(refused) => refused.fmt(f),
        }
    }
}

/// A version with its value.
pub(super) struct Known {
    pub kid: String,
    pub opened: Opened,
}

impl Known {
    pub fn told(&self) -> Told<'_> {
        Told { kid: Some(&self.kid), value: self.opened.value() }
    }
}

impl Rotator {
    /// For the secrets of `vault`, with these appliers.
    pub fn new(vault: Arc<Vault>, audit: Arc<AuditLog>, appliers: Option<Appliers>) -> Self {
        if let Some(appliers) = &appliers {
            vault.hold_expired(appliers.retiring());
        }
        Self { vault, audit, appliers, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Whether the secret has appliers.
    pub fn has(&self, name: &str) -> bool {
        self.appliers.as_ref().is_some_and(|appliers| appliers.has(name))
    }

    /// The appliers, if there are any.
    pub fn appliers(&self) -> Option<&Appliers> {
        self.appliers.as_ref()
    }

    /// Keeps everybody else from rotating the secret; none if somebody does already, or nothing is begun any more.
    pub fn claim(&self, name: &str) -> Option<Claim<'_>> {
        let mut state = self.state();
        let is_free = !state.is_stopping && state.under_way.insert(name.to_owned());
        is_free.then(|| Claim { rotator: self, name: name.to_owned() })
    }

    /// Gives the secret a new version, which what lies outside accepts. `entry` is the audit line, but for the secret, the
    /// version and how it ended. With `only_due`, it is passed over if it is not due, or not the schedule's to replace.
    ///
    /// Returns whether it was rotated.
    ///
    /// # Errors
    /// Says why not; the version before is then still the current one.
    pub fn rotate(&self, claim: &Claim, only_due: bool, entry: &Entry) -> Result<bool, NotRotated> {
        let name = claim.name();
        let rotated = self.try_rotate(name, only_due, entry);
        self.note(Work::Rotation, name, rotated.is_ok());
        match rotated {
            Ok(true) => log::info!("Rotated {name}, whose new value is accepted outside"),
            Ok(false) => {}
            Err(why) => {
                log::error!("{name} was not rotated: {why}");
                return Err(self.audited(name, entry, why));
            }
        }
        rotated
    }

    /// A failure, once it is audited if it was not.
    fn audited(&self, name: &str, entry: &Entry, why: NotRotated) -> NotRotated {
        match why {
            NotRotated::Outside(_) | NotRotated::Vault(Refused::Audit { .. }) => why,
            NotRotated::Vault(refused) => match self.failed(name, None, entry, refused.to_string()) {
                NotRotated::Outside(_) => refused.into(),
                not_audited => not_audited,
            },
        }
    }

    fn try_rotate(&self, name: &str, only_due: bool, entry: &Entry) -> Result<bool, NotRotated> {
        let Some(appliers) = &self.appliers else { return Ok(false) };
        let described = match self.vault.describe(name) {
            None if only_due => return Ok(false),
            described => described.ok_or_else(|| Refused::NotFound(name.to_owned()))?,
        };
        let current = described.current;
        if only_due && (current.rotation != Rotation::Auto || !current.is_due(self.vault.now())) {
            return Ok(false);
        }
        if described.pending.is_some() {
            return Err(Refused::Pending(name.to_owned()).into());
        }
        let old = self.current(name)?;
        let generator = current.generator.as_deref().cloned().unwrap_or_default();
        let prepared = generator.generate().map_err(|why| why.to_string());
        let prepared = prepared.and_then(|generated| appliers.prepare(name, old.told(), generated));
        let value = prepared.map_err(|why| self.failed(name, None, entry, why))?;
        let wish = Wish::Prepare { name: name.to_owned(), value };
        self.commit(wish, Entry { event: Event::PrepareRotation, ..entry.clone() })?;
        let new = self.pending(name)?;
        if self.current(name)?.kid != old.kid {
            // Nothing outside was told of it.
            return Err(self.discard(name, &new.kid, entry, "another value was set meanwhile".to_owned()));
        }
        let applied = appliers.apply(name, old.told(), new.told());
        drop((old, new));
        self.decide(name, applied.map_err(Some), entry)
    }

    /// Makes the version that is pending the current one, or destroys it, by what is accepted outside. `applied` is what came
    /// of applying it, or `Err(None)` if that is not known.
    fn decide(&self, name: &str, applied: Result<(), Option<String>>, entry: &Entry) -> Result<bool, NotRotated> {
        let Some(appliers) = &self.appliers else { return Ok(false) };
        let new = self.pending(name)?;
        let is_known = applied != Err(None);
        let verified = appliers.verify(name, new.told());
        let why = match (applied, &verified) {
            (Ok(()) | Err(None), Verdict::Works) => return self.promote(name, &new.kid, entry.clone()),
            (Err(Some(why)), _) => why,
            (_, Verdict::Unknown(why)) => why.clone(),
            (_, Verdict::Refused) => "verify: the new value does not work".to_owned(),
        };
        match (appliers.verify(name, self.current(name)?.told()), verified) {
            (Verdict::Works, _) => Err(self.discard(name, &new.kid, entry, why)),
            (Verdict::Refused, Verdict::Works) => {
                let detail = format!("{why}; but the new value works, and the old one does not");
                log::warn!("Rotation of {name}: {detail}");
                self.promote(name, &new.kid, with(entry, &detail))
            }
            _ => {
                let why = format!("{why}; neither value is known to work, so the new one stays pending");
                // It is tried again and again, and written down once.
                if !is_known && self.state().retries.has_failed(Work::Rotation, name) {
                    return Err(NotRotated::Outside(why));
                }
                Err(self.failed(name, Some(new.kid), entry, why))
            }
        }
    }

    /// Finds out what is to become of a version that is pending, from before a crash or because it could not be told.
    fn resolve(&self, name: &str) {
        let Some(claim) = self.claim(name) else { return };
        if !self.has(name) {
            log::error!(
                "The rotation of {name} is not finished, and nothing tells which of its two values works, for \
                 [rotation.{name}] is no longer configured: put it back, or store the value that works with POST /secret"
            );
            return self.note(Work::Rotation, name, false);
        }
        let entry = Entry { detail: Some("unfinished".to_owned()), ..Entry::new(Event::Rotate) };
        let decided = self.decide(name, Err(None), &entry);
        // One that was discarded is decided too.
        let is_decided = self.vault.find_pending(name).is_none();
        self.note(Work::Rotation, name, is_decided);
        match decided {
            Ok(_) => log::info!("Finished the rotation of {name}: the new value is accepted outside"),
            Err(why) if is_decided => log::warn!("The rotation of {name} was not finished, the old value stays: {why}"),
            Err(why) => log::error!("The rotation of {name} is not finished: {why}"),
        }
        drop(claim);
    }

    /// Goes on with what was not finished, and tries again what has failed, as far as it is time for that.
    pub fn tend(&self, schedule: &Schedule) {
        for (name, _) in self.vault.pending() {
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
        if !to_retire.is_empty() {
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
                && let Some(claim) = self.claim(name)
            {
                // It is logged and audited, and tried again.
                let _ = self.rotate(&claim, true, &entry);
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

    /// Sleeps for so long, or until there is something to try again or everything is to end.
    pub fn sleep(&self, longest: Duration) {
        let begun = Instant::now();
        let mut state = self.state();
        while !state.is_stopping {
            let now = self.vault.now();
            let next = state.retries.next().map(|next| Duration::from_nanos(next.nanos().saturating_sub(now.nanos())));
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

    /// Whether everything is to end.
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
            log::warn!("A rotation was cut off, it is gone on with at the next start");
            appliers.cut_off();
            self.is_idle_within(SETTLING);
        }
        appliers.end();
    }

    fn is_idle_within(&self, grace: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), grace, |state| !state.under_way.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.under_way.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn commit(&self, wish: Wish, entry: Entry) -> Result<Vec<Done>, NotRotated> {
        Ok(self.vault.commit(Order { wish, condition: Condition::default(), entry })?)
    }

    fn promote(&self, name: &str, kid: &str, entry: Entry) -> Result<bool, NotRotated> {
        self.commit(Wish::Promote { name: name.to_owned(), kid: kid.to_owned() }, entry).map(|_| true)
    }

    fn discard(&self, name: &str, kid: &str, entry: &Entry, why: String) -> NotRotated {
        let wish = Wish::Discard { name: name.to_owned(), kid: kid.to_owned() };
        let entry = Entry { result: Outcome::Error, ..with(entry, &why) };
        self.commit(wish, entry).err().unwrap_or(NotRotated::Outside(why))
    }

    /// Audits that it failed, where the vault has nothing to change.
    pub(super) fn failed(&self, name: &str, kid: Option<String>, entry: &Entry, why: String) -> NotRotated {
        let entry = Entry { secret_name: Some(name.to_owned()), kid, result: Outcome::Error, ..with(entry, &why) };
        match self.audit.write(entry) {
            Ok(_) => NotRotated::Outside(why),
            Err(failure) => Refused::Audit { applied: false, why: failure.to_string() }.into(),
        }
    }

    pub(super) fn current(&self, name: &str) -> Result<Known, NotRotated> {
        let sight = self.vault.find(name, None).map_err(|_| Refused::NotFound(name.to_owned()))?;
        let opened = self.vault.open(&sight).map_err(damaged)?;
        Ok(Known { kid: sight.kid, opened })
    }

    fn pending(&self, name: &str) -> Result<Known, NotRotated> {
        let sight = self.vault.find_pending(name).ok_or_else(|| Refused::NotPending(name.to_owned()))?;
        let opened = self.vault.open(&sight).map_err(damaged)?;
        Ok(Known { kid: sight.kid, opened })
    }
}

pub(super) fn damaged(why: Failure) -> NotRotated {
    NotRotated::Outside(why.to_string())
}

/// The entry with more words in its detail.
pub(super) fn with(entry: &Entry, words: &str) -> Entry {
    let detail = match &entry.detail {
        Some(detail) => format!("{detail}; {words}"),
        None => words.to_owned(),
    };
    Entry { detail: Some(detail), ..entry.clone() }
}
