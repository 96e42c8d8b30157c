//! What the configuration says of a secret's appliers, `[rotation.NAME]`.

use std::time::Duration;

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
