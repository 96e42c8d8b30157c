//! A version with its value, as programs are told of it.

use crate::applier::ToldVersion;
use crate::vault::Opened;

/// A version with its value.
pub struct OpenedVersion {
    pub kid: String,
    pub opened: Opened,
}

impl OpenedVersion {
    pub fn told(&self) -> ToldVersion<'_> {
        ToldVersion { kid: Some(&self.kid), value: self.opened.value() }
    }

    pub fn has_value_of(&self, other: &Self) -> bool {
        self.opened.value() == other.opened.value()
    }
}
