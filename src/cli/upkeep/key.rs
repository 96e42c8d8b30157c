//! `key export` and `key import`: the master key, wrapped by a passphrase or in shares, to a safe place and back.

use crate::base::failure::Failure;
use crate::base::files;
use crate::cli::command::{Arguments, CONFIG, Command, Group, MASTER_KEY, OUTPUT, Operands};
use crate::cli::configured::{key_file, load_config_to_maintain, master_key};
use crate::cli::daemon::protection;
use crate::cli::exit::Exit;
use crate::cli::upkeep::escrow::{self, Escrow};
use crate::cli::upkeep::shares::{self, SHARES, THRESHOLD};
use crate::cli::{output, prompt};
use crate::vault::{KeyFile, is_under, passphrase};

pub const EXPORT: Command = Command {
    name: "key export",
    group: Group::Upkeep,
    operands: Operands::NONE.instead(|_| Some(escrow::NO_ARGUMENT.to_owned())),
    options: &[CONFIG, MASTER_KEY, OUTPUT, SHARES, THRESHOLD],
    shared: &[],
    summary: "wrap or split the master key, for safekeeping",
    example: "jarvis-secretsd key export --output master.key.txt",
    run: export,
};

pub const IMPORT: Command = Command {
    name: "key import",
    group: Group::Upkeep,
    operands: Operands::some("FILE..."),
    options: &[CONFIG, MASTER_KEY],
    shared: &[],
    summary: "put a master key back that key export has wrapped or split",
    example: "jarvis-secretsd key import master.key.txt",
    run: import,
};

fn export(arguments: &Arguments) -> Result<(), Exit> {
    let split = shares::wanted(arguments)?;
    let config = load_config_to_maintain(arguments)?;
    let key = master_key(arguments, &config)?;
    if let Some(split) = split {
        return shares::export(split, &key, &config.paths.vault_path, arguments.path(&OUTPUT));
    }
    let passphrase = escrow::passphrase(prompt::twice)?;
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
    let vault = &config.paths.vault_path;
    let path = arguments.path(&MASTER_KEY).unwrap_or(&config.paths.master_key_path);
    let Some(Escrow { key, what }) = escrow::open(arguments.operands())? else {
        return Err(Failure::new(arguments.operands()[0].display(), passphrase::WrapError::Form).into());
    };
    if !files::is_missing(vault) && !is_under(vault, &key) {
        let why = format!("holds another key than that of the vault {}; nothing was written", vault.display());
        return Err(Failure::new(what, why).into());
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
