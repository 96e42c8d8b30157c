//! The client of etcd against real ones: each condition, each limit, and members that die or freeze.

mod accounts;
mod faults;
mod limits;
mod members;
#[path = "../needs/mod.rs"]
mod needs;
#[path = "../patience/mod.rs"]
mod patience;
mod transactions;

/// Whether there is an etcd to be had.
fn is_there() -> bool {
    ["etcd", "etcdctl", "openssl"].into_iter().all(needs::is_installed)
}
