//! What is told of versions: of one that was made, and of those that can be read or were destroyed.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::SecretSettings;
use crate::base::clock::Timestamp;

/// A version without its value.
#[derive(Serialize, Deserialize)]
pub struct VersionMetadata {
    pub name: String,
    pub kid: String,
    pub created_at: Timestamp,
    /// The day on which its rotation is due.
    pub expires_at: Timestamp,
    /// Who replaces the value then: `auto` (the schedule), `manual` (a person) or `off` (nobody). A newer daemon may have other
    /// words.
    pub rotation: Cow<'static, str>,
}

/// A version that was made.
#[derive(Serialize, Deserialize)]
pub struct NewVersion {
    #[serde(flatten)]
    pub version: VersionMetadata,
    /// None, like the next one: there was no version before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_readable_until: Option<Timestamp>,
    /// The kids of those that were destroyed; none: that was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired: Option<Vec<String>>,
    /// What whoever stored it should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// The answer to `POST /secrets`.
#[derive(Serialize, Deserialize)]
pub struct NewVersions {
    pub secrets: Vec<NewVersion>,
    /// The names of those that have their value already; none: they were not to be left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unchanged: Option<Vec<String>>,
}

/// The answer to `GET /secret/{name}/versions`.
#[derive(Serialize, Deserialize)]
pub struct VersionList {
    pub name: String,
    pub settings: SecretSettings,
    /// Those that can be read, the newest first.
    pub versions: Vec<ListedVersion>,
    pub pending: Option<PendingVersion>,
}

#[derive(Serialize, Deserialize)]
pub struct ListedVersion {
    pub kid: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub is_current: bool,
    /// None: it is the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readable_until: Option<Timestamp>,
    /// As [`VersionMetadata::rotation`].
    pub rotation: Cow<'static, str>,
}

/// A version that was made and cannot be read yet.
#[derive(Serialize, Deserialize)]
pub struct PendingVersion {
    pub kid: String,
    pub created_at: Timestamp,
}

/// The answer to `POST /secret/{name}/retire`.
#[derive(Serialize, Deserialize)]
pub struct Retired {
    pub name: String,
    /// The version that stays.
    pub kid: String,
    /// The kids of those that were destroyed.
    pub retired: Vec<String>,
}
