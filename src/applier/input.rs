//! What a program is run for, and what it finds on its standard input.

use serde::Serialize;

/// What a program is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// To make of the generated value the one that is stored.
    Prepare,
    /// To make external systems accept the new value.
    Apply,
    /// To find out whether a value is accepted.
    Verify,
    /// To make external systems refuse an old value.
    Retire,
}

impl Action {
    /// The names of the actions, in the order of the variants.
    pub(super) const NAMES: [&str; 4] = ["prepare", "apply", "verify", "retire"];

    /// As the configuration and the log call it.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// A version as a program is told of it.
#[derive(Clone, Copy, Serialize)]
pub struct ToldVersion<'a> {
    /// Its kid; none before it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<&'a str>,
    pub value: &'a str,
}

/// What a program finds on its standard input.
#[derive(Serialize)]
pub(super) struct ProgramInput<'a> {
    pub action: Action,
    pub name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<ToldVersion<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<ToldVersion<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<ToldVersion<'a>>,
    /// The version that is to be verified.
    #[serde(flatten)]
    pub itself: Option<ToldVersion<'a>>,
}

impl<'a> ProgramInput<'a> {
    pub(super) fn of(action: Action, name: &'a str) -> Self {
        Self { action, name, old: None, new: None, current: None, itself: None }
    }
}
