//! What a runner is told of when it is started, and runs nothing besides.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use super::trust;
use crate::base::failure::Failure;

/// The programs that it may run.
#[derive(Serialize, Deserialize)]
pub struct ProgramTable {
    /// What messages call them: `appliers`.
    pub called: String,
    /// The file that is locked while anything may run, if one is.
    pub lock: Option<Lock>,
    /// Variables that the programs are given beside PATH and LC_ALL.
    pub environment: Vec<(String, String)>,
    /// The permissions that files of the programs do not get; none: those of the daemon's own files.
    pub umask: Option<u32>,
    /// The programs; a number in a request is a place in this list.
    pub programs: Vec<Program>,
}

/// A file that is locked while anything may run.
#[derive(Serialize, Deserialize)]
pub struct Lock {
    pub path: PathBuf,
    /// What is wrong if another runner does not let go of it.
    pub still_locked: String,
}

/// A program that may be run.
#[derive(Serialize, Deserialize)]
pub struct Program {
    /// Its path, and its arguments.
    pub words: Vec<String>,
    pub timeout: Duration,
}

impl Program {
    /// Checks that the program may be run by whose process this is.
    ///
    /// # Errors
    /// As [`check_words`](super::check_words).
    pub fn check(&self) -> Result<(), Failure> {
        trust::check_words(&self.words, geteuid().as_raw())
    }
}
