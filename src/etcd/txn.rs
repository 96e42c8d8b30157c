//! What a transaction is made of, and what it answers.

/// Which keys are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    One(Vec<u8>),
    /// From `first` on, and before `end`.
    From {
        first: Vec<u8>,
        end: Vec<u8>,
    },
}

impl Keys {
    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        while end.last() == Some(&0xff) {
            end.pop();
        }
        match end.last_mut() {
            Some(last) => *last += 1,
            // To etcd, these mean the first key of all, and no end.
            None if prefix.is_empty() => return Self::From { first: vec![0], end: vec![0] },
            None => end.push(0),
        }
        Self::From { first: prefix.to_vec(), end }
    }
}

/// A lease, by the number that etcd gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseId(pub(super) i64);

#[cfg(test)]
impl LeaseId {
    pub fn of(id: i64) -> Self {
        Self(id)
    }
}

/// What must be so for a transaction to succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key is there, with this value.
    ValueIs { key: Vec<u8>, value: Vec<u8> },
    /// The key is not there.
    IsAbsent { key: Vec<u8> },
    /// None of the keys that are there was put after this revision.
    UnchangedSince { keys: Keys, revision: u64 },
}

impl Condition {
    /// The key has this value; none: it is not there.
    pub fn is(key: Vec<u8>, value: Option<Vec<u8>>) -> Self {
        match value {
            Some(value) => Self::ValueIs { key, value },
            None => Self::IsAbsent { key },
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Put { key: Vec<u8>, value: Vec<u8>, lease: Option<LeaseId> },
    Delete(Keys),
    Range(Range),
}

impl Operation {
    /// Puts this value there, under no lease.
    pub fn put(key: Vec<u8>, value: Vec<u8>) -> Self {
        Self::Put { key, value, lease: None }
    }

    /// Reads one key.
    pub fn get(key: Vec<u8>) -> Self {
        Self::Range(Range::of(Keys::One(key)))
    }
}

/// Carries out the operations of `then` if all conditions hold, and otherwise those of `otherwise`, as one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    pub conditions: Vec<Condition>,
    pub then: Vec<Operation>,
    pub otherwise: Vec<Operation>,
}

/// What is read of some keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub keys: Keys,
    /// The most pairs that are answered; 0: all.
    pub limit: u64,
    /// The last keys first.
    pub descending: bool,
    /// Values are left out.
    pub keys_only: bool,
    /// Pairs that were put before this revision are left out.
    pub min_mod_revision: u64,
}

impl Range {
    /// All of these keys, with their values, in their order.
    pub fn of(keys: Keys) -> Self {
        Self { keys, limit: 0, descending: false, keys_only: false, min_mod_revision: 0 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnAnswer {
    /// Whether the conditions did hold.
    pub succeeded: bool,
    /// Whether it was sent before without an answer, so that it may have been carried out twice.
    pub was_repeated: bool,
    /// That of etcd behind this transaction.
    pub revision: u64,
    /// What the ranges of the branch that was taken have found, in their order.
    pub ranges: Vec<RangeAnswer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeAnswer {
    pub pairs: Vec<KeyValue>,
    /// There are more pairs than the limit has allowed.
    pub more: bool,
    /// That of etcd when this was read.
    pub revision: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    /// The revision that has put this value, and the one that has made the key.
    pub mod_revision: u64,
    pub create_revision: u64,
    pub lease: Option<LeaseId>,
}
