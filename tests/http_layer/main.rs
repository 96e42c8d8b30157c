//! The connection layer as a client sees it: raw bytes over a real socket.

mod answers;
mod bodies;
mod connections;
mod framing;
mod kept_tls;
mod limits;
#[path = "../patience/mod.rs"]
mod patience;
mod stopping;
mod support;
mod tls;
#[path = "../tls_client/mod.rs"]
mod tls_client;
mod unix;
