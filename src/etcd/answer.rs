//! Answers, as etcd's gateway writes them. Fields that are zero are left out.

use std::time::Duration;

use serde::Deserialize;

use super::encoding::{Bytes, Number};
use super::txn::{KeyValue, LeaseId, Operation, RangeAnswer, Txn, TxnAnswer};
use crate::base::secret::Plaintext;

/// What every answer of the store says. One without is none of etcd's.
#[derive(Deserialize)]
struct Header {
    revision: Number,
}

#[derive(Deserialize)]
struct Pair {
    #[serde(default)]
    key: Bytes,
    #[serde(default)]
    value: Bytes,
    #[serde(default)]
    mod_revision: Number,
    #[serde(default)]
    create_revision: Number,
    #[serde(default)]
    lease: Number,
}

#[derive(Deserialize)]
struct RangeResponse {
    header: Header,
    #[serde(default)]
    kvs: Vec<Pair>,
    #[serde(default)]
    more: bool,
}

impl RangeResponse {
    fn answer(self) -> RangeAnswer {
        let pair = |pair: Pair| KeyValue {
            key: pair.key.0,
            value: pair.value.0,
            mod_revision: pair.mod_revision.get(),
            create_revision: pair.create_revision.get(),
            lease: lease(pair.lease),
        };
        RangeAnswer {
            pairs: self.kvs.into_iter().map(pair).collect(),
            more: self.more,
            revision: self.header.revision.get(),
        }
    }
}

pub fn range(body: &[u8]) -> Option<RangeAnswer> {
    serde_json::from_slice(body).ok().map(RangeResponse::answer)
}

/// The answer to `txn`; none if it does not fit to it.
pub fn txn(body: &[u8], txn: &Txn) -> Option<TxnAnswer> {
    #[derive(Deserialize)]
    struct ResponseOp {
        response_range: Option<RangeResponse>,
    }
    #[derive(Deserialize)]
    struct TxnResponse {
        header: Header,
        #[serde(default)]
        succeeded: bool,
        #[serde(default)]
        responses: Vec<ResponseOp>,
    }
    let TxnResponse { header, succeeded, responses } = serde_json::from_slice(body).ok()?;
    let taken = if succeeded { &txn.then } else { &txn.otherwise };
    let fits = |(operation, response): (&Operation, &ResponseOp)| {
        matches!(operation, Operation::Range(_)) == response.response_range.is_some()
    };
    if taken.len() != responses.len() || !taken.iter().zip(&responses).all(fits) {
        return None;
    }
    let ranges =
        responses.into_iter().filter_map(|response| response.response_range).map(RangeResponse::answer).collect();
    Some(TxnAnswer { succeeded, was_repeated: false, revision: header.revision.get(), ranges })
}

/// The answer to what has nothing to say but that it was done.
pub fn acknowledged(body: &[u8]) -> Option<()> {
    #[derive(Deserialize)]
    struct Acknowledged {
        #[serde(rename = "header")]
        _header: Header,
    }
    serde_json::from_slice(body).ok().map(|_: Acknowledged| ())
}

fn lease(Number(id): Number) -> Option<LeaseId> {
    (id != 0).then_some(LeaseId(id))
}

/// How long a lease lasts; none if it is gone.
fn time(seconds: Number) -> Option<Duration> {
    (seconds.get() > 0).then(|| Duration::from_secs(seconds.get()))
}

#[derive(Deserialize)]
struct Lease {
    #[serde(rename = "ID")]
    id: Number,
    #[serde(rename = "TTL", default)]
    ttl: Number,
}

pub fn granted(body: &[u8]) -> Option<(LeaseId, Duration)> {
    let lease: Lease = serde_json::from_slice(body).ok()?;
    self::lease(lease.id).zip(time(lease.ttl))
}

/// How long a lease lasts from now on, or that it is gone.
pub fn kept_alive(body: &[u8]) -> Option<Option<Duration>> {
    #[derive(Deserialize)]
    struct Kept {
        result: Lease,
    }
    serde_json::from_slice(body).ok().map(|kept: Kept| time(kept.result.ttl))
}

pub fn version(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Version {
        etcdserver: String,
    }
    serde_json::from_slice(body).ok().map(|version: Version| version.etcdserver)
}

/// What an etcd member says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// By this it is known to the others.
    pub member: String,
    /// The member that leads; none: it knows of none.
    pub leader: Option<String>,
    /// What its database takes on its disk.
    pub db_size_bytes: u64,
}

impl Status {
    pub fn is_leader(&self) -> bool {
        self.leader.as_ref() == Some(&self.member)
    }
}

pub fn status(body: &[u8]) -> Option<Status> {
    #[derive(Deserialize)]
    struct StatusHeader {
        member_id: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct StatusResponse {
        header: StatusHeader,
        #[serde(default)]
        db_size: Number,
        /// Above what an `i64` holds, often.
        #[serde(default)]
        leader: Option<String>,
    }
    let StatusResponse { header, db_size, leader } = serde_json::from_slice(body).ok()?;
    let leader = leader.filter(|leader| leader != "0");
    Some(Status { member: header.member_id, leader, db_size_bytes: db_size.get() })
}

pub fn has_no_space(body: &[u8]) -> Option<bool> {
    #[derive(Deserialize)]
    struct Alarm {
        #[serde(default)]
        alarm: String,
    }
    #[derive(Deserialize)]
    // It has no header, and nothing at all where there is no alarm.
    struct AlarmResponse {
        #[serde(default)]
        alarms: Vec<Alarm>,
    }
    let response: AlarmResponse = serde_json::from_slice(body).ok()?;
    Some(response.alarms.iter().any(|alarm| alarm.alarm == "NOSPACE"))
}

/// A new token.
pub fn token(body: &[u8]) -> Option<Plaintext> {
    #[derive(Deserialize)]
    struct Authenticated {
        token: Plaintext,
    }
    serde_json::from_slice(body).ok().map(|authenticated: Authenticated| authenticated.token)
}

/// How the gateway says what went wrong: with the code of gRPC, and in words.
#[derive(Debug, Default, Deserialize)]
pub struct Problem {
    #[serde(default, alias = "grpc_code")]
    pub code: u32,
    #[serde(default)]
    pub message: String,
}

impl Problem {
    /// None if this is no problem that the gateway tells of.
    pub fn read(body: &[u8]) -> Option<Self> {
        /// That of a stream, such as a lease's, has it one level deeper.
        #[derive(Deserialize)]
        struct Streams {
            error: Problem,
        }
        let streams = serde_json::from_slice(body).ok().map(|streams: Streams| streams.error);
        streams.or_else(|| serde_json::from_slice(body).ok()).filter(|problem| problem.code != 0)
    }
}
