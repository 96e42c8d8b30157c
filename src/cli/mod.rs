//! The command line: what was asked for, and one file a command.

mod audit;
mod backup;
mod candidates;
mod check;
mod client;
mod command;
mod completions;
mod consumers;
mod delete;
pub mod dotenv;
mod exec;
mod get;
mod healthcheck;
mod help;
mod hook;
mod import;
mod init;
mod input;
mod key;
mod list;
mod output;
mod parse;
mod policy;
mod prompt;
mod protection;
mod rehearsal;
mod rekey;
mod render;
mod retire;
mod rollback;
mod rotate;
mod schedule;
mod serve;
mod set;
mod settings;
mod shared_paths;
mod sockets;
mod supervise;
mod template;
mod token;
mod variables;
mod versions;
mod whose;

use std::ffi::OsString;
use std::process::ExitCode;

use command::{Arguments, Command, MASTER_KEY};
use parse::Asked;

use crate::applier::{self, process::RUNNER};
use crate::base::failure::{Details, Failure, Kind, say, say_json};
use crate::base::files::{self, KeyOwner};
use crate::config::Config;
use crate::vault::{KeyBytes, KeyFile, KeyInForce};

/// The daemon does not have what was asked for.
const NOT_FOUND: u8 = 3;

/// Authentication failed, or the policy denies it.
const DENIED: u8 = 4;

/// The daemon does not answer.
const UNREACHABLE: u8 = 5;

/// `sysexits.h`: something was found in a configuration file.
const EX_CONFIG: u8 = 78;

/// All commands, in the order in which the help tells them.
const COMMANDS: &[Command] = &[
    serve::COMMAND,
    check::COMMAND,
    healthcheck::COMMAND,
    init::COMMAND,
    token::COMMAND,
    get::COMMAND,
    set::COMMAND,
    settings::COMMAND,
    list::COMMAND,
    versions::COMMAND,
    consumers::COMMAND,
    rotate::COMMAND,
    rollback::COMMAND,
    schedule::COMMAND,
    retire::COMMAND,
    delete::COMMAND,
    import::COMMAND,
    exec::COMMAND,
    render::COMMAND,
    audit::VERIFY,
    audit::TAKE_CHECKPOINT,
    policy::CHECK,
    policy::EXPLAIN,
    policy::REPLAY,
    backup::BACKUP,
    backup::VERIFY,
    backup::RESTORE,
    rekey::COMMAND,
    key::EXPORT,
    key::IMPORT,
    completions::COMMAND,
];

/// Why the program ends without having done what it was to do.
pub struct Exit {
    status: u8,
    why: String,
    /// More fields of the error, for a program that reads JSON.
    details: Option<Details>,
}

impl Exit {
    fn new(status: u8, why: impl std::fmt::Display) -> Self {
        Self { status, why: why.to_string(), details: None }
    }

    fn usage(why: impl std::fmt::Display) -> Self {
        let why = why.to_string();
        let end = if why.ends_with('?') { "" } else { ";" };
        Self::new(2, format_args!("usage: {why}{end} see jarvis-secretsd --help"))
    }

    /// What there was to say has been said, by us or by a program that was run.
    fn silent(status: u8) -> Self {
        Self::new(status, "")
    }

    fn config(why: Failure) -> Self {
        Self::new(EX_CONFIG, why)
    }

    /// Says why, to a person or to a program.
    fn say(self, as_json: bool) {
        let Self { status, why, details } = self;
        match as_json {
            _ if why.is_empty() => {}
            false => say(why),
            true => {
                let mut error = details.unwrap_or_default();
                error.entry("error").or_insert_with(|| code(status).into());
                error.insert("message".to_owned(), why.into());
                say_json(error);
            }
        }
    }
}

/// What a program is told of a failure that is not the daemon's, in a word.
fn code(status: u8) -> &'static str {
    match status {
        2 => "usage",
        NOT_FOUND => "not_found",
        UNREACHABLE => "unreachable",
        EX_CONFIG => "configuration",
        _ => "failed",
    }
}

impl From<Failure> for Exit {
    fn from(mut why: Failure) -> Self {
        let status = match why.kind() {
            Kind::Failed => 1,
            Kind::Configuration => EX_CONFIG,
            Kind::NotFound => NOT_FOUND,
            Kind::Denied => DENIED,
            Kind::Unreachable => UNREACHABLE,
        };
        let details = why.take_details();
        Self { details, ..Self::new(status, why) }
    }
}

impl From<lexopt::Error> for Exit {
    fn from(why: lexopt::Error) -> Self {
        Self::usage(why)
    }
}

/// Does what the arguments (without the program's name) ask for. Messages go to standard error.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let as_json = parse::wants_json(&arguments);
    let mut arguments = arguments.into_iter().peekable();
    // Two are no commands for people, so they are not among those.
    let hidden = arguments.next_if(|first| first == RUNNER || first == candidates::ASK);
    let done = match hidden {
        Some(word) if word == RUNNER => applier::process::serve().map_err(Exit::from),
        Some(_) => candidates::print(arguments),
        None => parse::parse(arguments).and_then(answer),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            let status = exit.status;
            exit.say(as_json);
            ExitCode::from(status)
        }
    }
}

fn answer(asked: Asked) -> Result<(), Exit> {
    match asked {
        Asked::Do(command, arguments) => (command.run)(&arguments),
        Asked::Help(Some(command)) => output::print(help::of(command).as_bytes()),
        Asked::Help(None) => output::print(help::all().as_bytes()),
        Asked::Version => output::tell(format_args!("jarvis-secretsd {}", env!("CARGO_PKG_VERSION"))),
    }
}

fn load_config(path: &std::path::Path) -> Result<Config, Exit> {
    Config::load(path).map_err(Exit::config)
}

/// The configuration of a daemon whose files are worked on, perhaps by root where the daemon is another user.
fn load_config_to_maintain(arguments: &Arguments) -> Result<Config, Exit> {
    files::take_keys_of(KeyOwner::Anyone);
    load_config(&arguments.config_path())
}

/// The master key that `--master-key` names, or else the configuration.
fn master_key(arguments: &Arguments, config: &Config) -> Result<KeyBytes, Failure> {
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
