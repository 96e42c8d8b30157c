//! What `GET /healthz` and `POST /rekey` answer. No command reads them: the status says enough.

use serde::Serialize;

#[derive(Serialize)]
pub struct Health {
    pub status: &'static str,
    /// Why it is not well; none if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub version: &'static str,
    pub uptime_secs: u64,
    pub secrets_count: u64,
    /// How it is among those that share its vault; none: it has it for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Clustered>,
}

#[derive(Serialize)]
pub struct Clustered {
    pub node: String,
    /// The one that leads; null: this daemon knows of none.
    pub leader: Option<String>,
    pub seq: u64,
    pub confirmed_secs_ago: u64,
}

#[derive(Serialize)]
pub struct Rekeyed {
    pub rekeyed: bool,
}
