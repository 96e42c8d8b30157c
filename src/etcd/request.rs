//! Requests, as etcd's gateway reads them. Fields that are zero may be left out.
//!
//! They are made of the types in this file only. The gateway ignores fields that it does not know: a condition in which one is
//! misspelt compares with zero, and holds where it should not.

use std::time::Duration;

use serde::Serialize;

use super::encoding::{Base64, Number};
use super::txn::{Condition, Keys, LeaseId, Operation, Range, Txn};
use crate::base::secret::{Plaintext, Wiped, wiped_json};

#[derive(Serialize)]
struct KeysOf<'a> {
    key: Base64<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range_end: Option<Base64<'a>>,
}

impl<'a> From<&'a Keys> for KeysOf<'a> {
    fn from(keys: &'a Keys) -> Self {
        match keys {
            Keys::One(key) => Self { key: Base64(key), range_end: None },
            Keys::From { first, end } => Self { key: Base64(first), range_end: Some(Base64(end)) },
        }
    }
}

#[derive(Serialize)]
struct RangeRequest<'a> {
    #[serde(flatten)]
    keys: KeysOf<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sort_order: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_mod_revision: Option<Number>,
}

impl<'a> From<&'a Range> for RangeRequest<'a> {
    fn from(range: &'a Range) -> Self {
        Self {
            keys: (&range.keys).into(),
            limit: Number::unless_zero(range.limit),
            sort_order: range.descending.then_some("DESCEND"),
            keys_only: range.keys_only.then_some(true),
            min_mod_revision: Number::unless_zero(range.min_mod_revision),
        }
    }
}

#[derive(Serialize)]
struct PutRequest<'a> {
    key: Base64<'a>,
    value: Base64<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<Number>,
}

#[derive(Serialize)]
enum RequestOp<'a> {
    #[serde(rename = "request_put")]
    Put(PutRequest<'a>),
    #[serde(rename = "request_delete_range")]
    DeleteRange(KeysOf<'a>),
    #[serde(rename = "request_range")]
    Range(RangeRequest<'a>),
}

impl<'a> From<&'a Operation> for RequestOp<'a> {
    fn from(operation: &'a Operation) -> Self {
        match operation {
            Operation::Put { key, value, lease } => Self::Put(PutRequest {
                key: Base64(key),
                value: Base64(value),
                lease: lease.map(|LeaseId(id)| Number(id)),
            }),
            Operation::Delete(keys) => Self::DeleteRange(keys.into()),
            Operation::Range(range) => Self::Range(range.into()),
        }
    }
}

/// What is compared, and with what.
#[derive(Serialize)]
#[serde(tag = "target", rename_all = "UPPERCASE")]
enum Target<'a> {
    Value { value: Base64<'a> },
    Version { version: Number },
    Mod { mod_revision: Number },
}

#[derive(Serialize)]
struct Compare<'a> {
    #[serde(flatten)]
    keys: KeysOf<'a>,
    result: &'static str,
    #[serde(flatten)]
    target: Target<'a>,
}

impl<'a> From<&'a Condition> for Compare<'a> {
    fn from(condition: &'a Condition) -> Self {
        let one = |key: &'a [u8]| KeysOf { key: Base64(key), range_end: None };
        match condition {
            Condition::ValueIs { key, value } => {
                Self { keys: one(key), result: "EQUAL", target: Target::Value { value: Base64(value) } }
            }
            // A key that is not there has the version 0, and no other one has.
            Condition::IsAbsent { key } => {
                Self { keys: one(key), result: "EQUAL", target: Target::Version { version: Number(0) } }
            }
            Condition::UnchangedSince { keys, revision } => Self {
                keys: keys.into(),
                result: "LESS",
                target: Target::Mod { mod_revision: Number::of(revision.saturating_add(1)) },
            },
        }
    }
}

#[derive(Serialize)]
struct TxnRequest<'a> {
    compare: Vec<Compare<'a>>,
    success: Vec<RequestOp<'a>>,
    failure: Vec<RequestOp<'a>>,
}

fn written(request: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(request).expect("a request is plain data")
}

pub fn txn(txn: &Txn) -> Vec<u8> {
    written(&TxnRequest {
        compare: txn.conditions.iter().map(Compare::from).collect(),
        success: txn.then.iter().map(RequestOp::from).collect(),
        failure: txn.otherwise.iter().map(RequestOp::from).collect(),
    })
}

pub fn range(range: &Range) -> Vec<u8> {
    written(&RangeRequest::from(range))
}

pub fn delete_range(keys: &Keys) -> Vec<u8> {
    written(&KeysOf::from(keys))
}

/// A request for a lease that lasts for at least `ttl`.
pub fn grant(ttl: Duration) -> Vec<u8> {
    #[derive(Serialize)]
    struct Grant {
        #[serde(rename = "TTL")]
        ttl: Number,
    }
    let started = u64::from(ttl.subsec_nanos() > 0);
    written(&Grant { ttl: Number::of(ttl.as_secs().saturating_add(started).max(1)) })
}

/// A request about a lease.
pub fn lease(LeaseId(id): LeaseId) -> Vec<u8> {
    #[derive(Serialize)]
    struct Lease {
        #[serde(rename = "ID")]
        id: Number,
    }
    written(&Lease { id: Number(id) })
}

pub fn alarms() -> Vec<u8> {
    #[derive(Serialize)]
    struct Alarms {
        action: &'static str,
    }
    written(&Alarms { action: "GET" })
}

/// A request that says nothing.
pub fn nothing() -> Vec<u8> {
    b"{}".to_vec()
}

/// A request for a token.
pub fn authenticate(name: &str, password: &Plaintext) -> Wiped {
    #[derive(Serialize)]
    struct Authenticate<'a> {
        name: &'a str,
        password: &'a str,
    }
    wiped_json(&Authenticate { name, password: password.expose() })
}
