//! What `check` finds out about `[storage]`, without changing anything.

use std::net::ToSocketAddrs;

use super::whose::is_within_reach;
use crate::base::failure::Failure;
use crate::cli::exit::Exit;
use crate::cli::output::{self, warn};
use crate::config::StorageConfig;
use crate::etcd::Etcd;

/// Checks that a daemon of the user `uid` can use what it takes to ask etcd.
pub fn check(storage: &StorageConfig, uid: u32) -> Result<(), Exit> {
    check_files(storage, uid)?;
    for why in storage.warning().into_iter().chain(unknown_hosts(storage)) {
        warn(why)?;
    }
    Ok(())
}

fn check_files(storage: &StorageConfig, uid: u32) -> Result<(), Exit> {
    for path in storage.paths() {
        if !is_within_reach(path, uid)? {
            return Ok(());
        }
    }
    Etcd::new(&storage.etcd, 0)?;
    output::tell(format_args!("node {} of the daemons below {} in etcd: good", storage.node, storage.prefix))
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
