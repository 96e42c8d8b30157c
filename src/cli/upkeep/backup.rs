//! `backup`, `backup verify` and `restore`.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::backup::{self, Archive, Loss, Manifest, Verified};
use crate::base::clock::Clock;
use crate::base::failure::{Failure, say, say_json};
use crate::base::files::{self, KeyOwner};
use crate::base::object::{self, Object, object};
use crate::cli::command::{Arguments, CONFIG, Command, FORCE, Group, JSON, MASTER_KEY, OUTPUT, Operands, Opt};
use crate::cli::configured::{key_file, load_config_to_maintain, master_key};
use crate::cli::daemon::protection;
use crate::cli::exit::Exit;
use crate::cli::report::{Report, WARNINGS};
use crate::cli::{output, prompt};
use crate::config::Config;
use crate::vault::{KeyBytes, KeyFile, KeyInForce, is_under};

pub const BACKUP: Command = Command {
    name: "backup",
    group: Group::Upkeep,
    operands: Operands::NONE,
    options: &[CONFIG, MASTER_KEY, OUTPUT, JSON],
    shared: &[],
    summary: "back up vault, audit log and policy to one file",
    example: "jarvis-secretsd backup --output /backup/secrets.tar",
    run: create,
};

pub const VERIFY: Command = Command {
    name: "backup verify",
    group: Group::Upkeep,
    operands: Operands::one("FILE"),
    options: &[CONFIG, MASTER_KEY, JSON],
    shared: &[],
    summary: "open all of a backup, and list what a restore would lose",
    example: "jarvis-secretsd backup verify /backup/secrets.tar",
    run: verify,
};

pub const RESTORE: Command = Command {
    name: "restore",
    group: Group::Upkeep,
    operands: Operands::one("FILE"),
    options: &[CONFIG, MASTER_KEY, KEEP_POLICY, FORCE, JSON],
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
    let as_json = arguments.has(&JSON);
    if file == Path::new("-") {
        let verified = backup::write(&config, &master, &mut io::stdout().lock(), now)?;
        if as_json {
            say_json(fields(&verified))
        } else {
            say(summary(&verified))
        }
        return Ok(());
    }
    let verified = backup::create(&config, &master, &file, now)?;
    match as_json {
        true => output::print_object_done(fields_of(&file, &verified)),
        false => output::tell_done(format_args!("{}: {}", file.display(), summary(&verified))),
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
    let mut report = Report::begin(arguments);
    let Manifest { created_at, program, .. } = &verified.archive.manifest;
    report.tell(format_args!("{}: {}", file.display(), summary(&verified)), fields_of(file, &verified))?;
    report.tell(format_args!("made at {created_at} by version {program}"), Object::new())?;
    let log = object([("audit", Value::Object(verified.report.fields()))]);
    report.tell(format_args!("audit log: {}", verified.report), log)?;
    if let Some(config) = config {
        let vault = config.paths.vault_path.display();
        match backup::loss(&verified, &config, &live_key(&config).unwrap_or(master)) {
            Ok(Some(loss)) => {
                let fields = object([("restore", Value::Object(loss.fields()))]);
                report.tell(loss, fields)?;
            }
            Ok(None) => report.tell(
                format_args!("there is no vault at {vault}: a restore would lose nothing"),
                object([("restore", Value::Null)]),
            )?,
            // The backup is good all the same.
            Err(why) => {
                let told = format!("what a restore would lose is unknown: {why}");
                report.tell_one(&told, WARNINGS, told.as_str().into())?;
            }
        }
    }
    report.end()
}

fn restore(arguments: &Arguments) -> Result<(), Exit> {
    let config = load_config_to_maintain(arguments)?;
    let file = Path::new(&arguments.operands()[0]);
    let master = master_key(arguments, &config)?;
    let verified = Verified::read(Archive::open(file)?, &master)?;
    let masters: Vec<_> = live_key(&config).into_iter().chain([master]).collect();
    make_directories(&config)?;
    let (as_json, is_forced) = (arguments.has(&JSON), arguments.has(&FORCE));
    let mut told = fields_of(file, &verified);
    told.insert(WARNINGS.to_owned(), Vec::<Value>::new().into());
    let agree = |loss: Option<&Loss>| {
        match loss {
            Some(loss) => told.insert("restore".to_owned(), Value::Object(loss.fields())),
            None => told.insert(WARNINGS.to_owned(), vec![NOT_TOLD].into()),
        };
        let asks_somebody = !is_forced && prompt::is_anybody_there();
        if asks_somebody || !as_json {
            say(format_args!("the backup was made at {}", verified.archive.manifest.created_at.to_the_second()));
            let told = loss.map_or(NOT_TOLD.to_owned(), Loss::brief);
            told.lines().for_each(say);
        }
        let asked = "the daemon would continue from the backup; the files in place would be kept aside";
        let agreed = if is_forced { Ok(()) } else { prompt::agree("restore", asked) };
        agreed.map_err(|why| why.with(told.clone()))
    };
    let keep_policy = arguments.has(&KEEP_POLICY);
    let kept = backup::restore(&verified, &config, &masters, keep_policy, &Clock::system(), agree)?;
    let key_opens = live_key(&config).is_some_and(|key| is_under(&config.paths.vault_path, &key));
    if as_json {
        let kept = kept.iter().map(|kept| {
            Value::Object(object([("path", object::path(&kept.path)), ("kept", object::path(&kept.kept))]))
        });
        told.extend(object([("kept", kept.collect::<Vec<_>>().into()), ("master_key_is_in_place", key_opens.into())]));
        output::print_object_done(told);
        return Ok(());
    }
    for kept in kept {
        output::tell_done(format_args!("{} was kept as {}", kept.path.display(), kept.kept.display()));
    }
    output::tell_done(format_args!("restored {}", summary(&verified)));
    let key_path = config.paths.master_key_path.display();
    if key_opens {
        let check = format!("jarvis-secretsd check --config {}", arguments.config_path().display());
        output::tell_done(format_args!("next: {check}, and start the daemon"));
    } else {
        output::tell_done(format_args!(
            "next: put the master key of this backup at {key_path}; no other key opens the vault"
        ));
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

/// The same as [`summary`] tells, and when and by what it was made, for a program.
fn fields(verified: &Verified) -> Object {
    let Verified { archive, contents, tip, .. } = verified;
    let Manifest { created_at, program, .. } = &archive.manifest;
    object([
        ("created_at", created_at.to_string().into()),
        ("program", program.as_str().into()),
        ("vault_id", contents.vault_id().into()),
        ("vault_seq", contents.seq().into()),
        ("secrets", contents.secret_count().into()),
        ("versions", contents.version_count().into()),
        ("audit_seq", tip.seq.into()),
    ])
}

/// The same, and which file it is.
fn fields_of(file: &Path, verified: &Verified) -> Object {
    let mut fields = fields(verified);
    fields.insert("file".to_owned(), object::path(file));
    fields
}
