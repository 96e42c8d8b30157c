//! `storage copy`: a vault copied from its file into etcd, where several daemons share it, or back.

use std::sync::Arc;

use crate::audit::{self, Entry, Event, Tip};
use crate::base::clock::Clock;
use crate::base::directory_locks::DirectoryLocks;
use crate::base::failure::{Failure, say};
use crate::base::files;
use crate::base::progress::Progress;
use crate::cli::command::{Arguments, CONFIG, Command, FORCE, Group, Operands, Opt};
use crate::cli::configured::{key_file, load_config_to_maintain, master_key};
use crate::cli::exit::Exit;
use crate::cli::{output, prompt};
use crate::cluster::{Cluster, Kept};
use crate::config::Config;
use crate::vault::{Found, History, KeyInForce, Lifetimes};

pub const COPY: Command = Command {
    name: "storage copy",
    group: Group::Upkeep,
    operands: Operands { option: Some(&TO), ..Operands::NONE },
    options: &[TO, FORCE, CONFIG],
    shared: &[],
    summary: "copy the vault from its file to etcd, or back",
    example: "jarvis-secretsd storage copy --to etcd",
    run,
};

const TO: Opt = Opt { name: "to", value: Some("etcd|file"), summary: "where the vault is to be" };

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let config = load_config_to_maintain(arguments)?;
    let Some(storage) = &config.storage else {
        let path = arguments.config_path();
        let why = "has no [storage], which says where etcd is; add it first";
        return Err(Exit::config(Failure::configuration(path.display(), why)));
    };
    let cluster = Cluster::new(storage)?;
    match arguments.text(&TO)? {
        Some("etcd") => to_etcd(arguments, &config, &cluster),
        Some("file") => to_file(&config, &cluster),
        _ => Err(Exit::usage("--to is etcd or file")),
    }
}

/// The directories of the vault and the audit log, for this command alone.
fn lock(config: &Config) -> Result<DirectoryLocks, Failure> {
    let mut locks = DirectoryLocks::default();
    locks.take(&[&config.paths.vault_path, &config.paths.audit_path])?;
    Ok(locks)
}

fn to_etcd(arguments: &Arguments, config: &Config, cluster: &Cluster) -> Result<(), Exit> {
    let _alone = lock(config)?;
    let vault_path = &config.paths.vault_path;
    let master = master_key(arguments, config)?;
    let found_audit = audit::Found::look(&config.paths.audit_path)?;
    let Tip { seq: audited, vault: known, .. } = found_audit.end();
    let found = Found::look(vault_path, &master, known)?;
    let is_whole = matches!(found.history(), History::Continues | History::Beyond)
        && found.unaudited().is_empty()
        && found.unfinished_bytes() == 0
        && found.audited() <= audited;
    if !is_whole {
        let why = "vault and audit log do not end at the same moment; start the daemon without [storage], whose log says \
                   more, and stop it";
        return Err(Failure::new(vault_path.display(), why).into());
    }
    let at = found.at();
    let file = std::fs::read(vault_path).map_err(|why| Failure::new(vault_path.display(), why))?;
    let begin = file.iter().position(|byte| *byte == b'\n').map_or(file.len(), |end| end + 1);
    let (header, lines) = file.split_at(begin);

    cluster.refuse_if_anybody_is_there()?;
    if !cluster.is_empty()? {
        say(format_args!("etcd has something under {} already", cluster.config().prefix));
        if !arguments.has(&FORCE) {
            prompt::agree(
                "storage copy",
                "it would be removed; daemons that know more of it than this file has would refuse to start",
            )?;
        }
        cluster.clear()?;
    }
    let progress = Progress::begin("copying the vault to etcd", lines.len() as u64);
    cluster.put_whole(header, lines, found.position())?;
    // What this daemon has left in etcd is not there any more.
    Kept::remove(&config.paths.audit_path)?;
    drop(progress);
    let detail = format!("to etcd, {}: {} bytes, compared", cluster.config().prefix, file.len());
    let entry = Entry { detail: Some(detail), vault: Some(at), ..Entry::new(Event::StorageCopy) };
    audit(found_audit, entry)?;
    output::tell_done(format_args!(
        "etcd has the vault {} at change {} under {}: {} bytes, the same as in {}, which was left as it is",
        found.vault_id(),
        found.seq(),
        cluster.config().prefix,
        file.len(),
        vault_path.display()
    ));
    output::tell_done("next: start the daemon; its file is now its copy of the vault");
    Ok(())
}

fn to_file(config: &Config, cluster: &Cluster) -> Result<(), Exit> {
    let _alone = lock(config)?;
    let vault_path = &config.paths.vault_path;
    cluster.refuse_if_anybody_is_there()?;
    let missing =
        || Failure::new(&cluster.config().prefix, "etcd has no vault under it; correct `prefix` in [storage]");
    let header = cluster.header()?.ok_or_else(missing)?;
    let master = KeyInForce::of_header(&key_file(config), &header)?.key;
    let found_audit = audit::Found::look(&config.paths.audit_path)?;
    let Tip { vault: known, .. } = found_audit.end();
    let progress = Progress::begin("copying the vault from etcd", 0);
    let found = Found::look_shared(vault_path, &header, &master, known, &*cluster.log, false)?;
    if !matches!(found.history(), History::Continues | History::Beyond) || !found.unaudited().is_empty() {
        let why = "etcd's vault does not continue what this daemon's audit log says; start the daemon, whose log says more, \
                   and stop it";
        return Err(Failure::new(vault_path.display(), why).into());
    }
    let (at, seq, id) = (found.at(), found.seq(), found.vault_id().to_owned());
    files::create_dir(files::parent(vault_path)).map_err(|why| Failure::new(vault_path.display(), why))?;
    let lifetimes = Lifetimes { rotation_days: config.security.rotation_days, grace_days: config.security.grace_days };
    let audit_log = Arc::new(found_audit.open(Clock::system())?);
    // Opening it brings the file to the end of the log, durably.
    drop(found.open(vault_path, audit_log.clone(), Clock::system(), lifetimes)?);
    drop(progress);
    let detail = format!("from etcd, {}", cluster.config().prefix);
    let entry = Entry { detail: Some(detail), vault: Some(at), ..Entry::new(Event::StorageCopy) };
    audit_log.write_synced(vec![entry]).map_err(|why| Failure::new("audit log", why))?;
    output::tell_done(format_args!(
        "{} has the vault {id} at change {seq}; etcd was left as it is",
        vault_path.display()
    ));
    output::tell_done(
        "next: take [storage] out of the configuration, start this daemon, and keep the others from being started",
    );
    Ok(())
}

fn audit(found: audit::Found, entry: Entry) -> Result<(), Failure> {
    let log = found.open(Clock::system())?;
    log.write_synced(vec![entry]).map_err(|why| Failure::new("audit log", why))
}
