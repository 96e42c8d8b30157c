//! The policy: whatever stands in it, it is read or refused in one line.
#![no_main]

use std::path::Path;

use jarvis_secretsd::access::Policy;
use jarvis_secretsd::clock::Timestamp;
use jarvis_secretsd_fuzz::check_message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Policy::parse(text, Path::new("policy.toml")) {
        Ok(policy) => {
            let _ = policy.warnings(Timestamp::from_nanos(1));
            assert!(policy.header_only_clients().len() <= policy.client_count());
        }
        Err(why) => check_message(&why),
    }
});
