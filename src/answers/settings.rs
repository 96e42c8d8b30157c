//! What is told of a secret's settings.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::generator::Generator;

/// A secret's settings as they are in force, defaults included.
#[derive(Serialize, Deserialize)]
pub struct SecretSettings {
    /// As [`VersionMetadata::rotation`](super::VersionMetadata::rotation).
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
