//! What a daemon looks up in etcd, or puts there, before it notes what its clients read.

use super::answers::only;
use super::log::EtcdLog;
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::etcd::{Condition, Keys, Operation, Range, Txn};
use crate::vault::{SharedLog, Vault};

/// Where a note of the vault's stands that says since when reads are noted.
const SINCE: &str = "reads/since";

/// Has the others know whether this daemon may serve something of which it tells only later. Mostly they do: an etcd without space
/// for anything more must keep no daemon from starting.
///
/// # Errors
/// If etcd does not answer.
pub fn tell_staleness(log: &EtcdLog) -> Result<(), Failure> {
    let key = log.keys().stale(SharedLog::node(log));
    let (is_told, is_so) = (value_of(log, &key)?.is_some(), !log.max_staleness().is_zero());
    let told = match is_so {
        true => Operation::Put { key, value: Vec::new(), lease: None },
        false => Operation::Delete(Keys::One(key)),
    };
    if is_told == is_so { Ok(()) } else { carried_out(log, Txn { then: vec![told], ..Txn::default() }) }
}

/// Since when reads are noted: the first daemon that starts says it.
///
/// # Errors
/// If etcd does not answer, or what it has is not of this vault.
pub fn since(log: &EtcdLog, vault: &Vault) -> Result<Timestamp, Failure> {
    let key = log.keys().reads_since();
    let there = match value_of(log, &key)? {
        None => {
            // The versions that are there were made before that, also by a clock that was ahead.
            let mut latest = 0;
            vault.each_readable(|_, kid| latest = latest.max(kid.second()));
            let since = vault.now().max(Timestamp::from_nanos(latest.saturating_add(1).saturating_mul(1_000_000_000)));
            let value = vault.sealed_note(SINCE, &since.nanos().to_be_bytes())?;
            let put = Operation::Put { key: key.clone(), value, lease: None };
            let conditions = vec![Condition::IsAbsent { key: key.clone() }];
            carried_out(log, Txn { conditions, then: vec![put], otherwise: Vec::new() })?;
            value_of(log, &key)?
        }
        there => there,
    };
    let note = there.and_then(|there| vault.opened_note(SINCE, &there));
    let nanos = note.and_then(|note| note.as_slice().try_into().map(u64::from_be_bytes).ok());
    let why = || failure(log, format_args!("{SINCE} was changed, or is of another vault"));
    nanos.map(Timestamp::from_nanos).ok_or_else(why)
}

fn value_of(log: &EtcdLog, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let answer = log.etcd().range(&Range::of(Keys::One(key.to_vec())), log.deadline());
    answer.map(only).map_err(|why| failure(log, why))
}

fn carried_out(log: &EtcdLog, txn: Txn) -> Result<(), Failure> {
    log.etcd().txn(&txn, log.deadline()).map(drop).map_err(|why| failure(log, why))
}

fn failure(log: &EtcdLog, why: impl std::fmt::Display) -> Failure {
    Failure::new(format_args!("etcd, {}", log.keys().prefix()), why)
}
