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

use crate::base::failure::Failure;
use crate::base::secret::Plaintext;
use crate::base::source::Source;

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

/// How the reader treats variables.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// Where a variable is looked up first; then among the entries before it.
    pub environment: Environment<'a>,
    /// Whether a `$` begins a variable; otherwise it stands for itself.
    pub variables: bool,
}

/// The entries of a file, and its mistakes.
pub struct Read {
    /// All entries, in their order. A key may come twice. Where a value is a mistake, another one stands for it.
    pub entries: Vec<Entry>,
    /// All mistakes, in their order, and where the entry begins that each is in, in bytes.
    pub mistakes: Vec<(usize, Failure)>,
}

/// Reads all entries, and finds all mistakes: what compose refuses, or reads in another way than it looks; variables that are
/// not set; values longer than that of a secret may be. Behind a quote that is never closed nothing more is found.
pub fn read(source: &Source, reading: Reading) -> Read {
    reader::Reader::new(source, reading).read()
}
