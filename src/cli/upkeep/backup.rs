//! `backup`, `backup verify` and `restore`.

use std::io;
use std::path::{Path, PathBuf};

use crate::backup::{self, Archive, Loss, Verified};
use crate::base::clock::Clock;
use crate::base::failure::{Failure, say};
use crate::base::files::{self, KeyOwner};
use crate::cli::command::{Arguments, CONFIG, Command, FORCE, Group, MASTER_KEY, OUTPUT, Operands, Opt};
use crate::cli::configured::{key_file, load_config_to_maintain, master_key};
use crate::cli::daemon::protection;
use crate::cli::exit::Exit;
use crate::cli::{output, prompt};
use crate::config::Config;
use crate::vault::{KeyBytes, KeyFile, KeyInForce, is_under};

pub const BACKUP: Command = Command {
    name: "backup",
    group: Group::Upkeep,
    operands: Operands::NONE,
    options: &[CONFIG, MASTER_KEY, OUTPUT],
    shared: &[],
    summary: "back up vault, audit log and policy to one file",
    example: "jarvis-secretsd backup --output /backup/secrets.tar",
    run: create,
};

pub const VERIFY: Command = Command {
    name: "backup verify",
    group: Group::Upkeep,
    operands: Operands::one("FILE"),
    options: &[CONFIG, MASTER_KEY],
    shared: &[],
    summary: "open all of a backup, and list what a restore would lose",
    example: "jarvis-secretsd backup verify /backup/secrets.tar",
    run: verify,
};

pub const RESTORE: Command = Command {
    name: "restore",
    group: Group::Upkeep,
    operands: Operands::one("FILE"),
    options: &[CONFIG, MASTER_KEY, KEEP_POLICY, FORCE],
    shared: &[],
    summary: "put a backup in place while the daemon is stopped",
    example: "jarvis-secretsd restore /backup/secrets.tar",
    run: restore,
};

const KEEP_POLICY: Opt = Opt { name: "keep-policy", value: None, summary: "keep the existing policy" };

/// What is said where the vault that is there does not open.
const NOT_TOLD: &str = "what a restore would lose is unknown: the existing vault cannot be read";

fn create(arguments: &Arguments) -> Result<(), Exit> {
    let config = load_config_to_maintain(arguments)?;
    let now = Clock::system().now();
    let named = || PathBuf::from(format!("jarvis-secretsd-{}.tar", now.compact()));
    let file = arguments.path(&OUTPUT).map_or_else(named, Path::to_owned);
    let master = master_key(arguments, &config)?;
    if file == Path::new("-") {
        let verified = backup::write(&config, &master, &mut io::stdout().lock(), now)?;
        say(summary(&verified));
    } else {
        let verified = backup::create(&config, &master, &file, now)?;
        output::tell_done(format_args!("{}: {}", file.display(), summary(&verified)));
    }
    Ok(())
}

fn verify(arguments: &Arguments) -> Result<(), Exit> {
    let file = Path::new(&arguments.operands()[0]);
    let (config, master) = match arguments.path(&MASTER_KEY) {
        Some(path) if !arguments.has(&CONFIG) => {
            files::take_keys_of(KeyOwner::Anyone);
            (None, KeyFile::new(path).load()?)
        }
        _ => {
            let config = load_config_to_maintain(arguments)?;
            let master = master_key(arguments, &config)?;
            (Some(config), master)
        }
    };
    let verified = Verified::read(Archive::open(file)?, &master)?;
    output::tell(format_args!("{}: {}", file.display(), summary(&verified)))?;
    let manifest = &verified.archive.manifest;
    output::tell(format_args!("made at {} by version {}", manifest.created_at, manifest.program))?;
    output::tell(format_args!("audit log: {}", verified.report))?;
    let Some(config) = config else { return Ok(()) };
    let vault = config.paths.vault_path.display();
    match backup::loss(&verified, &config, &live_key(&config).unwrap_or(master)) {
        Ok(Some(loss)) => output::tell(loss),
        Ok(None) => output::tell(format_args!("there is no vault at {vault}: a restore would lose nothing")),
        // The backup is good all the same.
        Err(why) => output::tell(format_args!("what a restore would lose is unknown: {why}")),
    }
}

fn restore(arguments: &Arguments) -> Result<(), Exit> {
    let config = load_config_to_maintain(arguments)?;
    let file = Path::new(&arguments.operands()[0]);
    let master = master_key(arguments, &config)?;
    let verified = Verified::read(Archive::open(file)?, &master)?;
    let masters: Vec<_> = live_key(&config).into_iter().chain([master]).collect();
    make_directories(&config)?;
    let agree = |loss: Option<&Loss>| {
        say(format_args!("the backup was made at {}", verified.archive.manifest.created_at.to_the_second()));
        let told = loss.map_or(NOT_TOLD.to_owned(), Loss::brief);
        told.lines().for_each(say);
        let asked = "the daemon would continue from the backup; the files in place would be kept aside";
        if arguments.has(&FORCE) { Ok(()) } else { prompt::agree("restore", asked) }
    };
    let keep_policy = arguments.has(&KEEP_POLICY);
    for kept in backup::restore(&verified, &config, &masters, keep_policy, &Clock::system(), agree)? {
        output::tell_done(format_args!("{} was kept as {}", kept.path.display(), kept.kept.display()));
    }
    output::tell_done(format_args!("restored {}", summary(&verified)));
    let key_path = config.paths.master_key_path.display();
    match live_key(&config) {
        Some(key) if is_under(&config.paths.vault_path, &key) => {
            let check = format!("jarvis-secretsd check --config {}", arguments.config_path().display());
            output::tell_done(format_args!("next: {check}, and start the daemon"));
        }
        _ => output::tell_done(format_args!(
            "next: put the master key of this backup at {key_path}; no other key opens the vault"
        )),
    }
    Ok(())
}

/// Makes the directories that are missing: those of the state for whoever will work with them, that of the policy for all to read.
fn make_directories(config: &Config) -> Result<(), Failure> {
    for path in [&config.paths.vault_path, &config.paths.audit_path] {
        protection::make_state_directory(&config.server, path)?;
    }
    let policy_path = &config.security.rbac_policy_path;
    files::create_dir_for(files::parent(policy_path), 0o755, None)
        .map_err(|why| Failure::new(policy_path.display(), why))
}

/// The key that the daemon would open its vault with.
fn live_key(config: &Config) -> Option<KeyBytes> {
    KeyInForce::find(&key_file(config), &config.paths.vault_path).ok().map(|found| found.key)
}

fn summary(verified: &Verified) -> String {
    let Verified { contents, tip, .. } = verified;
    format!(
        "vault {} at change {}: {} secrets, {} versions, all opened; audit log to line {}: verified",
        contents.vault_id(),
        contents.seq(),
        contents.secret_count(),
        contents.version_count(),
        tip.seq
    )
}
