//! A signed statement of where the log stood: kept elsewhere, it shows later that nothing before it was cut off.

use std::path::Path;

use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::chain::{self, Tip};
use crate::base::clock::Timestamp;
use crate::base::failure::{Failure, printable};
use crate::base::hex::hex;

/// The newest line of the log at some time, signed by the log's key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    pub seq: u64,
    /// Its SHA-256, hex.
    pub hash: String,
    /// The vault's sequence number on it.
    pub vault_seq: u64,
    pub timestamp: Timestamp,
    /// Over this object without this field, like a line's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

impl Checkpoint {
    /// An unsigned checkpoint of this line.
    pub(super) fn of(tip: &Tip) -> Self {
        let Tip { seq, hash, vault, timestamp } = *tip;
        Self { seq, hash: hex(&hash), vault_seq: vault.seq, timestamp, signature: None }
    }

    pub(super) fn sign(tip: &Tip, key: &SigningKey) -> Self {
        let mut checkpoint = Self::of(tip);
        let mut text = serde_json::to_vec(&checkpoint).expect("a checkpoint is plain data");
        chain::sign(key, 0, &mut text);
        let signed: Self = serde_json::from_slice(&text).expect("what was just written");
        checkpoint.signature = signed.signature;
        checkpoint
    }

    /// Reads the checkpoint in the file at `path`, and checks its signature.
    pub fn read(path: &Path, key: &VerifyingKey) -> Result<Self, Failure> {
        let fail = |why: &dyn std::fmt::Display| Failure::new(path.display(), why);
        let text = std::fs::read(path).map_err(|why| fail(&why))?;
        let checkpoint: Self = serde_json::from_slice(&text).map_err(|why| fail(&printable(&why.to_string())))?;
        // However it was spaced on its way, what was signed is the compact form.
        let compact = serde_json::to_vec(&checkpoint).expect("a checkpoint is plain data");
        let signature = checkpoint.signature.as_deref().unwrap_or_default();
        chain::verify(key, &compact, signature)
            .map_err(|_| fail(&"the checkpoint's signature does not hold, or is by another log's key"))?;
        Ok(checkpoint)
    }
}
