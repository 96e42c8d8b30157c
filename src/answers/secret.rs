//! What `GET`, `PATCH` and `DELETE /secret/{name}` answer.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::VersionMetadata;
use crate::base::clock::Timestamp;
use crate::generator::Generator;

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

/// A secret's settings as they are in force, defaults included.
#[derive(Serialize, Deserialize)]
pub struct SecretSettings {
    /// As [`VersionMetadata::rotation`].
    pub rotation: Cow<'static, str>,
    pub rotation_days: u32,
    pub grace_days: u32,
    /// Not read, for a newer daemon may have more generators: none then.
    #[serde(skip_deserializing)]
    pub generator: Option<Generator>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    pub labels: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
pub struct DeletedSecret {
    pub name: String,
    pub versions_destroyed: usize,
}
