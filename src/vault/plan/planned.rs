//! A change that an order comes to, before it is sealed.

use std::sync::Arc;

use crate::audit::Event;
use crate::base::secret::Plaintext;
use crate::generator::Generator;
use crate::vault::log::change::Change;
use crate::vault::log::record::Sealed;
use crate::vault::version::Version;

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
