//! What `check` finds out about `[storage]`, without changing anything.

use std::net::ToSocketAddrs;

use super::whose::is_within_reach;
use crate::base::failure::Failure;
use crate::base::files;
use crate::cli::exit::Exit;
use crate::cli::output::{self, warn};
use crate::config::StorageConfig;
use crate::http::tls::daemon_trusting;

/// No password is longer.
const LONGEST_PASSWORD: u64 = 4096;

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
    let etcd = &storage.etcd;
    if etcd.endpoints.iter().any(|endpoint| endpoint.tls) {
        let identity = etcd.tls.identity.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
        daemon_trusting(etcd.tls.ca_path.as_deref(), identity)?;
    }
    if let Some(login) = &etcd.login {
        files::read_private_through_links(&login.password_path, LONGEST_PASSWORD)?;
    }
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
