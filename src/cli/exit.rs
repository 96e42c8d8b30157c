//! How a command ends that has not done what it was to do: the exit status, and what is said.

use crate::base::failure::{Details, Failure, Kind, say, say_json};

/// The daemon does not have what was asked for.
const NOT_FOUND: u8 = 3;

/// Authentication failed, or the policy denies it.
const DENIED: u8 = 4;

/// The daemon does not answer.
const UNREACHABLE: u8 = 5;

/// `sysexits.h`: something was found in a configuration file.
const EX_CONFIG: u8 = 78;

/// Why the program ends without having done what it was to do.
pub struct Exit {
    pub(super) status: u8,
    pub(super) why: String,
    /// More fields of the error, for a program that reads JSON.
    details: Option<Details>,
}

impl Exit {
    pub fn new(status: u8, why: impl std::fmt::Display) -> Self {
        Self { status, why: why.to_string(), details: None }
    }

    pub fn usage(why: impl std::fmt::Display) -> Self {
        let why = why.to_string();
        let end = if why.ends_with('?') { "" } else { ";" };
        Self::new(2, format_args!("usage: {why}{end} see jarvis-secretsd --help"))
    }

    /// What there was to say has been said, by us or by a program that was run.
    pub fn silent(status: u8) -> Self {
        Self::new(status, "")
    }

    pub fn config(why: Failure) -> Self {
        Self::new(EX_CONFIG, why)
    }

    /// Says why, to a person or to a program.
    pub fn say(self, as_json: bool) {
        let Self { status, why, details } = self;
        match as_json {
            _ if why.is_empty() => {}
            false => say(why),
            true => {
                let mut error = details.unwrap_or_default();
                error.entry("error").or_insert_with(|| code(status).into());
                error.insert("message".to_owned(), why.into());
                say_json(error);
            }
        }
    }
}

/// What a program is told of a failure that is not the daemon's, in a word.
fn code(status: u8) -> &'static str {
    match status {
        2 => "usage",
        NOT_FOUND => "not_found",
        UNREACHABLE => "unreachable",
        EX_CONFIG => "configuration",
        _ => "failed",
    }
}

impl From<Failure> for Exit {
    fn from(mut why: Failure) -> Self {
        let status = match why.kind() {
            Kind::Failed => 1,
            Kind::Configuration => EX_CONFIG,
            Kind::NotFound => NOT_FOUND,
            Kind::Denied => DENIED,
            Kind::Unreachable => UNREACHABLE,
        };
        let details = why.take_details();
        Self { details, ..Self::new(status, why) }
    }
}

impl From<lexopt::Error> for Exit {
    fn from(why: lexopt::Error) -> Self {
        Self::usage(why)
    }
}
