//! What every other module may use and what uses none of them: time, names, files, plaintexts, failures.

pub mod clock;
pub mod failure;
pub mod name;
pub mod secret;
pub mod source;

pub(crate) mod directory_locks;
pub(crate) mod files;
pub(crate) mod hex;
pub(crate) mod logging;
pub(crate) mod moment;
pub(crate) mod nearest;
pub(crate) mod object;
pub(crate) mod progress;
pub(crate) mod span;
pub(crate) mod strict_toml;
pub(crate) mod subject;
pub(crate) mod sync;
pub(crate) mod watched;
