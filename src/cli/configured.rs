//! The configuration of the daemon that a command is about, and its master key.

use std::path::Path;
use std::sync::Arc;

use super::command::{Arguments, MASTER_KEY};
use super::exit::Exit;
use crate::base::failure::Failure;
use crate::base::files::{self, KeyOwner};
use crate::config::Config;
use crate::vault::{KeyBytes, KeyFile, KeyInForce, Wrapping};

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
    let source = if named.is_some() { named_key_file(config, path) } else { key_file(config) };
    Ok(KeyInForce::find(&source, &config.paths.vault_path)?.key)
}

/// Where the configuration has the master key.
pub fn key_file(config: &Config) -> KeyFile {
    match wrapping(config) {
        Some(wrapping) => KeyFile::wrapped(&config.paths.master_key_path, wrapping),
        None => KeyFile::new(&config.paths.master_key_path),
    }
}

/// A file with a master key that a person names: as the configuration wraps it, or in the clear.
pub fn named_key_file(config: &Config, path: &Path) -> KeyFile {
    match wrapping(config) {
        Some(wrapping) => KeyFile::either(path, wrapping),
        None => KeyFile::new(path),
    }
}

fn wrapping(config: &Config) -> Option<Arc<Wrapping>> {
    let this_program = Path::new("/proc/self/exe");
    let settings = config.master_key.as_ref()?;
    Some(Arc::new(Wrapping::new(this_program, settings, &config.paths.vault_path)))
}
