//! What a daemon looks up in etcd, or puts there, before it notes what its clients read.

use super::log::EtcdLog;
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::etcd::{Keys, Operation, Txn};
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
    let there = log.value_of(key.clone(), log.deadline()).map_err(|why| log.failure(why))?;
    let told = match (there, !log.max_staleness().is_zero()) {
        (None, true) => Operation::put(key, Vec::new()),
        (Some(_), false) => Operation::Delete(Keys::One(key)),
        _ => return Ok(()),
    };
    let txn = Txn { then: vec![told], ..Txn::default() };
    log.etcd().txn(&txn, log.deadline()).map(drop).map_err(|why| log.failure(why))
}

/// Since when reads are noted: the first daemon that starts says it.
///
/// # Errors
/// If etcd does not answer, or what it has is not of this vault.
pub fn since(log: &EtcdLog, vault: &Vault) -> Result<Timestamp, Failure> {
    let key = log.keys().reads_since();
    let failure = |why| log.failure(why);
    let there = match log.value_of(key.clone(), log.deadline()).map_err(failure)? {
        None => {
            // The versions that are there were made before that, also by a clock that was ahead.
            let mut latest = 0;
            vault.each_readable(|_, kid| latest = latest.max(kid.second()));
            let since = vault.now().max(Timestamp::from_nanos(latest.saturating_add(1).saturating_mul(1_000_000_000)));
            let value = vault.sealed_note(SINCE, &since.nanos().to_be_bytes())?;
            log.put_in_place_of(None, (key, value), None, log.deadline()).map_err(failure)?
        }
        there => there,
    };
    let note = there.and_then(|there| vault.opened_note(SINCE, &there));
    let nanos = note.and_then(|note| note.as_slice().try_into().map(u64::from_be_bytes).ok());
    let why = || log.failure(format_args!("{SINCE} was changed, or is of another vault"));
    nanos.map(Timestamp::from_nanos).ok_or_else(why)
}
