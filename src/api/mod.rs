//! The HTTP API: routes, JSON in, JSON out.
//!
//! Around what answers a call, the client is identified and the call is audited (`routes.rs`, `call.rs`). What answers it asks
//! first whether the client may have it. The work then takes that permission as a type, such as `MayRead`.

mod answer;
mod call;
mod checkpoint;
mod conditions;
mod consumers;
mod credential;
pub(crate) mod failures;
mod health;
mod json;
mod list;
mod openapi;
mod problem;
mod query;
mod received;
mod rekey;
mod retire;
mod revoke;
mod rollback;
mod rotate;
mod route;
mod routes;
mod schedule;
mod secret;
mod settings;
mod store;
mod unapplied;
mod vault_compat;
mod versions;
mod wait;

use std::sync::Arc;
use std::time::Instant;

use crate::access::Access;
use crate::audit::AuditLog;
use crate::cluster::Cluster;
use crate::consumers::Consumers;
use crate::http;
use crate::metrics::Metrics;
use crate::rotation::{Rotator, Schedule};
use crate::vault::{KeyFile, MAX_VALUE, Rotation, Vault};

pub use vault_compat::PATHS as VAULT_PATHS;

/// The largest body: a value of which each byte is escaped (`\u0001`), and what stands around it.
pub const MAX_BODY: usize = MAX_VALUE * 6 + 4096;

/// The parts of the daemon that answer calls.
pub struct Api {
    pub access: Arc<Access>,
    pub vault: Arc<Vault>,
    pub rotator: Arc<Rotator>,
    pub audit: Arc<AuditLog>,
    pub consumers: Arc<Consumers>,
    pub master_key: Arc<KeyFile>,
    pub schedule: Schedule,
    /// The rotation of a generated value whose request names none and whose secret has no appliers.
    pub default_rotation: Rotation,
    pub metrics: Metrics,
    pub connections: Arc<http::ConnectionStats>,
    /// The daemons that share the vault; none: this one has it for itself.
    pub(crate) cluster: Option<Arc<Cluster>>,
    /// How many requests may wait for a secret to change.
    pub max_watchers: usize,
    pub started: Instant,
    /// Whether Vault's API is served, too.
    pub vault_api: bool,
}
