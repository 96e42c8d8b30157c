//! A line of the audit log.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::time;

/// What it says.
#[derive(Clone, Debug)]
pub struct Line {
    pub event: &'static str,
    pub client: Option<&'static str>,
    pub request_id: Option<String>,
    pub name: Option<&'static str>,
    pub kid: Option<String>,
    pub result: &'static str,
    pub at: SystemTime,
    pub vault_seq: u64,
    /// The vault's last change; 0: there was none yet.
    pub change: u64,
}

/// Why something happens: what the audit log calls it, and who asked for it in which request.
#[derive(Clone, Copy)]
pub struct Cause<'a> {
    pub event: &'static str,
    pub client: Option<&'static str>,
    pub request_id: Option<&'a str>,
}

impl Cause<'_> {
    /// The daemon's own doing.
    pub fn own(event: &'static str) -> Self {
        Self { event, client: None, request_id: None }
    }
}

impl Line {
    /// As it stands in the file as number `seq`, but for its details, its place in the chain and its signature.
    pub fn json(&self, seq: usize, remote: &str) -> Value {
        json!({
            "seq": seq, "timestamp": time(self.at), "event": self.event, "client": self.client,
            "secret_name": self.name, "kid": self.kid, "remote": self.request_id.as_ref().map(|_| remote),
            "request_id": self.request_id, "result": self.result, "vault_seq": self.vault_seq,
        })
    }
}
