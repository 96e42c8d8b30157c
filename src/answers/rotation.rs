//! What `POST /rotate` and `GET /rotation/schedule` answer.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{NewVersion, VersionMetadata};
use crate::base::clock::Timestamp;
use crate::generator::Generator;

#[derive(Serialize, Deserialize)]
pub struct Rotated {
    /// How many names follow.
    #[serde(default)]
    pub rotated_count: usize,
    pub rotated: Vec<String>,
    /// Only of secrets that were named: what is due may be many times as much as a request names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<NewVersion>,
}

/// The answer with `dry_run=true`. Its first fields have the form of [`Rotated`], and say that nothing was rotated.
#[derive(Serialize, Deserialize)]
pub struct RotationPlan<L = Vec<PlannedVersion>> {
    pub dry_run: bool,
    pub rotated_count: usize,
    pub rotated: [String; 0],
    pub would_rotate: L,
}

/// A version as a rotation would make it.
#[derive(Serialize, Deserialize)]
pub struct PlannedVersion {
    #[serde(flatten)]
    pub version: VersionMetadata,
    /// Empty: an older daemon does not say.
    #[serde(default)]
    pub previous_kid: String,
    pub previous_readable_until: Timestamp,
    /// Whether a person supplied the value that would be replaced.
    #[serde(default)]
    pub previous_is_supplied: bool,
    /// Not read, for a newer daemon may have more generators: none then.
    #[serde(skip_deserializing)]
    pub generator: Option<Generator>,
    /// None: an older daemon does not say.
    pub has_appliers: Option<bool>,
}

#[derive(Serialize, Deserialize)]
pub struct RotationSchedule<L = Vec<ScheduledRotation>> {
    pub schedule: L,
    /// The maintenance windows; none: at any time.
    pub window: Option<String>,
    pub jitter_hours: u64,
}

#[derive(Serialize, Deserialize)]
pub struct ScheduledRotation {
    pub name: String,
    pub kid: String,
    /// As [`VersionMetadata::rotation`].
    pub rotation: Cow<'static, str>,
    pub expires_at: Timestamp,
    /// None: it is left to a person.
    pub scheduled_at: Option<Timestamp>,
    pub is_due: bool,
    /// None: an older daemon does not say.
    pub has_appliers: Option<bool>,
}
