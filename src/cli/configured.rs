//! The configuration of the daemon that a command is about, and its master key.

use std::path::Path;

use super::command::{Arguments, MASTER_KEY};
use super::exit::Exit;
use crate::base::failure::Failure;
use crate::base::files::{self, KeyOwner};
use crate::config::Config;
use crate::vault::{KeyBytes, KeyFile, KeyInForce};

pub fn load_config(path: &Path) -> Result<Config, Exit> {
    Config::load(path).map_err(Exit::config)
}

/// The configuration of a daemon whose files are worked on, perhaps by root where the daemon is another user.
pub fn load_config_to_maintain(arguments: &Arguments) -> Result<Config, Exit> {
    files::take_keys_of(KeyOwner::Anyone);
    load_config(&arguments.config_path())
}

/// The master key that `--master-key` names, or else the configuration.
pub fn master_key(arguments: &Arguments, config: &Config) -> Result<KeyBytes, Failure> {
    let named = arguments.path(&MASTER_KEY);
    let path = named.unwrap_or(&config.paths.master_key_path);
    if named.is_none() && files::is_missing(path) {
        let why = "there is no master key; name a copy of it with --master-key FILE, or, if key export has wrapped it, put \
                   it back with key import";
        return Err(Failure::new(path.display(), why));
    }
    let source = KeyFile::new(path);
    Ok(KeyInForce::find(&source, &config.paths.vault_path)?.key)
}
