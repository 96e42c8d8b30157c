//! A dotenv file: whatever stands in it, it is read, and every entry could be a secret, or refused in one line.
#![no_main]

use std::path::Path;

use jarvis_secretsd::dotenv;
use jarvis_secretsd::name::is_name;
use jarvis_secretsd::source::Source;
use jarvis_secretsd::vault::MAX_VALUE;
use jarvis_secretsd_fuzz::check_message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let source = Source::new(Path::new(".env"), text);
    let environment = |name: &str| (name.len() % 3 == 1).then(|| name.into());
    match dotenv::parse(&source, &environment) {
        Ok(entries) => {
            for entry in entries {
                // At most 128 bytes is the rule for a secret, and not one for a variable.
                assert!(entry.key.len() > 128 || is_name(&entry.key));
                assert!(entry.value.expose().len() <= MAX_VALUE);
                assert!(text[entry.offset..].starts_with(&entry.key) || text[entry.offset..].starts_with("export"));
            }
        }
        Err(why) => check_message(&why),
    }
});
