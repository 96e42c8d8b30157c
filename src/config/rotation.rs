//! `[rotation]`: when the schedule makes new values, and how one gets to where it is used.

use std::collections::BTreeMap;
use std::time::Duration;

use super::values::program;
use super::{Failure, Table, Value};
use crate::applier::ApplierConfig;
use crate::base::name::{NO_SECRETS_NAME, is_name};
use crate::rotation::{Schedule, Windows};
use crate::vault::Rotation;

/// `[rotation]`: when secrets are rotated, and by which programs.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RotationConfig {
    /// When the schedule replaces what is due: `window` and `jitter_hours`.
    pub schedule: Schedule,
    /// `default`: the rotation of a generated value whose request names none and whose secret has no appliers.
    pub default: Rotation,
    /// Of each secret that has any, its appliers: `[rotation.NAME]`.
    pub appliers: BTreeMap<String, ApplierConfig>,
}

impl RotationConfig {
    pub(super) fn read(&mut self, mut table: Table<'_>) -> Result<(), Failure> {
        table.set("window", &mut self.schedule.windows, |value| windows(value).map(Some))?;
        table.set("jitter_hours", &mut self.schedule.jitter, |value| {
            value.integer(0..=24 * 365).map(|hours: u64| Duration::from_secs(hours * 3600))
        })?;
        let offered = [("manual", Rotation::Manual), ("auto", Rotation::Auto)];
        table.set("default", &mut self.default, |value| value.one_of(&offered))?;
        for (name, table) in table.tables()? {
            if !is_name(&name) {
                return Err(table.refuse(NO_SECRETS_NAME));
            }
            self.appliers.insert(name, appliers(table)?);
        }
        Ok(())
    }
}

fn appliers(mut table: Table<'_>) -> Result<ApplierConfig, Failure> {
    let (mut prepare, mut retire, mut timeout) = (None, None, Duration::from_secs(30));
    table.set("prepare", &mut prepare, |value| program(value).map(Some))?;
    let apply = table.required("apply", program);
    let verify = table.required("verify", program);
    table.set("retire", &mut retire, |value| program(value).map(Some))?;
    table.set("timeout_secs", &mut timeout, |value| value.integer(1..=3600).map(Duration::from_secs))?;
    // A misspelt key is named rather than the one that then is missing.
    table.finish()?;
    Ok(ApplierConfig { prepare, apply: apply?, verify: verify?, retire, timeout })
}

fn windows(value: &Value<'_>) -> Result<Windows, Failure> {
    let why = "must be times of the week in UTC, such as \"02:00-04:00\", \"Sat 22:00-02:00\" or \"Mon-Fri 01:00-05:00, Sun \
               01:00-09:00\"";
    Windows::parse(value.string()?).ok_or_else(|| value.refuse(why))
}
