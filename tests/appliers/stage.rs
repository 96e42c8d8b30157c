//! A runner with programs of the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jarvis_secretsd::base::failure::Failure;
use jarvis_secretsd::programs::Runner;
use jarvis_secretsd::programs::outcome::Outcome;
use jarvis_secretsd::programs::table::{Lock, Program, ProgramTable};

use crate::patience::eventually;
use crate::trusted::{Trusted, processes_with};

pub const BINARY: &str = env!("CARGO_BIN_EXE_jarvis-secretsd");

/// Time enough for whatever ends by itself.
pub const LONG: Duration = Duration::from_secs(600);

/// A number of seconds that no other test sleeps, by which its processes are found.
pub fn marker() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}.{:06}", 1_000_000 + std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub struct Stage {
    pub directory: Trusted,
    /// What the shell program sleeps so that it is found.
    pub marker: String,
}

impl Stage {
    pub fn new() -> Self {
        Self { directory: Trusted::new(), marker: marker() }
    }

    /// A program for the shell. In it, `$1` is the stage's directory, and `$2` its marker.
    pub fn shell(&self, text: &str) -> PathBuf {
        self.directory.program("program", &format!("#!/bin/sh\n{text}\n"))
    }

    /// A runner of the one program at `path`.
    pub fn runner(&self, path: &Path, timeout: Duration) -> Result<Runner, Failure> {
        let words = [path, self.directory.path("").as_path()].map(|path| path.to_str().unwrap().to_owned());
        let words = words.into_iter().chain([self.marker.clone()]).collect();
        Runner::start(Path::new(BINARY), &self.table(vec![Program { words, timeout }]))
    }

    /// What a runner of these programs gets at its start.
    pub fn table(&self, programs: Vec<Program>) -> ProgramTable {
        let lock = Lock { path: self.directory.path("lock"), still_locked: "is still locked".to_owned() };
        let (called, environment, umask) = ("appliers".to_owned(), Vec::new(), None);
        ProgramTable { called, lock: Some(lock), environment, umask, programs }
    }

    /// What comes of a program for the shell with this on its standard input.
    pub fn run(&self, text: &str, timeout: Duration, input: &[u8]) -> Outcome {
        let program = self.shell(text);
        self.runner(&program, timeout).unwrap().run(0, LONG, input)
    }

    /// Nothing of what the program has started is left.
    pub fn assert_nothing_is_left(&self) {
        assert!(processes_with(&self.marker).is_empty(), "{}", self.marker);
    }

    /// Waits until the program has written something to the file `name`, and returns it.
    pub fn written(&self, name: &str) -> String {
        eventually(&format!("{name} is written"), || {
            fs::read_to_string(self.directory.path(name)).ok().filter(|text| text.ends_with('\n'))
        })
    }
}
