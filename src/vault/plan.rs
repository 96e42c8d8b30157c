//! Deciding which orders of a batch are carried out, and as which changes.
//!
//! Each order sees what the ones before it will have done, so that one batch comes to the same as its orders one by one.

use std::collections::{HashMap, VecDeque};

use super::Lifetimes;
use super::change::{Change, Rotation, Version};
use super::kid::Kid;
use super::order::{Answer, Condition, New, Order, Refused, Wish};
use super::state::State;
use crate::audit::Entry;
use crate::clock::Timestamp;
use crate::generator::Generator;
use crate::secret::Plaintext;

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
    /// The change.
    pub change: Change,
    /// The value that goes with it.
    pub value: Value,
    /// How many versions it destroys.
    pub destroys: usize,
}

/// Where a change's value comes from.
pub enum Value {
    /// It has none.
    None,
    /// Who ordered it has supplied it.
    Given(Plaintext),
    /// It is to be made, outside of the lock.
    Generated(Generator),
}

/// What a secret will be once the changes planned so far are made.
struct Outlook {
    current: Option<Version>,
    versions: usize,
    newest: Option<Kid>,
    /// The versions that may be destroyed, the oldest first; none: nobody asked yet.
    destroyable: Option<VecDeque<Kid>>,
}

impl Plan {
    /// Plans what is to be done for `orders`, in the order in which they came. Fast: the vault is locked meanwhile.
    pub fn make(state: &State, now: Timestamp, lifetimes: Lifetimes, orders: Vec<Order>) -> Self {
        let mut planner = Planner { state, now, lifetimes, outlooks: HashMap::new(), changes: Vec::new() };
        let (mut answers, mut entries) = (Vec::new(), Vec::new());
        for (index, order) in orders.into_iter().enumerate() {
            answers.push(planner.plan(index, order.wish, &order.condition).map(|()| Vec::new()));
            entries.push(order.entry);
        }
        Self { answers, entries, changes: planner.changes }
    }
}

struct Planner<'a> {
    state: &'a State,
    now: Timestamp,
    lifetimes: Lifetimes,
    outlooks: HashMap<String, Outlook>,
    changes: Vec<Planned>,
}

impl Planner<'_> {
    fn plan(&mut self, order: usize, wish: Wish, condition: &Condition) -> Result<(), Refused> {
        match wish {
            Wish::Put { versions } => {
                self.check(versions.iter().map(|new| new.name.as_str()), condition)?;
                for New { name, value, rotation, generator } in versions {
                    self.put(order, name, Value::Given(value), rotation, generator.map(Box::new));
                }
            }
            Wish::Delete { name } => {
                self.check([name.as_str()], condition)?;
                let outlook = self.outlook(&name);
                if outlook.current.take().is_none() {
                    return Err(Refused::NotFound(name));
                }
                let destroys = std::mem::take(&mut outlook.versions);
                outlook.destroyable = Some(VecDeque::new());
                self.changes.push(Planned { order, change: Change::Delete { name }, value: Value::None, destroys });
            }
            Wish::Rotate { names, only_due } => {
                if !only_due && let Some(unknown) = names.iter().find(|name| self.outlook(name).current.is_none()) {
                    return Err(Refused::NotFound(unknown.clone()));
                }
                for name in names {
                    self.rotate(order, name, only_due);
                }
            }
            Wish::Destroy { versions } => {
                for (name, version) in versions {
                    self.destroy(order, name, version.kid);
                }
            }
        }
        Ok(())
    }

    fn check<'n>(&mut self, names: impl IntoIterator<Item = &'n str>, condition: &Condition) -> Result<(), Refused> {
        let mut failed = Vec::new();
        for name in names {
            let current = self.outlook(name).current.as_ref().map(|version| version.kid.of(name));
            if !condition.holds(current.as_deref()) {
                failed.push(name.to_owned());
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(Refused::PreconditionFailed(failed)) }
    }

    fn rotate(&mut self, order: usize, name: String, only_due: bool) {
        let now = self.now;
        let Some(current) = &self.outlook(&name).current else { return };
        if only_due && (current.rotation == Rotation::Manual || current.expires_at > now) {
            return;
        }
        let (rotation, generator) = (current.rotation, current.generator.clone());
        let value = Value::Generated(generator.as_deref().cloned().unwrap_or_default());
        self.put(order, name, value, rotation, generator);
    }

    fn put(&mut self, order: usize, name: String, value: Value, rotation: Rotation, generator: Option<Box<Generator>>) {
        let (now, lifetimes, state) = (self.now, self.lifetimes, self.state);
        let outlook = self.outlook(&name);
        let kid = match outlook.newest {
            Some(newest) => newest.next(),
            None => state.unused_kid(&name, now),
        };
        let expires_at = now.plus_days(lifetimes.rotation_days);
        let version = Version { kid, created_at: now, expires_at, rotation, generator };
        outlook.newest = Some(kid);
        outlook.current = Some(version.clone());
        outlook.versions += 1;
        let previous_until = now.plus_days(lifetimes.grace_days);
        let change = Change::Put { name, version, previous_until };
        self.changes.push(Planned { order, change, value, destroys: 0 });
    }

    fn destroy(&mut self, order: usize, name: String, kid: Kid) {
        let (now, state) = (self.now, self.state);
        let outlook = self.outlook(&name);
        let destroyable = outlook.destroyable.get_or_insert_with(|| state.destroyable_of(&name, now).collect());
        // Who came first may have destroyed it already, or the whole secret.
        if destroyable.front() == Some(&kid) {
            destroyable.pop_front();
            outlook.versions -= 1;
            self.changes.push(Planned {
                order,
                change: Change::Destroy { name, kid },
                value: Value::None,
                destroys: 1,
            });
        }
    }

    fn outlook(&mut self, name: &str) -> &mut Outlook {
        if !self.outlooks.contains_key(name) {
            let current = self.state.current(name).map(|kept| kept.version.clone());
            let versions = self.state.version_count_of(name);
            self.outlooks.insert(name.to_owned(), Outlook { current, versions, newest: None, destroyable: None });
        }
        self.outlooks.get_mut(name).expect("inserted above")
    }
}
