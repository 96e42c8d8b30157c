//! `key check`: does what there is to open the vault with open it? The drill for the day when it is needed.

use std::path::Path;
use std::time::Instant;

use crate::base::failure::Failure;
use crate::base::files;
use crate::cli::command::{Arguments, CONFIG, Command, Group, Operands};
use crate::cli::configured::{key_file, load_config_to_maintain, named_key_file};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::config::Config;
use crate::vault::{KeyFile, is_under};

pub const COMMAND: Command = Command {
    name: "key check",
    group: Group::Upkeep,
    operands: Operands { most: 1, ..Operands::any("[FILE]") },
    options: &[CONFIG],
    shared: &[],
    summary: "say whether the master key, or a copy, opens the vault",
    example: "jarvis-secretsd key check",
    run,
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let config = load_config_to_maintain(arguments)?;
    match arguments.operands().first() {
        None => check_present(&config),
        Some(file) => check_copy(&config, Path::new(file)),
    }
}

/// Looks at the key that the daemon would start with.
fn check_present(config: &Config) -> Result<(), Exit> {
    let keys = key_file(config);
    let began = Instant::now();
    let key = keys.load()?;
    let took = took(&keys, began);
    let vault = &config.paths.vault_path;
    let path = keys.path().display();
    if files::is_missing(vault) {
        return output::tell(format_args!("{path}: good{took}; there is no vault at {} yet", vault.display()));
    }
    if is_under(vault, &key) {
        return output::tell(format_args!("{path}: opens the vault {}{took}", vault.display()));
    }
    if keys.next()?.is_some_and(|next| is_under(vault, &next)) {
        let next = keys.next_path();
        return output::tell(format_args!(
            "{}: opens the vault {}; a rekey was interrupted: run jarvis-secretsd rekey again",
            next.display(),
            vault.display()
        ));
    }
    Err(opens_not(keys.path(), vault).into())
}

/// Looks at a copy: an escrow text, a wrapped key, or a key in the clear.
fn check_copy(config: &Config, file: &Path) -> Result<(), Exit> {
    let vault = &config.paths.vault_path;
    let began = Instant::now();
    let (key, took) = match super::key::escrowed(file)? {
        Some(key) => (key, String::new()),
        None => {
            let keys = named_key_file(config, file);
            let key = keys.load()?;
            (key, took(&keys, began))
        }
    };
    if files::is_missing(vault) {
        let why = format!("there is no vault at {} to compare it with", vault.display());
        return Err(Failure::new(file.display(), why).into());
    }
    match is_under(vault, &key) {
        true => output::tell(format_args!("{}: opens the vault {}{took}", file.display(), vault.display())),
        false => Err(opens_not(file, vault).into()),
    }
}

/// How long it took to have the key, where something else had to be asked for it.
fn took(keys: &KeyFile, began: Instant) -> String {
    let told = |by| format!(", unwrapped in {} ms by {by}", began.elapsed().as_millis());
    keys.wrapping().map_or_else(String::new, |wrapping| told(wrapping.unwrapper()))
}

fn opens_not(file: &Path, vault: &Path) -> Failure {
    let why =
        format!("does not open the vault {}: it is another vault's key, or one from before a rekey", vault.display());
    Failure::new(file.display(), why)
}
