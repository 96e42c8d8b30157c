//! The audit log: what verifies, and what the daemon goes on from, are lines that it wrote, in their order.
#![no_main]

use std::sync::LazyLock;

use jarvis_secretsd::audit::{Found, verify};
use jarvis_secretsd_fuzz::{check_message, file};
use libfuzzer_sys::fuzz_target;

/// All that was ever signed with the key.
const WRITTEN: &[u8] = include_bytes!("../corpus/audit/log");

/// The key of 32 times the byte 7, which signs nothing else.
static KEY: LazyLock<()> = LazyLock::new(|| {
    let base64 = "MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
    let label = "PRIVATE KEY";
    let key = file("audit.sign.key", format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n").as_bytes());
    std::fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    file("audit.sign.pub", include_bytes!("../audit.sign.pub"));
});

fuzz_target!(|bytes: &[u8]| {
    LazyLock::force(&KEY);
    let path = file("audit.jsonl", bytes);
    let lines = |bytes: &'static [u8]| bytes.split_inclusive(|byte| *byte == b'\n').collect::<Vec<_>>();
    let written = lines(WRITTEN);
    match verify(std::slice::from_ref(&path), None, None) {
        Ok(report) => {
            let (count, first) = (report.lines as usize, report.first_seq as usize);
            let good = &bytes[..bytes.len() - report.torn_bytes as usize];
            let expected = if count == 0 { Vec::new() } else { written[first - 1..first - 1 + count].concat() };
            assert_eq!(good, expected, "a forged log verifies");
        }
        Err(why) => check_message(&why),
    }
    match Found::look(&path) {
        Ok(found) => {
            let good = &bytes[..bytes.len() - found.unfinished_bytes() as usize];
            let last = good.split_inclusive(|byte| *byte == b'\n').next_back();
            match (found.tip(), last) {
                (None, last) => assert_eq!(last, None, "a line was passed over"),
                (Some(tip), last) => assert_eq!(last, Some(written[tip.seq as usize - 1]), "a forged end was accepted"),
            }
        }
        Err(why) => check_message(&why),
    }
});
