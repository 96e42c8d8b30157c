//! Random operations, held against what is promised: one after the other against a simple model, and many at a time by
//! finding an order in which they may have happened.
//!
//! `MODEL_TIMES` says how many times as much of it is to be done.

#[path = "../daemon/client.rs"]
#[allow(dead_code, reason = "shared with the tests of the daemon")]
mod client;
mod concurrent;
mod linearizability;
mod model;
mod operation;
#[path = "../patience/mod.rs"]
mod patience;
mod policy;
#[path = "../daemon/running.rs"]
#[allow(dead_code, reason = "shared with the tests of the daemon")]
mod running;
mod sequence;
mod several;
#[path = "../daemon/site.rs"]
#[allow(dead_code, reason = "shared with the tests of the daemon")]
mod site;
mod system;
#[path = "../tls_client/mod.rs"]
mod tls_client;

/// How many times as much as usual is to be done.
fn times() -> u32 {
    std::env::var("MODEL_TIMES").map_or(1, |times| times.parse().expect("MODEL_TIMES is a number"))
}
