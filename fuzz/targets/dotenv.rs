//! A dotenv file: whatever stands in it, it is read, and every entry could be a secret, or is a mistake that is told in one line.
#![no_main]

use std::path::Path;

use jarvis_secretsd::base::name::is_name;
use jarvis_secretsd::base::source::Source;
use jarvis_secretsd::cli::dotenv::{self, Read, Reading};
use jarvis_secretsd::vault::MAX_VALUE;
use jarvis_secretsd_fuzz::check_message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let source = Source::new(Path::new(".env"), text);
    let environment = |name: &str| (name.len() % 3 == 1).then(|| name.into());
    for variables in [true, false] {
        let Read { entries, mistakes } = dotenv::read(&source, Reading { environment: &environment, variables });
        for entry in entries {
            // At most 128 bytes is the rule for a secret, and not one for a variable.
            assert!(entry.key.len() > 128 || is_name(&entry.key));
            assert!(entry.value.expose().len() <= MAX_VALUE);
            assert!(text[entry.offset..].starts_with(&entry.key) || text[entry.offset..].starts_with("export"));
        }
        assert!(mistakes.is_sorted_by_key(|(offset, _)| *offset));
        mistakes.iter().for_each(|(_, why)| check_message(why));
    }
});
