//! What the configuration says of a secret's appliers, `[rotation.NAME]`, and whether they may be run.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::failure::Failure;
use crate::base::strict_toml::written;
use crate::programs::check_words;

/// A secret's appliers: the programs that tell external systems its new value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplierConfig {
    /// Makes of the generated value the one that is stored.
    pub prepare: Option<Vec<String>>,
    /// Makes external systems accept the new value.
    pub apply: Vec<String>,
    /// Finds out whether external systems accept a value.
    pub verify: Vec<String>,
    /// Makes external systems refuse an old value.
    pub retire: Option<Vec<String>>,
    /// How long each of them may run.
    pub timeout: Duration,
}

impl ApplierConfig {
    /// The programs, in the order of the [actions](super::Action).
    pub(super) fn programs(&self) -> [Option<&Vec<String>>; 4] {
        [self.prepare.as_ref(), Some(&self.apply), Some(&self.verify), self.retire.as_ref()]
    }
}

/// Checks that all programs may be run by the user `uid`.
///
/// # Errors
/// Names the first one that may not, why, and the command that helps.
pub fn check(appliers: &BTreeMap<String, ApplierConfig>, uid: u32) -> Result<(), Failure> {
    for (name, applier) in appliers {
        for program in applier.programs().into_iter().flatten() {
            check_words(program, uid).map_err(|why| Failure::new(format_args!("[rotation.{}]", written(name)), why))?;
        }
    }
    Ok(())
}
