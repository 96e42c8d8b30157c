//! Deciding which orders of a batch are carried out, and as which changes.
//!
//! Each order sees what the ones before it will have done, so that one batch comes to the same as its orders one by one.
//!
//! The vault is locked for one secret at a time: whoever reads meanwhile does not wait for an order of a thousand. For a plan
//! that is carried out no version changes in between, because whoever plans is the one that makes changes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::kid::Kid;
use super::log::change::Change;
use super::log::record::Sealed;
use super::order::{Answer, Condition, New, Operation, Order, Previous, Refused};
use super::settings::{Patch, Settings};
use super::state::{Missing, Secret, State};
use super::version::{Lifetimes, Rotation, Version};
use crate::audit::{Entry, Event};
use crate::base::clock::Timestamp;
use crate::base::name::is_for_new;
use crate::base::secret::Plaintext;
use crate::base::sync::lock;
use crate::generator::Generator;

/// What is to be done for a batch of orders.
pub struct Plan {
    /// For each order: why it is refused, or the list to which what was done for it is to be added.
    pub answers: Vec<Answer>,
    /// For each order, its audit line.
    pub entries: Vec<Entry>,
    /// The changes, in their order.
    pub changes: Vec<Planned>,
}

/// A change that is planned, not yet sealed.
pub struct Planned {
    /// Which of the orders it carries out, from 0.
    pub order: usize,
    pub change: Change,
    /// The value that goes with it.
    pub value: Value,
    pub destroys: usize,
    /// The version whose place is taken by the one that it makes, if there is one.
    pub replaces: Option<Version>,
    /// What its audit line calls it; none: what that of its order does.
    pub event: Option<Event>,
}

impl Planned {
    fn new(order: usize, change: Change) -> Self {
        Self { order, change, value: Value::None, destroys: 0, replaces: None, event: None }
    }
}

/// Where a change's value comes from.
pub enum Value {
    None,
    /// The client supplied it.
    Given(Plaintext),
    /// It is to be made, outside of the lock.
    Generated(Generator),
    /// It is that of another record.
    Kept(Arc<Sealed>),
}

/// What a secret will be once the changes planned so far are made.
#[derive(Default)]
struct PlannedSecret {
    current: Option<Version>,
    settings: Settings,
    /// Whether what the current version says of the next one was changed since it was made.
    is_configured: bool,
    pending: Option<Pending>,
    /// The versions that are no longer current, the oldest first.
    old: VecDeque<Kid>,
    /// Those of them whose end came with a change that is planned.
    ended: Vec<Kid>,
    /// The last id that was given out in this batch.
    newest: Option<Kid>,
}

/// What becomes of the versions before a new one.
#[derive(Clone, Copy)]
struct End {
    /// Until when the one that is replaced is readable.
    until: Timestamp,
    /// Whether all are destroyed.
    destroys: bool,
}

/// A version that was prepared.
struct Pending {
    version: Version,
    /// None: it is among the changes planned so far.
    record: Option<Arc<Sealed>>,
    /// The secret's settings were changed since.
    is_configured_since: bool,
}

impl Plan {
    /// Plans what is to be done for `orders`, in the order in which they came.
    pub fn make(state: &Mutex<State>, now: Timestamp, lifetimes: Lifetimes, orders: Vec<Order>) -> Self {
        let mut planner = Planner { state, now, lifetimes, secrets: HashMap::new(), changes: Vec::new() };
        let (mut answers, mut entries) = (Vec::new(), Vec::new());
        for (index, order) in orders.into_iter().enumerate() {
            answers.push(planner.plan(index, order.operation, &order.condition).map(|()| Vec::new()));
            entries.push(order.entry);
        }
        Self { answers, entries, changes: planner.changes }
    }
}

struct Planner<'a> {
    state: &'a Mutex<State>,
    now: Timestamp,
    lifetimes: Lifetimes,
    secrets: HashMap<String, PlannedSecret>,
    changes: Vec<Planned>,
}

impl Planner<'_> {
    fn plan(&mut self, order: usize, operation: Operation, condition: &Condition) -> Result<(), Refused> {
        match operation {
            Operation::Put { versions } => {
                if let Some(New { name, .. }) = versions.iter().find(|new| !self.may_have(&new.name)) {
                    return Err(Refused::Unnameable(name.clone()));
                }
                self.check(versions.iter().map(|new| new.name.as_str()), condition)?;
                for New { name, patch, .. } in &versions {
                    self.check_room(name, patch)?;
                }
                for New { name, value, rotation, generator, patch, previous } in versions {
                    let end = self.end(&name, &patch, previous);
                    let version = self.version(&name, &patch, rotation, generator.map(Box::new));
                    self.make_current(order, name.clone(), version, Value::Given(value), end);
                    self.configure(order, name, patch);
                }
            }
            Operation::Configure { name, patch } => {
                self.check([name.as_str()], condition)?;
                if self.secret(&name).current.is_none() {
                    return Err(Refused::NotFound(name));
                }
                self.check_room(&name, &patch)?;
                self.configure(order, name, patch);
            }
            Operation::Prepare { name, value } => self.prepare(order, name, value)?,
            Operation::RollBack { name, kid, is_prepared } => {
                self.check([name.as_str()], condition)?;
                self.roll_back(order, name, &kid, is_prepared)?;
            }
            Operation::Promote { name, kid, previous } => self.promote(order, name, &kid, previous)?,
            Operation::Discard { name, kid } => {
                let Pending { version, .. } = self.take_pending(&name, &kid)?;
                self.changes.push(Planned::new(order, Change::Destroy { name, kid: version.kid }));
            }
            Operation::Delete { name } => {
                self.check([name.as_str()], condition)?;
                let secret = self.secret(&name);
                if secret.current.take().is_none() {
                    return Err(Refused::NotFound(name));
                }
                let destroys = secret.old.len() + 1;
                *secret = PlannedSecret { newest: secret.newest, ..PlannedSecret::default() };
                self.changes.push(Planned { destroys, ..Planned::new(order, Change::Delete { name }) });
            }
            Operation::Rotate { names, only_due, previous } => {
                if !only_due && let Some(unknown) = names.iter().find(|name| self.secret(name).current.is_none()) {
                    return Err(Refused::NotFound(unknown.clone()));
                }
                for name in names {
                    self.rotate(order, name, only_due, previous);
                }
            }
            Operation::Destroy { versions } => {
                for (name, version) in versions {
                    self.destroy_expired(order, name, version.kid);
                }
            }
            Operation::Retire { name } => {
                self.check([name.as_str()], condition)?;
                let secret = self.secret(&name);
                if secret.current.is_none() {
                    return Err(Refused::NotFound(name));
                }
                self.destroy_old(order, &name);
            }
        }
        Ok(())
    }

    fn check<'n>(&mut self, names: impl IntoIterator<Item = &'n str>, condition: &Condition) -> Result<(), Refused> {
        let mut failed = Vec::new();
        for name in names {
            let current = self.secret(name).current.as_ref().map(|version| version.kid.of(name));
            if !condition.holds(current.as_deref()) {
                failed.push(name.to_owned());
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(Refused::PreconditionFailed(failed)) }
    }

    fn rotate(&mut self, order: usize, name: String, only_due: bool, previous: Previous) {
        let now = self.now;
        let Some(current) = &self.secret(&name).current else { return };
        if only_due && (current.rotation != Rotation::Auto || current.expires_at > now) {
            return;
        }
        let (rotation, generator) = (current.rotation, current.next_generator());
        let end = self.end(&name, &Patch::default(), previous);
        // What it was made by is told of it, also where that is the default: nobody has supplied it.
        self.put(order, &name, Value::Generated(generator.clone()), rotation, Some(Box::new(generator)), end);
    }

    fn put(
        &mut self,
        order: usize,
        name: &str,
        value: Value,
        rotation: Rotation,
        generator: Option<Box<Generator>>,
        end: End,
    ) {
        let version = self.version(name, &Patch::default(), rotation, generator);
        self.make_current(order, name.to_owned(), version, value, end);
    }

    /// What becomes of the versions before one that is made now and comes with `patch`.
    fn end(&mut self, name: &str, patch: &Patch, previous: Previous) -> End {
        let (now, lifetimes) = (self.now, self.lifetimes);
        let until = match previous {
            Previous::Kept => now.plus_days(patch.grace_days(&self.secret(name).settings, lifetimes)),
            Previous::Ended | Previous::Destroyed => now,
        };
        End { until, destroys: previous == Previous::Destroyed }
    }

    /// A version made now that comes with `patch`, with an id that was never used.
    fn version(&mut self, name: &str, patch: &Patch, rotation: Rotation, generator: Option<Box<Generator>>) -> Version {
        let (now, lifetimes, state) = (self.now, self.lifetimes, self.state);
        let secret = self.secret(name);
        let kid = match secret.newest {
            Some(newest) => newest.next(),
            None => lock(state).unused_kid(name, now),
        };
        secret.newest = Some(kid);
        let expires_at = now.plus_days(patch.rotation_days(&secret.settings, lifetimes));
        Version { kid, created_at: now, expires_at, rotation, generator }
    }

    fn make_current(&mut self, order: usize, name: String, version: Version, value: Value, end: End) {
        let (now, secret) = (self.now, self.secret(&name));
        secret.pending = None;
        let replaces = secret.current.replace(version.clone());
        let before = replaces.clone().filter(|_| std::mem::take(&mut secret.is_configured));
        let old = replaces.as_ref().map(|previous| previous.kid);
        secret.old.extend(old);
        secret.ended.extend(old.filter(|_| end.until <= now));
        let change = Change::Put { name: name.clone(), version, previous_until: end.until, before };
        self.changes.push(Planned { value, replaces, ..Planned::new(order, change) });
        if end.destroys {
            self.destroy_old(order, &name);
        }
    }

    /// Whether there is a secret of this name, or may be.
    fn may_have(&mut self, name: &str) -> bool {
        is_for_new(name) || self.secret(name).current.is_some()
    }

    fn check_room(&mut self, name: &str, patch: &Patch) -> Result<(), Refused> {
        let fits = patch.fits(&self.secret(name).settings);
        if fits { Ok(()) } else { Err(Refused::TooManyLabels(name.to_owned())) }
    }

    fn configure(&mut self, order: usize, name: String, patch: Patch) {
        // Most versions come without any settings.
        if patch == Patch::default() {
            return;
        }
        let lifetimes = self.lifetimes;
        let secret = self.secret(&name);
        let Some(current) = &mut secret.current else { return };
        let (settings_before, version_before) = (secret.settings.clone(), current.clone());
        let is_dated_anew = patch.rotation_days.is_some();
        patch.apply(&mut secret.settings, current);
        if is_dated_anew {
            current.expires_at = due(&secret.settings, current.created_at, lifetimes);
        }
        if (&secret.settings, &*current) != (&settings_before, &version_before) {
            secret.is_configured = true;
            secret.pending.iter_mut().for_each(|pending| pending.is_configured_since = true);
            let settings = secret.settings.clone();
            let Version { rotation, generator, expires_at, .. } = current.clone();
            let change = Change::Configure { name, settings, rotation, generator, expires_at };
            self.changes.push(Planned { event: Some(Event::ConfigureSecret), ..Planned::new(order, change) });
        }
    }

    fn prepare(&mut self, order: usize, name: String, value: Plaintext) -> Result<(), Refused> {
        let secret = self.secret(&name);
        let Some(current) = &secret.current else { return Err(Refused::NotFound(name)) };
        if secret.pending.is_some() {
            return Err(Refused::Pending(name));
        }
        let (rotation, generator) = (current.rotation, Some(Box::new(current.next_generator())));
        let version = self.version(&name, &Patch::default(), rotation, generator);
        self.make_pending(order, name, version, Value::Given(value));
        Ok(())
    }

    fn make_pending(&mut self, order: usize, name: String, version: Version, value: Value) {
        let pending = Pending { version: version.clone(), record: None, is_configured_since: false };
        self.secret(&name).pending = Some(pending);
        self.changes.push(Planned { value, ..Planned::new(order, Change::Prepare { name, version }) });
    }

    fn roll_back(&mut self, order: usize, name: String, kid: &str, is_prepared: bool) -> Result<(), Refused> {
        let (Version { rotation, generator, .. }, record) = self.older(&name, kid)?;
        if self.secret(&name).pending.is_some() {
            return Err(Refused::Pending(name));
        }
        let version = self.version(&name, &Patch::default(), rotation, generator);
        let value = Value::Kept(record);
        if is_prepared {
            self.make_pending(order, name, version, value);
        } else {
            let end = self.end(&name, &Patch::default(), Previous::Kept);
            self.make_current(order, name, version, value, end);
        }
        Ok(())
    }

    /// The version of `name` called `kid`, which can be read and is not the current one, and the record that holds its value.
    fn older(&mut self, name: &str, kid: &str) -> Result<(Version, Arc<Sealed>), Refused> {
        let found =
            lock(self.state).find(name, Some(kid), self.now).map(|kept| (kept.version.clone(), kept.record.clone()));
        let secret = self.secret(name);
        let Some(current) = &secret.current else { return Err(Refused::NotFound(name.to_owned())) };
        match found {
            Err(Missing::NotFound) => Err(Refused::NoSuchVersion(name.to_owned())),
            Ok((version, _)) if version.kid == current.kid => Err(Refused::IsCurrent(kid.to_owned())),
            Ok((version, record)) if secret.old.contains(&version.kid) && !secret.ended.contains(&version.kid) => {
                Ok((version, record))
            }
            // What came first has destroyed it.
            _ => Err(Refused::Gone(name.to_owned())),
        }
    }

    fn promote(&mut self, order: usize, name: String, kid: &str, previous: Previous) -> Result<(), Refused> {
        let Pending { mut version, record, is_configured_since } = self.take_pending(&name, kid)?;
        let Some(record) = record else { return Err(Refused::NotPending(name)) };
        let (lifetimes, secret) = (self.lifetimes, self.secret(&name));
        version.expires_at = due(&secret.settings, version.created_at, lifetimes);
        if is_configured_since {
            let current = secret.current.clone().expect("a version is prepared beside a current one");
            (version.rotation, version.generator) = (current.rotation, current.generator);
        }
        let end = self.end(&name, &Patch::default(), previous);
        self.make_current(order, name, version, Value::Kept(record), end);
        Ok(())
    }

    fn take_pending(&mut self, name: &str, kid: &str) -> Result<Pending, Refused> {
        let pending = &mut self.secret(name).pending;
        let taken = pending.take_if(|pending| pending.version.kid.of(name) == kid);
        taken.ok_or_else(|| Refused::NotPending(name.to_owned()))
    }

    fn destroy_expired(&mut self, order: usize, name: String, kid: Kid) {
        let (state, now) = (self.state, self.now);
        // What it is, until when it is readable, and whether its grace is over.
        let kept = |kid| {
            let state = lock(state);
            let kept = state.secret(&name)?.versions.iter().find(|kept| kept.version.kid == kid)?;
            Some((kept.version.clone(), kept.readable_until, kept.is_gone(now)))
        };
        if !kept(kid).is_some_and(|(_, _, is_gone)| is_gone) {
            return;
        }
        let old = &mut self.secret(&name).old;
        // Who came first may have destroyed it already, or the whole secret.
        let Some(at) = old.iter().position(|old| *old == kid) else { return };
        old.remove(at);
        let outliving = at.checked_sub(1).and_then(|older| kept(old[older]));
        let change = match outliving {
            Some((before, Some(before_until), _)) => Change::DestroyBetween { name, kid, before, before_until },
            _ => Change::Destroy { name, kid },
        };
        self.changes.push(Planned { destroys: 1, ..Planned::new(order, change) });
    }

    /// Destroys all versions that are no longer current, whether or not their grace is over.
    fn destroy_old(&mut self, order: usize, name: &str) {
        for kid in std::mem::take(&mut self.secret(name).old) {
            let change = Change::Destroy { name: name.to_owned(), kid };
            self.changes.push(Planned { destroys: 1, event: Some(Event::Retire), ..Planned::new(order, change) });
        }
    }

    fn secret(&mut self, name: &str) -> &mut PlannedSecret {
        if !self.secrets.contains_key(name) {
            let secret = lock(self.state).secret(name).map(PlannedSecret::of).unwrap_or_default();
            self.secrets.insert(name.to_owned(), secret);
        }
        self.secrets.get_mut(name).expect("inserted above")
    }
}

/// When a version is due that was made at the moment `made`.
fn due(settings: &Settings, made: Timestamp, defaults: Lifetimes) -> Timestamp {
    made.plus_days(settings.lifetimes(defaults).rotation_days)
}

impl PlannedSecret {
    fn of(secret: &Secret) -> Self {
        let current = secret.current();
        let pending = secret.pending().map(|kept| Pending {
            version: kept.version.clone(),
            record: Some(kept.record.clone()),
            is_configured_since: secret.configured_by().map(|by| by.seq) > Some(kept.record.seq),
        });
        let old = secret.versions.iter().take(secret.versions.len() - 1).map(|kept| kept.version.kid);
        Self {
            current: Some(current.version.clone()),
            settings: secret.settings().cloned().unwrap_or_default(),
            is_configured: secret.configured_by().map(|by| by.seq) > Some(current.record.seq),
            pending,
            old: old.collect(),
            ended: Vec::new(),
            newest: None,
        }
    }
}
