//! What a test cannot do without. Where it is missing the test is skipped, but under CI nothing may be.
#![allow(dead_code, reason = "each test needs something else")]

use std::process::{Command, Stdio};

/// Whether the program can be run.
pub fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    is_there(found, format_args!("{program}, which make deps installs"))
}

/// Whether the test is run by root.
pub fn to_be_root() -> bool {
    is_there(rustix::process::geteuid().is_root(), format_args!("root"))
}

fn is_there(found: bool, what: std::fmt::Arguments) -> bool {
    assert!(found || std::env::var("CI").as_deref() != Ok("true"), "not there: {what}");
    if !found {
        eprintln!("skipped for want of: {what}");
    }
    found
}
