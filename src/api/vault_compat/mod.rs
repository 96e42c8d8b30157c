//! Vault's HTTP API, for clients of HashiCorp Vault and OpenBao that speak nothing else: what reads and stores secrets, and what
//! those ask for when they start.
//!
//! It is another way to the same calls: they are identified, permitted, limited and audited as those of the daemon's own API
//! (`../call.rs`). What only Vault has is refused with a sentence that says what there is instead.

mod answer;
mod asked;
mod auth;
mod credential;
mod data;
mod kv1;
mod list;
mod map;
mod metadata;
mod name;
mod refusal;
mod routes;
mod sys;
mod versions;

pub use routes::{PATHS, answer, has};
