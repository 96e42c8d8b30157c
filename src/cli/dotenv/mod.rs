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

pub use reader::{Entry, Read, Reading, read};
