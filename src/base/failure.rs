//! What could not be done, and why: the form in which every command and the start of the daemon fail.

use std::fmt;
use std::io::{self, Write};

use serde_json::Value;

use crate::base::object::Object;
use crate::base::progress::meanwhile;

/// A failure for a person: prints as `<what>: <why>`, one line, with what to do about it where there is something to do.
#[derive(Debug)]
pub struct Failure {
    what: String,
    why: String,
    kind: Kind,
    /// More fields of the error, for a program that reads JSON.
    details: Option<Box<Details>>,
}

/// The fields of an error in JSON, but for its message.
pub type Details = Object;

/// What can be done about a failure differs by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any other failure.
    Failed,
    /// It is no use to try again before somebody has changed a file's permissions or what it holds.
    Configuration,
    /// The daemon does not have what was asked for.
    NotFound,
    /// Authentication failed, or the policy denies it.
    Denied,
    /// The daemon does not answer.
    Unreachable,
}

impl Failure {
    /// `what` names the thing or the step (often a path), `why` the reason and the remedy.
    pub fn new(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self { what: what.to_string(), why: why.to_string(), kind: Kind::Failed, details: None }
    }

    /// The same, of the kind [`Kind::Configuration`].
    pub fn configuration(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::new(what, why).of(Kind::Configuration)
    }

    /// The same failure, of this kind.
    pub fn of(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// The same failure, with `what` before its reason.
    pub fn because(self, what: impl fmt::Display) -> Self {
        Self { why: format!("{what}: {}", self.why), ..self }
    }

    /// The same failure, with these fields for a program.
    pub fn with(self, details: Details) -> Self {
        Self { details: Some(Box::new(details)), ..self }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Takes the fields for a program; none if there are none.
    pub fn take_details(&mut self) -> Option<Details> {
        self.details.take().map(|details| *details)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for Failure {}

/// Tells a person something on standard error. Whoever says it goes on where nobody listens there any more.
pub fn say(what: impl fmt::Display) {
    let _ = meanwhile(|| writeln!(io::stderr(), "jarvis-secretsd: {what}"));
}

/// Tells a program something on standard error: one line of JSON.
pub fn say_json(what: Details) {
    let _ = meanwhile(|| writeln!(io::stderr(), "{}", Value::Object(what)));
}

/// What somebody else wrote, as it may stand in a message: one line that a terminal only shows, and not a long one.
pub fn printable(text: &str) -> String {
    const SHOWN: usize = 200;
    let mut shown = String::new();
    for char in text.chars().take(SHOWN) {
        match char {
            '"' | '\'' => shown.push(char),
            _ => shown.extend(char.escape_debug()),
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
