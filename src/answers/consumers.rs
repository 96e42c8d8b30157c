//! What `GET /secret/{name}/consumers` answers.

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;

/// The clients that have read a version which can still be read.
#[derive(Serialize, Deserialize)]
pub struct ConsumerList {
    pub name: String,
    /// The current version.
    pub kid: String,
    pub consumers: Vec<Consumer>,
    /// From when on the audit log tells who has read it.
    pub complete_since: Timestamp,
    /// Whether that is before all versions that can be read.
    pub is_complete: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Consumer {
    pub client: String,
    /// The version that the client has read last.
    pub kid: String,
    pub read_at: Timestamp,
    pub up_to_date: bool,
}
