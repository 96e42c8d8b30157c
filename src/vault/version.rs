//! A version of a secret, apart from its value: when it is due, who replaces it, and how long versions live.

use serde::{Deserialize, Serialize};

use super::kid::Kid;
use crate::base::clock::Timestamp;
use crate::generator::Generator;

/// Who replaces a secret's value when rotation is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rotation {
    /// The schedule replaces the value when rotation is due.
    Auto,
    /// A person replaces it: that rotation is due is reported, and the schedule leaves the value alone.
    #[default]
    Manual,
    /// It lives until somebody replaces it: rotation is never due.
    Off,
}

impl Rotation {
    /// The word for it in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
            Self::Off => "off",
        }
    }
}

/// What a version is, apart from its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub kid: Kid,
    pub created_at: Timestamp,
    /// The day on which rotation is due.
    pub expires_at: Timestamp,
    pub rotation: Rotation,
    /// How the next value is made; none: the default way.
    pub generator: Option<Box<Generator>>,
}

impl Version {
    /// Whether it is past its day.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.rotation != Rotation::Off && self.expires_at <= now
    }

    /// Whether a person supplied the value and did not say that, or how, the daemon is to make the next one.
    pub fn is_supplied(&self) -> bool {
        self.rotation != Rotation::Auto && self.generator.is_none()
    }

    /// How the next value is made.
    pub fn next_generator(&self) -> Generator {
        self.generator.as_deref().cloned().unwrap_or_default()
    }
}

/// How long versions live.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Days until a version is due for rotation.
    pub rotation_days: u32,
    /// Days that a version stays readable after a newer one took its place.
    pub grace_days: u32,
}
