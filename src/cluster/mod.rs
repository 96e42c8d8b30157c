//! Several daemons on one vault: etcd puts their changes in one order, and says who of them leads.
//!
//! No daemon talks to another one. Each has the whole vault in memory and in a file of its own, adds its changes to a log in
//! etcd, and asks etcd for those of the others.

mod anchor;
mod anchors;
mod answers;
mod claims;
mod courtesy;
mod fetch;
mod head;
mod join;
mod keys;
mod leader;
mod lease;
mod left;
mod log;
mod members;
mod one_key;
mod reads;
mod reads_begin;
mod rekeyed;
mod room;
mod snapshot;
mod standing;
mod start;
mod stats;
mod status;
mod tick;
mod transfer;
mod well;

pub(crate) use anchor::{Kept, Unfit};
pub(crate) use reads::EtcdReads;
pub(crate) use start::Cluster;
pub(crate) use status::{DaemonState, DaemonStatus};
pub(crate) use tick::Ticker;
pub(crate) use well::State;

#[cfg(test)]
mod tests;
