//! What could not be done, and why: the form in which every command and the start of the daemon fail.

use std::fmt;

/// A failure for a person: prints as `<what>: <why>`, one line, with what to do about it where there is something to do.
#[derive(Debug)]
pub struct Failure {
    what: String,
    why: String,
}

impl Failure {
    /// `what` names the thing or the step (often a path), `why` the reason and the remedy.
    pub fn new(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self { what: what.to_string(), why: why.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for Failure {}

/// What somebody else wrote, as it may stand in a message: one line that a terminal only shows, and not a long one.
pub fn printable(text: &str) -> String {
    const SHOWN: usize = 200;
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
