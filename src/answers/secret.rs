//! What `GET`, `PATCH` and `DELETE /secret/{name}` answer.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{SecretSettings, VersionMetadata};
use crate::base::clock::Timestamp;

/// A value. The daemon writes it from where it lies, and a command reads it as a `Plaintext`: no copy is left behind.
#[derive(Serialize, Deserialize)]
pub struct SecretValue<'a, V> {
    pub name: Cow<'a, str>,
    pub value: V,
    pub kid: Cow<'a, str>,
    /// Not needed where it is read.
    #[serde(default)]
    pub expires_at: Timestamp,
}

/// The answer to a change of settings.
#[derive(Serialize, Deserialize)]
pub struct ConfiguredSecret {
    /// The current version.
    #[serde(flatten)]
    pub version: VersionMetadata,
    pub settings: SecretSettings,
    /// What whoever made the change should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub struct DeletedSecret {
    pub name: String,
    pub versions_destroyed: usize,
}
