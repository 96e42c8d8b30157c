//! What one line of the audit log says.

use serde::{Deserialize, Serialize};

use super::vault_at::{VaultAt, VaultHead};
use crate::base::clock::Timestamp;
use crate::base::subject::Subject;

/// What the detail of a line begins with that is of Vault's API.
pub const VAULT_API: &str = "vault api";

/// What an audit line tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    ServerStart,
    /// The daemon stopped as it was told to.
    ServerStop,
    /// A secret was read, or somebody tried.
    GetSecret,
    /// A secret got a version with a value that was sent, or generated on request.
    CreateSecret,
    ConfigureSecret,
    /// A secret was deleted with all its versions.
    DeleteSecret,
    ListSecrets,
    ListVersions,
    /// The clients that have read a secret were listed.
    ListConsumers,
    ListSchedule,
    /// A version was stored that external systems must accept before it is served.
    PrepareRotation,
    /// A secret got a version with a generated value.
    Rotate,
    /// A version whose grace was over was destroyed.
    DestroyVersion,
    /// An older version was destroyed before its grace was over, or somebody tried.
    Retire,
    PolicyReload,
    /// A request's authentication failed.
    AuthFailure,
    /// A change that a crash left in the vault without its line.
    Recovered,
    /// An operator let the daemon start although the vault does not continue what this log says, or this log is older than the
    /// vault says. It begins a branch of the vault.
    RollbackAccepted,
    /// The vault was put under another master key.
    Rekey,
    /// A backup was put in the place of the vault, which begins a branch of it.
    Restore,
    /// The vault was copied from its file to where several daemons share it, or back.
    StorageCopy,
    /// The log that several daemons share was replaced by a snapshot, up to a change.
    Snapshot,
    /// The log continues in a new file.
    LogReopen,
    /// A closed segment of the log is deleted, since only so many are kept.
    DeleteSegment,
    /// Lines can be written again, after a time in which they could not.
    AuditResumed,
    /// A checkpoint of this log was given out.
    AuditCheckpoint,
    /// A client had itself identified, and asked for nothing of a secret.
    Identify,
}

/// How an event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Success,
    Denied,
    Error,
}

/// A line to be written: everything but what the log itself adds (number, time, chain, signature).
///
/// No value, token or key may stand in it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub event: Event,
    pub client: Option<String>,
    /// Whom the client's JWT was about; none: it did not present one.
    // In a box, which most lines do without: batches of entries are moved about.
    pub subject: Option<Box<Subject>>,
    pub secret_name: Option<String>,
    pub kid: Option<String>,
    /// The address it came from.
    pub remote: Option<String>,
    /// The request, as in its `X-Request-Id`.
    pub request_id: Option<String>,
    pub result: Outcome,
    /// Whether it came by Vault's API, which its line then says before the detail.
    pub by_vault_api: bool,
    pub detail: Option<String>,
    /// Where the vault stood after the event; none: as on the line before.
    pub vault: Option<VaultAt>,
}

impl Entry {
    /// An entry that says nothing but that `event` succeeded.
    pub fn new(event: Event) -> Self {
        Self {
            event,
            client: None,
            subject: None,
            secret_name: None,
            kid: None,
            remote: None,
            request_id: None,
            result: Outcome::Success,
            by_vault_api: false,
            detail: None,
            vault: None,
        }
    }

    /// The same entry with another end and a few words on it.
    pub fn ended(self, result: Outcome, detail: impl Into<String>) -> Self {
        Self { result, detail: Some(detail.into()), ..self }
    }
}

/// A line as it stands in the file. The order of the fields is the order in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub(super) seq: u64,
    pub timestamp: Timestamp,
    pub event: Event,
    pub client: Option<String>,
    #[serde(rename = "jwt", default, skip_serializing_if = "Option::is_none")]
    subject: Option<Box<Subject>>,
    pub secret_name: Option<String>,
    pub kid: Option<String>,
    remote: Option<String>,
    request_id: Option<String>,
    pub result: Outcome,
    pub detail: Option<String>,
    vault_seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vault_head: Option<VaultHead>,
    pub(super) prev: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signature: Option<String>,
}

impl Line {
    pub(super) fn new(entry: Entry, seq: u64, timestamp: Timestamp, vault: VaultAt, prev: String) -> Self {
        let Entry {
            event, client, subject, secret_name, kid, remote, request_id, result, by_vault_api, detail, ..
        } = entry;
        let detail = match (by_vault_api, detail) {
            (true, Some(detail)) => Some([VAULT_API, ": ", &detail].concat()),
            (true, None) => Some(VAULT_API.to_owned()),
            (false, detail) => detail,
        };
        Self {
            seq,
            timestamp,
            event,
            client,
            subject,
            secret_name,
            kid,
            remote,
            request_id,
            result,
            detail,
            vault_seq: vault.seq,
            vault_head: vault.head,
            prev,
            signature: None,
        }
    }

    /// Where the vault stood after the event.
    pub fn vault(&self) -> VaultAt {
        VaultAt { seq: self.vault_seq, head: self.vault_head }
    }
}
