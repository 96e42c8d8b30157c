//! What is done with one key. A change compares what is there first, so that it does not undo what another daemon has done.

use std::time::Instant;

use super::answers::{added, only};
use super::log::EtcdLog;
use super::standing::Put;
use crate::etcd::{self, Condition, Keys, LeaseId, Operation, Range, Txn};
use crate::vault::Unavailable;

impl EtcdLog {
    /// The value of a key, as all changes that were answered before have left it; none: it is not there.
    pub(super) fn value_of(&self, key: Vec<u8>, deadline: Instant) -> Result<Option<Vec<u8>>, etcd::Error> {
        self.etcd().range(&Range::of(Keys::One(key)), deadline).map(only)
    }

    /// Puts a value in place of `before`; none: where there is nothing. Returns what is there then: this value, also one that an
    /// earlier attempt has put, or another one.
    ///
    /// # Errors
    /// If etcd does not answer; it may be there all the same.
    pub(super) fn put_in_place_of(
        &self,
        before: Option<Vec<u8>>,
        (key, value): Put,
        lease: Option<LeaseId>,
        deadline: Instant,
    ) -> Result<Option<Vec<u8>>, etcd::Error> {
        let txn = Txn {
            conditions: vec![Condition::is(key.clone(), before)],
            then: vec![Operation::Put { key: key.clone(), value: value.clone(), lease }],
            // A repeat finds what the first attempt has put.
            otherwise: vec![Operation::get(key)],
        };
        let answer = self.etcd().txn(&txn, deadline)?;
        Ok(match answer.succeeded {
            true => Some(value),
            false => answer.ranges.into_iter().next().and_then(only),
        })
    }

    /// Deletes a key if it has this value. Returns whether it had.
    ///
    /// # Errors
    /// If etcd does not answer; it may be gone all the same.
    pub(super) fn delete_if(&self, (key, value): Put, deadline: Instant) -> Result<bool, Unavailable> {
        let txn = Txn {
            conditions: vec![Condition::ValueIs { key: key.clone(), value }],
            then: vec![Operation::Delete(Keys::One(key))],
            otherwise: Vec::new(),
        };
        self.etcd().txn(&txn, deadline).map(|answer| answer.succeeded).map_err(added)
    }
}
