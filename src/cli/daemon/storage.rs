//! What `check` finds out about `[storage]`, without changing anything.

use std::net::ToSocketAddrs;

use super::whose::is_within_reach;
use crate::base::failure::Failure;
use crate::base::object::object;
use crate::cli::exit::Exit;
use crate::cli::report::Report;
use crate::config::StorageConfig;
use crate::etcd::Etcd;

/// Checks that a daemon of the user `uid` can use what it takes to ask etcd.
pub fn check(storage: &StorageConfig, uid: u32, report: &mut Report) -> Result<(), Exit> {
    check_files(storage, uid, report)?;
    for why in storage.warning().into_iter().chain(unknown_hosts(storage)) {
        report.warn(why)?;
    }
    Ok(())
}

fn check_files(storage: &StorageConfig, uid: u32, report: &mut Report) -> Result<(), Exit> {
    for path in storage.paths() {
        if !is_within_reach(path, uid, report)? {
            return Ok(());
        }
    }
    Etcd::new(&storage.etcd, 0)?;
    let StorageConfig { node, prefix, .. } = storage;
    report.tell(
        format_args!("node {node} of the daemons below {prefix} in etcd: good"),
        object([("node", node.as_str().into()), ("prefix", prefix.as_str().into())]),
    )
}

/// The members of etcd whose names have no address here.
fn unknown_hosts(storage: &StorageConfig) -> impl Iterator<Item = Failure> {
    storage.etcd.endpoints.iter().filter_map(|endpoint| {
        let found = (endpoint.host.as_str(), endpoint.port).to_socket_addrs();
        let why = found.err()?;
        Some(Failure::new(
            endpoint,
            format_args!("the daemon could not ask etcd there: {why}; correct the name, or make it known to this host"),
        ))
    })
}
