//! What `GET /secrets` answers.

use serde::{Deserialize, Serialize};

use super::{SecretSettings, VersionMetadata};

/// Secrets in the order of their names, all or a page of them.
#[derive(Serialize, Deserialize)]
pub struct SecretList<L = Vec<ListedSecret>> {
    pub secrets: L,
    /// The name after which the next page begins; none: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A secret, by its current version.
#[derive(Serialize, Deserialize)]
pub struct ListedSecret {
    #[serde(flatten)]
    pub version: VersionMetadata,
    /// Whether its rotation is due.
    pub is_expired: bool,
    /// None: an older daemon does not say.
    pub has_appliers: Option<bool>,
    /// None: they were not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<SecretSettings>,
}
