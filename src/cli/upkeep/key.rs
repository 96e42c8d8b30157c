//! `key export` and `key import`: the master key, wrapped by a passphrase, to a safe place and back.

use std::io::{self, IsTerminal};
use std::path::Path;

use crate::base::failure::Failure;
use crate::base::files;
use crate::base::secret::Plaintext;
use crate::cli::command::{Arguments, CONFIG, Command, Group, MASTER_KEY, OUTPUT, Operands};
use crate::cli::configured::{key_file, load_config_to_maintain, master_key};
use crate::cli::daemon::protection;
use crate::cli::exit::Exit;
use crate::cli::{input, output, prompt};
use crate::vault::{KeyBytes, KeyFile, LONGEST_WRAPPED, is_under, passphrase};

pub const EXPORT: Command = Command {
    name: "key export",
    group: Group::Upkeep,
    operands: Operands::NONE.instead(|_| Some(NO_ARGUMENT.to_owned())),
    options: &[CONFIG, MASTER_KEY, OUTPUT],
    shared: &[],
    summary: "wrap the master key with a passphrase, for safekeeping",
    example: "jarvis-secretsd key export --output master.key.txt",
    run: export,
};

pub const IMPORT: Command = Command {
    name: "key import",
    group: Group::Upkeep,
    operands: Operands::one("FILE").instead(|_| Some(NO_ARGUMENT.to_owned())),
    options: &[CONFIG, MASTER_KEY],
    shared: &[],
    summary: "put a master key back that key export has wrapped",
    example: "jarvis-secretsd key import master.key.txt",
    run: import,
};

const NO_ARGUMENT: &str = "the passphrase is never an argument, which others see in ps: type it when it is asked for, or give it on \
     standard input";

fn export(arguments: &Arguments) -> Result<(), Exit> {
    let config = load_config_to_maintain(arguments)?;
    let key = master_key(arguments, &config)?;
    let passphrase = read_passphrase(prompt::twice)?;
    let wrapped = passphrase::wrap(&key, &passphrase).map_err(|why| Failure::new("key export", why))?;
    match arguments.path(&OUTPUT) {
        Some(path) => {
            let written = files::create(path, 0o600, wrapped.as_bytes());
            Ok(written.map_err(|why| Failure::new(path.display(), why))?)
        }
        None => output::print(wrapped.as_bytes()),
    }
}

fn import(arguments: &Arguments) -> Result<(), Exit> {
    let config = load_config_to_maintain(arguments)?;
    let (vault, wrapped) = (&config.paths.vault_path, Path::new(&arguments.operands()[0]));
    let path = arguments.path(&MASTER_KEY).unwrap_or(&config.paths.master_key_path);
    let fail = |why: &dyn std::fmt::Display| Failure::new(wrapped.display(), why);
    let key = escrowed(wrapped)?.ok_or_else(|| fail(&passphrase::WrapError::Form))?;
    if !files::is_missing(vault) && !is_under(vault, &key) {
        let why = format!("holds another key than that of the vault {}; nothing was written", vault.display());
        return Err(fail(&why).into());
    }
    let place = match arguments.path(&MASTER_KEY) {
        Some(path) => KeyFile::new(path),
        None => key_file(&config),
    };
    match place.exists() {
        true if place.load()? == key => output::tell(format_args!("{} holds this key already", path.display()))?,
        true => return Err(Failure::new(path.display(), "holds another key; nothing was written").into()),
        false => {
            protection::make_state_directory(&config.server, path)?;
            // What unwraps a wrapped key is counted there.
            protection::make_state_directory(&config.server, vault)?;
            place.create(&key)?;
            output::tell_done(format_args!("wrote {}", path.display()));
        }
    }
    Ok(())
}

/// The key that [`export`] has written to `file`; none if that holds something else.
///
/// # Errors
/// If the file cannot be read, or the passphrase is another one.
pub fn escrowed(file: &Path) -> Result<Option<KeyBytes>, Exit> {
    let text = files::read(file, LONGEST_WRAPPED)?;
    let Some(text) = str::from_utf8(&text).ok().filter(|text| passphrase::is_wrapped_key(text)) else {
        return Ok(None);
    };
    let passphrase = read_passphrase(prompt::once)?;
    let key = passphrase::unwrap(text, &passphrase).map_err(|why| Failure::new(file.display(), why))?;
    Ok(Some(key))
}

/// The passphrase, from a person at a terminal, who is asked for it by `ask`, or from another program.
fn read_passphrase(ask: fn(&str, &str) -> Result<Plaintext, Exit>) -> Result<Plaintext, Exit> {
    let what = "the passphrase";
    if io::stdin().is_terminal() { ask("Passphrase", what) } else { input::passphrase(what) }
}
