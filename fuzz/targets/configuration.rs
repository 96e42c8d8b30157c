//! The configuration: whatever stands in it, it is read, with every value in its range, or refused in one line.
#![no_main]

use std::path::Path;

use jarvis_secretsd::config::Config;
use jarvis_secretsd_fuzz::check_message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Config::parse(text, Path::new("config.toml")) {
        Ok(config) => {
            assert!((1..=65_535).contains(&config.server.max_connections));
            assert!((1..=3600).contains(&config.server.request_timeout.as_secs()));
            assert!((1..=36_500).contains(&config.security.rotation_days));
            assert!(config.security.grace_days <= 36_500);
            assert!(config.server.group.is_none() || config.server.user.is_some());
            let paths = config.paths;
            assert!(paths.vault_path != paths.audit_path && paths.vault_path != paths.master_key_path);
        }
        Err(why) => check_message(&why),
    }
});
