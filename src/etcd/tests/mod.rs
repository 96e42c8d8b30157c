//! The client against gateways that a test plays.

pub mod gateway;
mod login;
mod requests;
mod retries;

use std::time::{Duration, Instant};

use super::txn::Keys;
use super::{Endpoint, Etcd, Range, Settings, TlsFiles};
use gateway::Gateway;

/// The answer to a range in which nothing was found.
const NOTHING: &str = r#"{"header":{"revision":"7"}}"#;

fn etcd(endpoints: &[&Endpoint]) -> Etcd {
    let endpoints = endpoints.iter().map(|endpoint| (*endpoint).clone()).collect();
    Etcd::new(&Settings { endpoints, tls: TlsFiles::default(), login: None }, 0).unwrap()
}

/// The same client, for a test in which nobody is silent, however slow the machine is.
fn patient(mut etcd: Etcd) -> Etcd {
    etcd.caller.patience = Duration::from_secs(300);
    etcd
}

fn of(gateway: &Gateway) -> Etcd {
    patient(etcd(&[&gateway.endpoint]))
}

/// Later than any test takes.
fn late() -> Instant {
    Instant::now() + Duration::from_secs(300)
}

/// Enough for a first answer, and to be waited for.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

fn some_range() -> Range {
    Range::of(Keys::One(b"k".to_vec()))
}
