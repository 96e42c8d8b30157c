//! `rekey`: the vault under another master key, and under another data key if that is wanted, by the daemon while it works, or
//! without one.

use std::path::Path;
use std::sync::Arc;

use crate::audit::{self, Entry, Event, Tip};
use crate::base::clock::Clock;
use crate::base::directory_locks::DirectoryLocks;
use crate::base::failure::Failure;
use crate::base::progress::Progress;
use crate::cli::command::{Arguments, CONFIG, Command, Group, MASTER_KEY, Operands, Opt};
use crate::cli::configured::{key_file, load_config_to_maintain, named_key_file};
use crate::cli::exit::Exit;
use crate::cli::{client, output};
use crate::client::Client;
use crate::config::Config;
use crate::vault::{self, DataKey, History, KeyBytes, KeyFile, Lifetimes, Refused, is_under};

pub const COMMAND: Command = Command {
    name: "rekey",
    group: Group::Upkeep,
    operands: Operands::NONE,
    options: &[DATA_KEY, CONFIG, MASTER_KEY, NEW_KEY],
    shared: client::OPTIONS,
    summary: "put the vault under a new master key",
    example: "jarvis-secretsd rekey",
    run,
};

const NEW_KEY: Opt = Opt {
    name: "new-key",
    value: Some("FILE"),
    summary: "the new master key, if --master-key names the old one: no key file is then moved, and the daemon must be stopped",
};

const DATA_KEY: Opt = Opt {
    name: "data-key",
    value: None,
    summary: "make a new data key too, and seal all that the vault holds with it: then the old master key and an old copy of the vault open nothing that is stored from now on",
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let config = load_config_to_maintain(arguments)?;
    let data_key = if arguments.has(&DATA_KEY) { DataKey::New } else { DataKey::Kept };
    if data_key == DataKey::New && config.storage.is_some() {
        return Err(Failure::new(config.paths.vault_path.display(), Refused::SharedDataKey).into());
    }
    match (arguments.path(&MASTER_KEY), arguments.path(&NEW_KEY)) {
        (None, None) => with_the_key_file(&config, arguments, data_key),
        (Some(old), Some(new)) => between_files(&config, old, new, data_key),
        _ => Err(Exit::usage("--master-key and --new-key go together")),
    }
}

/// The new key lies beside the old one until the vault is under it. What was interrupted goes on where it was.
fn with_the_key_file(config: &Config, arguments: &Arguments, data_key: DataKey) -> Result<(), Exit> {
    let (vault_path, key_path) = (&config.paths.vault_path, &config.paths.master_key_path);
    let source = key_file(config);
    if data_key == DataKey::New {
        complete_an_interrupted_one(config, &source)?;
    }
    let _alone = source.lock()?;
    let old = source.load()?;
    let next = source.prepare_next()?;
    if !is_under(vault_path, &next) {
        match locked(config)? {
            Some(locks) => rewrap(config, (&old, &next), data_key, &locks)?,
            None => {
                let client = Client::from_arguments(arguments)?;
                let wanted: &[u8] = if data_key == DataKey::New { br#"{"data_key":true}"# } else { b"{}" };
                client.ask("rekey", "POST", "/rekey", Some(wanted), &[])?;
                if !is_under(vault_path, &next) {
                    let why = format!(
                        "the daemon at {} has another vault; name the daemon of this vault with --addr",
                        client.address()
                    );
                    return Err(Failure::new(vault_path.display(), why).into());
                }
            }
        }
    }
    let kept = source.adopt_next(Clock::system().now())?;
    let too = if data_key == DataKey::New { ", and under a new data key" } else { "" };
    output::tell_done(format_args!("{} is under a new master key, {}{too}", vault_path.display(), key_path.display()));
    output::tell_done(format_args!("the old key was kept as {}: backups made before this need it", kept.display()));
    tell_what_is_void();
    Ok(())
}

/// Of a vault that is under the next master key already, nobody can tell whether it has a new data key too.
fn complete_an_interrupted_one(config: &Config, source: &KeyFile) -> Result<(), Exit> {
    let _alone = source.lock()?;
    if source.next()?.is_some_and(|next| is_under(&config.paths.vault_path, &next)) {
        let kept = source.adopt_next(Clock::system().now())?;
        output::tell_done(format_args!(
            "a rekey that was interrupted is complete; its old key was kept as {}",
            kept.display()
        ));
    }
    Ok(())
}

fn tell_what_is_void() {
    output::tell_done(
        "copies of the master key that `key export` made before this do not open it any more: make a new one",
    );
}

fn between_files(config: &Config, old: &Path, new: &Path, data_key: DataKey) -> Result<(), Exit> {
    let vault_path = &config.paths.vault_path;
    let (old, next) = (named_key_file(config, old).load()?, named_key_file(config, new).load()?);
    if is_under(vault_path, &next) {
        if data_key == DataKey::New {
            let why = format!(
                "is under the key in {} already, and whether its data key is new cannot be told: give it another new key",
                new.display()
            );
            return Err(Failure::new(vault_path.display(), why).into());
        }
        return output::tell(format_args!("{} is under the key in {} already", vault_path.display(), new.display()));
    }
    let locks =
        locked(config)?.ok_or_else(|| Failure::new(vault_path.display(), "a daemon is running; stop it first"))?;
    rewrap(config, (&old, &next), data_key, &locks)?;
    let (vault, key) = (vault_path.display(), new.display());
    let too = if data_key == DataKey::New { " and under a new data key" } else { "" };
    output::tell_done(format_args!("{vault} is under the key in {key}{too}; the old key no longer opens it"));
    tell_what_is_void();
    Ok(())
}

/// The directories of the vault and the audit log, unless a daemon has them.
fn locked(config: &Config) -> Result<Option<DirectoryLocks>, Failure> {
    let mut locks = DirectoryLocks::default();
    let taken = locks.try_take(&[&config.paths.vault_path, &config.paths.audit_path])?;
    Ok(taken.is_none().then_some(locks))
}

/// Does what a daemon at work would.
fn rewrap(
    config: &Config,
    (old, next): (&KeyBytes, &KeyBytes),
    data_key: DataKey,
    _alone: &DirectoryLocks,
) -> Result<(), Failure> {
    let (vault_path, audit_path) = (&config.paths.vault_path, &config.paths.audit_path);
    let fail = |why: &dyn std::fmt::Display| Failure::new(vault_path.display(), why);
    if config.storage.is_some() {
        return Err(fail(
            &"this is a copy of a vault in etcd, of which a daemon has to put the other key in force; start it first",
        ));
    }
    let _progress = Progress::begin("putting the vault under its new key", 0);
    let found_audit = audit::Found::look(audit_path)?;
    let Tip { seq: audited, vault: known, .. } = found_audit.end();
    let found = vault::Found::look(vault_path, old, known)?;
    let unfinished = found.unfinished_bytes() + found_audit.unfinished_bytes();
    if found.history() != History::Continues || found.seq() != known.seq || found.audited() > audited || unfinished > 0
    {
        return Err(fail(
            &"vault and audit log do not end at the same moment; start the daemon, whose log says more, and stop it",
        ));
    }
    let clock = Clock::system();
    let audit = Arc::new(found_audit.open(clock.clone())?);
    let lifetimes = Lifetimes { rotation_days: config.security.rotation_days, grace_days: config.security.grace_days };
    let vault = found.open(vault_path, audit, clock, lifetimes)?;
    vault.rekey(old, next, data_key, Entry::new(Event::Rekey)).map(|_| ()).map_err(|why| fail(&why))
}
