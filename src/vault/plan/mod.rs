//! Deciding which orders of a batch are carried out, and as which changes.
//!
//! Each order sees what the ones before it will have done, so that one batch comes to the same as its orders one by one.
//!
//! The vault is locked for one secret at a time: whoever reads meanwhile does not wait for an order of a thousand. For a plan
//! that is carried out no version changes in between, because whoever plans is the one that makes changes.

mod overlay;
mod planned;
mod planner;
#[cfg(test)]
mod tests;

use std::sync::Mutex;

use super::order::{Answer, Order};
use super::state::State;
use super::version::Lifetimes;
use crate::base::clock::Timestamp;
use overlay::Overlay;
pub use planned::{Planned, Value};
use planner::Planner;

/// What is to be done for a batch of orders, which it borrows: a value is sealed from where its order has it, and of the same orders
/// another plan can be made.
pub struct Plan<'o> {
    /// For each order: why it is refused, or the list to which what was done for it is to be added.
    pub answers: Vec<Answer>,
    /// The changes, in their order.
    pub changes: Vec<Planned<'o>>,
}

impl<'o> Plan<'o> {
    /// Plans what is to be done for `orders`, in the order in which they came.
    pub fn make(state: &Mutex<State>, now: Timestamp, lifetimes: Lifetimes, orders: &'o [Order]) -> Self {
        Self::with_outcome(state, now, lifetimes, orders).0
    }

    /// Returns with the plan what the state will be.
    fn with_outcome<'a>(
        state: &'a Mutex<State>,
        now: Timestamp,
        lifetimes: Lifetimes,
        orders: &'o [Order],
    ) -> (Self, Overlay<'a>) {
        let mut planner = Planner::new(state, now, lifetimes);
        let answers = orders.iter().enumerate().map(|(index, order)| planner.plan(index, order).map(|()| Vec::new()));
        let answers = answers.collect();
        let (changes, overlay) = planner.finish();
        (Self { answers, changes }, overlay)
    }
}
