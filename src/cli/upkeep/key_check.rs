//! `key check`: does what there is to open the vault with open it? The drill for the day when it is needed.

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use crate::base::failure::Failure;
use crate::base::files;
use crate::cli::command::{Arguments, CONFIG, Command, Group, Operands};
use crate::cli::configured::{key_file, load_config_to_maintain, named_key_file};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::cli::upkeep::escrow::{self, Escrow};
use crate::config::Config;
use crate::vault::{KeyFile, is_under};

pub const COMMAND: Command = Command {
    name: "key check",
    group: Group::Upkeep,
    operands: Operands::any("[FILE...]"),
    options: &[CONFIG],
    shared: &[],
    summary: "say whether the master key, or a copy, opens the vault",
    example: "jarvis-secretsd key check",
    run,
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let config = load_config_to_maintain(arguments)?;
    match arguments.operands() {
        [] => check_present(&config),
        copies => check_copy(&config, copies),
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
    Err(opens_not(path, vault).into())
}

/// Looks at a copy: what `key export` has written, a wrapped key, or a key in the clear.
fn check_copy(config: &Config, copies: &[OsString]) -> Result<(), Exit> {
    let vault = &config.paths.vault_path;
    let began = Instant::now();
    let (key, what, took) = match escrow::open(copies)? {
        Some(Escrow { key, what }) => (key, what, String::new()),
        None => {
            let file = Path::new(&copies[0]);
            let keys = named_key_file(config, file);
            let key = keys.load()?;
            (key, file.display().to_string(), took(&keys, began))
        }
    };
    if files::is_missing(vault) {
        let why = format!("there is no vault at {} to compare it with", vault.display());
        return Err(Failure::new(what, why).into());
    }
    match is_under(vault, &key) {
        true => output::tell(format_args!("{what}: opens the vault {}{took}", vault.display())),
        false => Err(opens_not(&what, vault).into()),
    }
}

/// How long it took to have the key, where something else had to be asked for it.
fn took(keys: &KeyFile, began: Instant) -> String {
    let told = |by| format!(", unwrapped in {} ms by {by}", began.elapsed().as_millis());
    keys.wrapping().map_or_else(String::new, |wrapping| told(wrapping.unwrapper()))
}

fn opens_not(what: impl std::fmt::Display, vault: &Path) -> Failure {
    let why =
        format!("does not open the vault {}: it is another vault's key, or one from before a rekey", vault.display());
    Failure::new(what, why)
}
