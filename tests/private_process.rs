//! What a process does for its privacy by itself. It concerns the whole process, so it is tested alone.

use std::fs;

use jarvis_secretsd::process::{Protection, keep_private};
use rustix::process::{DumpableBehavior, dumpable_behavior};

#[test]
fn a_private_process_can_neither_gain_rights_nor_dump_core_nor_be_debugged_with_or_without_landlock() {
    assert!(matches!(keep_private(), Protection::InForce(_)), "{:?}", keep_private());
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    for line in ["NoNewPrivs:\t1", "Umask:\t0077"] {
        assert!(status.lines().any(|found| found == line), "{line} is not in {status}");
    }
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).collect::<Vec<_>>(), ["0", "0", "bytes"]);
}
