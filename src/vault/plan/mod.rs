//! Deciding which orders of a batch are carried out, and as which changes.
//!
//! Each order sees what the ones before it will have done, so that one batch comes to the same as its orders one by one.
//!
//! The vault is locked for one secret at a time: whoever reads meanwhile does not wait for an order of a thousand. For a plan
//! that is carried out no version changes in between, because whoever plans is the one that makes changes.

mod overlay;
mod planner;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use super::log::change::Change;
use super::log::record::Sealed;
use super::order::{Answer, Order};
use super::state::State;
use super::version::{Lifetimes, Version};
use crate::audit::Event;
use crate::base::clock::Timestamp;
use crate::base::secret::Plaintext;
use crate::generator::Generator;
use planner::Planner;

/// What is to be done for a batch of orders, which it borrows: if it cannot be carried out, another one can be made of them.
pub struct Plan<'o> {
    /// For each order: why it is refused, or the list to which what was done for it is to be added.
    pub answers: Vec<Answer>,
    /// The changes, in their order.
    pub changes: Vec<Planned<'o>>,
}

/// A change that is planned, not yet sealed.
pub struct Planned<'o> {
    /// Which of the orders it carries out, from 0.
    pub order: usize,
    pub change: Change,
    /// The value that goes with it.
    pub value: Value<'o>,
    pub destroys: usize,
    /// The version whose place is taken by the one that it makes, if there is one.
    pub replaces: Option<Version>,
    /// What its audit line calls it; none: what that of its order does.
    pub event: Option<Event>,
}

/// Where a change's value comes from.
pub enum Value<'o> {
    None,
    /// The client supplied it.
    Given(&'o Plaintext),
    /// It is to be made, outside of the lock.
    Generated(Generator),
    /// It is that of another record.
    Kept(Arc<Sealed>),
}

impl<'o> Plan<'o> {
    /// Plans what is to be done for `orders`, in the order in which they came.
    pub fn make(state: &Mutex<State>, now: Timestamp, lifetimes: Lifetimes, orders: &'o [Order]) -> Self {
        Planner::new(state, now, lifetimes).plan_all(orders).0
    }
}
