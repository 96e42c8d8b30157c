//! The vault's file: what is loaded is the beginning of a file that the daemon wrote, whatever was done to it.
#![no_main]

use jarvis_secretsd::audit::VaultAt;
use jarvis_secretsd::vault::{Found, KeyBytes};
use jarvis_secretsd_fuzz::{check_message, file};
use libfuzzer_sys::fuzz_target;

/// All that was ever written under this key: one vault, before and after a compaction.
const WRITTEN: [&[u8]; 2] = [include_bytes!("../corpus/vault/changes"), include_bytes!("../corpus/vault/compacted")];

fuzz_target!(|bytes: &[u8]| {
    let path = file("vault.json", bytes);
    match Found::look(&path, &KeyBytes::of(&[7; 32]).unwrap(), VaultAt::START) {
        Ok(found) => {
            let loaded = &bytes[..bytes.len() - found.unfinished_bytes() as usize];
            assert!(WRITTEN.iter().any(|written| written.starts_with(loaded)), "a forged vault was loaded");
        }
        Err(why) => check_message(&why),
    }
});
