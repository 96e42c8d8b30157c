//! What each kind of order comes to: whether it is refused, and else as which changes it is carried out.

use std::sync::{Arc, Mutex};

use super::overlay::Overlay;
use super::planned::{Planned, Value};
use crate::audit::Event;
use crate::base::clock::Timestamp;
use crate::base::name::is_for_new;
use crate::base::secret::Plaintext;
use crate::generator::Generator;
use crate::vault::kid::Kid;
use crate::vault::log::change::Change;
use crate::vault::log::record::Sealed;
use crate::vault::order::{Condition, New, Operation, Order, Previous, Refused};
use crate::vault::settings::{Patch, Settings};
use crate::vault::state::{Missing, State, StoredVersion};
use crate::vault::version::{Lifetimes, Rotation, Version};

pub struct Planner<'a, 'o> {
    overlay: Overlay<'a>,
    now: Timestamp,
    lifetimes: Lifetimes,
    /// Which order is being planned, from 0.
    order: usize,
    changes: Vec<Planned<'o>>,
}

impl<'a, 'o> Planner<'a, 'o> {
    pub fn new(state: &'a Mutex<State>, now: Timestamp, lifetimes: Lifetimes) -> Self {
        Self { overlay: Overlay::new(state), now, lifetimes, order: 0, changes: Vec::new() }
    }

    /// Plans `order`, the one with this number, counted from 0.
    ///
    /// # Errors
    /// Says why it is refused; nothing is then planned for it.
    pub fn plan(&mut self, index: usize, order: &'o Order) -> Result<(), Refused> {
        let condition = &order.condition;
        self.order = index;
        match &order.operation {
            Operation::Put { versions } => self.put_all(versions, condition)?,
            Operation::Configure { name, patch } => {
                self.check([name.as_str()], condition)?;
                self.must_exist(name)?;
                self.check_room(name, patch)?;
                self.configure(name, patch);
            }
            Operation::Prepare { name, value } => self.prepare(name, value)?,
            Operation::RollBack { name, kid, is_prepared } => {
                self.check([name.as_str()], condition)?;
                self.roll_back(name, kid, *is_prepared)?;
            }
            Operation::Promote { name, kid, previous } => self.promote(name, kid, *previous)?,
            Operation::Discard { name, kid } => {
                let kid = self.pending(name, kid)?.version.kid;
                self.add(self.planned(Change::Destroy { name: name.clone(), kid }));
            }
            Operation::Delete { name } => {
                self.check([name.as_str()], condition)?;
                self.must_exist(name)?;
                let destroys = self.overlay.with_older(name).versions.len();
                self.add(Planned { destroys, ..self.planned(Change::Delete { name: name.clone() }) });
            }
            Operation::Rotate { names, only_due, previous } => {
                if !only_due {
                    names.iter().try_for_each(|name| self.must_exist(name))?;
                }
                names.iter().for_each(|name| self.rotate(name, *only_due, *previous));
            }
            Operation::Destroy { versions } => {
                versions.iter().for_each(|(name, version)| self.destroy_expired(name, version.kid));
            }
            Operation::Retire { name, .. } => {
                self.check([name.as_str()], condition)?;
                self.must_exist(name)?;
                self.destroy_old(name);
            }
        }
        Ok(())
    }

    /// The changes, in their order, and what the state will be.
    pub fn finish(self) -> (Vec<Planned<'o>>, Overlay<'a>) {
        (self.changes, self.overlay)
    }

    fn planned(&self, change: Change) -> Planned<'o> {
        Planned { order: self.order, change, value: Value::None, destroys: 0, replaces: None, event: None }
    }

    /// What comes behind it sees it as made.
    fn add(&mut self, planned: Planned<'o>) {
        self.overlay.apply(planned.change.clone());
        self.changes.push(planned);
    }

    fn check<'n>(&mut self, names: impl IntoIterator<Item = &'n str>, condition: &Condition) -> Result<(), Refused> {
        let mut failed = Vec::new();
        for name in names {
            let current = self.current(name).map(|current| current.version.kid.of(name));
            if !condition.holds(current.as_deref()) {
                failed.push(name.to_owned());
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(Refused::PreconditionFailed(failed)) }
    }

    fn must_exist(&mut self, name: &str) -> Result<(), Refused> {
        self.current(name).map(|_| ()).ok_or_else(|| Refused::NotFound(name.to_owned()))
    }

    fn current(&mut self, name: &str) -> Option<&StoredVersion<u64>> {
        self.overlay.secret(name).versions.back()
    }

    fn put_all(&mut self, versions: &'o [New], condition: &Condition) -> Result<(), Refused> {
        if let Some(New { name, .. }) = versions.iter().find(|new| !self.may_have(&new.name)) {
            return Err(Refused::Unnameable(name.clone()));
        }
        self.check(versions.iter().map(|new| new.name.as_str()), condition)?;
        for New { name, patch, .. } in versions {
            self.check_room(name, patch)?;
        }
        for New { name, value, rotation, generator, patch, previous } in versions {
            let end = self.end(name, patch, *previous);
            let version = self.version(name, patch, *rotation, generator.clone().map(Box::new));
            self.make_current(name, version, Value::Given(value), end);
            self.configure(name, patch);
        }
        Ok(())
    }

    /// Whether there is a secret of this name, or may be.
    fn may_have(&mut self, name: &str) -> bool {
        is_for_new(name) || self.current(name).is_some()
    }

    fn check_room(&mut self, name: &str, patch: &Patch) -> Result<(), Refused> {
        let fits = patch.fits(self.overlay.secret(name).settings().unwrap_or(&Settings::default()));
        if fits { Ok(()) } else { Err(Refused::TooManyLabels(name.to_owned())) }
    }

    fn rotate(&mut self, name: &str, only_due: bool, previous: Previous) {
        let now = self.now;
        let Some(StoredVersion { version: current, .. }) = self.current(name) else { return };
        if only_due && (current.rotation != Rotation::Auto || current.expires_at > now) {
            return;
        }
        let (rotation, generator) = (current.rotation, current.next_generator());
        let end = self.end(name, &Patch::default(), previous);
        // What it was made by is told of it, also where that is the default: nobody has supplied it.
        let version = self.version(name, &Patch::default(), rotation, Some(Box::new(generator.clone())));
        self.make_current(name, version, Value::Generated(generator), end);
    }

    /// What becomes of the versions before one that is made now and comes with `patch`.
    fn end(&mut self, name: &str, patch: &Patch, previous: Previous) -> PreviousFate {
        let settings = self.overlay.secret(name).settings();
        let until = match previous {
            Previous::Kept => {
                self.now.plus_days(patch.grace_days(settings.unwrap_or(&Settings::default()), self.lifetimes))
            }
            Previous::Ended | Previous::Destroyed => self.now,
        };
        PreviousFate { until, destroys: previous == Previous::Destroyed }
    }

    /// A version made now that comes with `patch`, with an id that was never used.
    fn version(&mut self, name: &str, patch: &Patch, rotation: Rotation, generator: Option<Box<Generator>>) -> Version {
        let settings = self.overlay.secret(name).settings();
        let days = patch.rotation_days(settings.unwrap_or(&Settings::default()), self.lifetimes);
        let kid = self.overlay.unused_kid(name, self.now);
        Version { kid, created_at: self.now, expires_at: self.now.plus_days(days), rotation, generator }
    }

    fn make_current(&mut self, name: &str, version: Version, value: Value<'o>, end: PreviousFate) {
        let secret = self.overlay.secret(name);
        let current = secret.versions.back();
        let before =
            current.filter(|current| secret.is_configured_since(current)).map(|current| current.version.clone());
        let replaces = current.map(|current| current.version.clone());
        let change = Change::Put { name: name.to_owned(), version, previous_until: end.until, before };
        self.add(Planned { value, replaces, ..self.planned(change) });
        if end.destroys {
            self.destroy_old(name);
        }
    }

    fn configure(&mut self, name: &str, patch: &Patch) {
        // Most versions come without any settings.
        if *patch == Patch::default() {
            return;
        }
        let secret = self.overlay.secret(name);
        let Some(StoredVersion { version: current, .. }) = secret.versions.back() else { return };
        let before = secret.settings().cloned().unwrap_or_default();
        let (mut settings, mut version) = (before.clone(), current.clone());
        patch.clone().apply(&mut settings, &mut version);
        if patch.rotation_days.is_some() {
            version.expires_at = due(&settings, version.created_at, self.lifetimes);
        }
        if (&settings, &version) != (&before, current) {
            let Version { rotation, generator, expires_at, .. } = version;
            let change = Change::Configure { name: name.to_owned(), settings, rotation, generator, expires_at };
            self.add(Planned { event: Some(Event::ConfigureSecret), ..self.planned(change) });
        }
    }

    fn prepare(&mut self, name: &str, value: &'o Plaintext) -> Result<(), Refused> {
        self.must_exist(name)?;
        let secret = self.overlay.secret(name);
        if secret.pending().is_some() {
            return Err(Refused::Pending(name.to_owned()));
        }
        let current = &secret.current().version;
        let (rotation, generator) = (current.rotation, Some(Box::new(current.next_generator())));
        let version = self.version(name, &Patch::default(), rotation, generator);
        self.make_pending(name, version, Value::Given(value));
        Ok(())
    }

    fn make_pending(&mut self, name: &str, version: Version, value: Value<'o>) {
        self.add(Planned { value, ..self.planned(Change::Prepare { name: name.to_owned(), version }) });
    }

    fn roll_back(&mut self, name: &str, kid: &str, is_prepared: bool) -> Result<(), Refused> {
        let (Version { rotation, generator, .. }, record) = self.older(name, kid)?;
        if self.overlay.secret(name).pending().is_some() {
            return Err(Refused::Pending(name.to_owned()));
        }
        let version = self.version(name, &Patch::default(), rotation, generator);
        let value = Value::Kept(record);
        if is_prepared {
            self.make_pending(name, version, value);
        } else {
            let end = self.end(name, &Patch::default(), Previous::Kept);
            self.make_current(name, version, value, end);
        }
        Ok(())
    }

    /// The version of `name` called `kid`, which can be read and is not the current one, and the record that holds its value.
    fn older(&mut self, name: &str, kid: &str) -> Result<(Version, Arc<Sealed>), Refused> {
        self.must_exist(name)?;
        let (id, record) = match self.overlay.find(name, kid, self.now) {
            Ok(found) => found,
            Err(Missing::NotFound) => return Err(Refused::NoSuchVersion(name.to_owned())),
            Err(Missing::Gone) => return Err(Refused::Gone(name.to_owned())),
        };
        let now = self.now;
        let secret = self.overlay.with_older(name);
        if secret.current().version.kid == id {
            return Err(Refused::IsCurrent(kid.to_owned()));
        }
        match secret.versions.iter().find(|kept| kept.version.kid == id && !kept.is_gone(now)) {
            Some(kept) => Ok((kept.version.clone(), record)),
            // What came first has destroyed it, or ended it.
            None => Err(Refused::Gone(name.to_owned())),
        }
    }

    fn promote(&mut self, name: &str, kid: &str, previous: Previous) -> Result<(), Refused> {
        let pending = self.pending(name, kid)?.clone();
        let prepared = self.overlay.prepared(name, pending.version.kid);
        // Nobody knows the kid of one that this batch prepares.
        let Some(record) = prepared else { return Err(Refused::NotPending(name.to_owned())) };
        let secret = self.overlay.secret(name);
        let expires_at =
            due(secret.settings().unwrap_or(&Settings::default()), pending.version.created_at, self.lifetimes);
        let told_by = if secret.is_configured_since(&pending) { secret.current() } else { &pending };
        let Version { rotation, generator, .. } = told_by.version.clone();
        let version = Version { expires_at, rotation, generator, ..pending.version };
        let end = self.end(name, &Patch::default(), previous);
        self.make_current(name, version, Value::Kept(record), end);
        Ok(())
    }

    /// The version of `name` that is prepared, if that is the one called `kid`.
    fn pending(&mut self, name: &str, kid: &str) -> Result<&StoredVersion<u64>, Refused> {
        let pending = self.overlay.secret(name).pending().filter(|pending| pending.version.kid.of(name) == kid);
        pending.ok_or_else(|| Refused::NotPending(name.to_owned()))
    }

    fn destroy_expired(&mut self, name: &str, kid: Kid) {
        let now = self.now;
        let versions = &self.overlay.with_older(name).versions;
        // Who came first may have destroyed it already, or the whole secret.
        let place = versions.iter().position(|kept| kept.version.kid == kid && kept.is_gone(now));
        let Some(place) = place else { return };
        let name = name.to_owned();
        let change = match place.checked_sub(1).map(|older| &versions[older]) {
            Some(StoredVersion { version, readable_until: Some(until), .. }) => {
                Change::DestroyBetween { name, kid, before: version.clone(), before_until: *until }
            }
            _ => Change::Destroy { name, kid },
        };
        self.add(Planned { destroys: 1, ..self.planned(change) });
    }

    /// Destroys all versions that are no longer current, whether or not their grace is over.
    fn destroy_old(&mut self, name: &str) {
        let versions = self.overlay.with_older(name).versions.iter().rev().skip(1).rev();
        let old: Vec<_> = versions.map(|kept| kept.version.kid).collect();
        for kid in old {
            let change = Change::Destroy { name: name.to_owned(), kid };
            self.add(Planned { destroys: 1, event: Some(Event::Retire), ..self.planned(change) });
        }
    }
}

/// What becomes of the versions before a new one.
#[derive(Clone, Copy)]
struct PreviousFate {
    /// Until when the one that is replaced is readable.
    until: Timestamp,
    /// Whether all are destroyed.
    destroys: bool,
}

/// When a version is due that was made at the moment `made`.
fn due(settings: &Settings, made: Timestamp, defaults: Lifetimes) -> Timestamp {
    made.plus_days(settings.lifetimes(defaults).rotation_days)
}
