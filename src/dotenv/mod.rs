//! Dotenv files, as `docker compose` (version 2) reads them.
//!
//! A file means here what it means there, or it is refused: where compose reads something else than the writer must have
//! meant (it takes what stands behind a closing quote for the next line, and an unset variable for nothing), there is a
//! failure with line and column instead. No failure shows anything of the file: what stands at the wrong place may be a
//! part of a value.

mod interpolation;
mod reader;
#[cfg(test)]
mod tests;

use std::ffi::OsString;

use crate::failure::Failure;
use crate::secret::Plaintext;
use crate::source::Source;

/// What a variable of the environment holds, if there is one of that name.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A name and its value.
pub struct Entry {
    /// As it stands in the file: letters, digits, `_`, `.` and `-`.
    pub key: String,
    /// What it means, without quotes, with escapes and variables replaced. It may be empty.
    pub value: Plaintext,
    /// Where the entry begins, in bytes.
    pub offset: usize,
}

/// Reads all entries, in their order. A key may come twice.
///
/// A variable is looked up in the environment first, and then among the entries before it.
///
/// # Errors
/// At the first thing that compose refuses, or reads in another way than it looks; if a variable is not set; if a value
/// is longer than that of a secret may be.
pub fn parse(source: &Source, environment: Environment) -> Result<Vec<Entry>, Failure> {
    reader::Reader::new(source).entries(environment)
}
