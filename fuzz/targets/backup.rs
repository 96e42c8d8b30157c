//! A backup: whatever is taken for one, or refused, little memory is used for it. libFuzzer watches that.
#![no_main]

use jarvis_secretsd::backup::Archive;
use jarvis_secretsd_fuzz::{check_message, file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Archive::open(&file("backup.tar", bytes)) {
        Ok(_) => assert_eq!(bytes.len() % 512, 0, "an archive that is not whole was taken"),
        Err(why) => check_message(&why),
    }
});
