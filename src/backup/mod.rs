//! A backup: one file with all that a daemon knows but its master key, made while it works.
//!
//! It is a tar archive of text files, so that in need it can be looked into without this program. Its first entry, the
//! manifest, has the SHA-256 of the others and is what the sealed signing key is bound to: one changed byte anywhere,
//! and the backup does not open.

mod archive;
mod compare;
mod create;
mod layout;
mod part;
mod restore;
mod verify;

use serde::{Deserialize, Serialize};

pub use archive::Archive;
pub(crate) use compare::{Loss, loss};
pub use create::create;
pub(crate) use create::write;
pub use restore::restore;
pub use verify::Verified;

use crate::base::clock::Timestamp;

/// What a file that is a backup calls itself.
const FORMAT: &str = "jarvis-secretsd-backup";
/// The version of the format that this program reads and writes.
const VERSION: u32 = 1;

/// The entries of the archive, in their order.
const MANIFEST: &str = "manifest.json";
const SIGNING_KEY: &str = "audit.sign.key.sealed";
const PUBLIC_KEY: &str = "audit.sign.pub";
const POLICY: &str = "policy.toml";
const VAULT: &str = "vault.json";
const AUDIT: &str = "audit.jsonl";

/// What a backup says of itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    version: u32,
    pub created_at: Timestamp,
    /// The version of the program that made it.
    pub program: String,
    /// The vault's id, 32 hex digits.
    pub vault_id: String,
    /// The vault's last change in it.
    pub vault_seq: u64,
    /// The audit log's last line in it.
    pub audit_seq: u64,
    files: Vec<Digest>,
}

/// What one file of the archive is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Digest {
    name: String,
    bytes: u64,
    sha256: String,
}

/// What the sealed signing key is bound to.
fn associated(manifest: &[u8]) -> Vec<u8> {
    [format!("{FORMAT} {VERSION} signing key ").as_bytes(), manifest].concat()
}
