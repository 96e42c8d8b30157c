//! What a secret is apart from its versions: how long they live, whose it is, what it is for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::version::{Lifetimes, Rotation, Version};
use crate::generator::Generator;

pub const MAX_LABELS: usize = 32;

/// The settings of a secret that outlive its versions. What is not set has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Days until a version is due; none: as the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_days: Option<u32>,
    /// Days that a version stays readable after a newer one took its place; none: as the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_days: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What is to be changed of a secret's settings, as RFC 7396 (JSON Merge Patch) has it: a field that is not there stays as
/// it is, `Some(None)` takes it back to its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// Whether the schedule may replace the value.
    pub rotation: Option<Rotation>,
    /// How the next value is made.
    pub generator: Option<Option<Generator>>,
    pub rotation_days: Option<Option<u32>>,
    pub grace_days: Option<Option<u32>>,
    pub description: Option<Option<String>>,
    pub owner: Option<Option<String>>,
    /// Those that are named; none at all: take all away.
    pub labels: Option<Option<BTreeMap<String, Option<String>>>>,
}

impl Settings {
    /// How long this secret's versions live, where `defaults` is as configured.
    pub fn lifetimes(&self, defaults: Lifetimes) -> Lifetimes {
        Lifetimes {
            rotation_days: self.rotation_days.unwrap_or(defaults.rotation_days),
            grace_days: self.grace_days.unwrap_or(defaults.grace_days),
        }
    }
}

impl Patch {
    /// Days that a version stays readable which is replaced by one that comes with this patch.
    pub fn grace_days(&self, settings: &Settings, defaults: Lifetimes) -> u32 {
        match self.grace_days {
            Some(days) => days.unwrap_or(defaults.grace_days),
            None => settings.lifetimes(defaults).grace_days,
        }
    }

    /// Days until rotation of a version is due that comes with this patch.
    pub fn rotation_days(&self, settings: &Settings, defaults: Lifetimes) -> u32 {
        match self.rotation_days {
            Some(days) => days.unwrap_or(defaults.rotation_days),
            None => settings.lifetimes(defaults).rotation_days,
        }
    }

    /// Whether the settings would still be within bounds.
    pub fn fits(&self, settings: &Settings) -> bool {
        let Some(Some(labels)) = &self.labels else { return true };
        let mut keys: BTreeSet<_> = settings.labels.keys().collect();
        for (key, value) in labels {
            match value {
                Some(_) => keys.insert(key),
                None => keys.remove(key),
            };
        }
        keys.len() <= MAX_LABELS
    }

    /// Changes the settings of a secret, and what its current version says of the next one.
    pub fn apply(self, settings: &mut Settings, version: &mut Version) {
        let Self { rotation, generator, rotation_days, grace_days, description, owner, labels } = self;
        set(&mut version.rotation, rotation);
        set(&mut version.generator, generator.map(|generator| generator.map(Box::new)));
        set(&mut settings.rotation_days, rotation_days);
        set(&mut settings.grace_days, grace_days);
        set(&mut settings.description, description);
        set(&mut settings.owner, owner);
        match labels {
            Some(Some(labels)) => {
                for (key, value) in labels {
                    match value {
                        Some(value) => settings.labels.insert(key, value),
                        None => settings.labels.remove(&key),
                    };
                }
            }
            Some(None) => settings.labels.clear(),
            None => {}
        }
    }
}

/// Prints as the names of what it changes.
impl fmt::Display for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            ("rotation", self.rotation.is_some()),
            ("generator", self.generator.is_some()),
            ("rotation_days", self.rotation_days.is_some()),
            ("grace_days", self.grace_days.is_some()),
            ("description", self.description.is_some()),
            ("owner", self.owner.is_some()),
            ("labels", self.labels.is_some()),
        ];
        let named: Vec<_> = fields.into_iter().filter_map(|(name, is_there)| is_there.then_some(name)).collect();
        f.write_str(&named.join(", "))
    }
}

fn set<T>(field: &mut T, to: Option<T>) {
    if let Some(to) = to {
        *field = to;
    }
}
