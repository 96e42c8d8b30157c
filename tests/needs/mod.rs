//! Programs that a test cannot do without.

use std::process::{Command, Stdio};

/// Whether the program can be run. Under CI nothing may be skipped.
pub fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(found || std::env::var("CI").as_deref() != Ok("true"), "{program} is missing; make deps installs it");
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}
