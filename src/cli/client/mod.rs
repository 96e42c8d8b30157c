//! What all commands share that ask a daemon.

pub mod configure;
pub mod consumers;
pub mod delete;
pub mod exec;
pub mod get;
mod hook;
pub mod import;
pub mod list;
pub mod render;
pub mod retire;
pub mod rollback;
pub mod rotate;
pub mod schedule;
pub mod set;
mod settings;
mod supervise;
mod template;
mod variables;
pub mod versions;

use std::ffi::OsString;
use std::fmt::Display;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::answers::{NewVersion, VersionMetadata};
use crate::base::failure::printable;
use crate::base::name::{NO_SECRETS_NAME, is_name, is_name_byte};
use crate::cli::command::{Arguments, JSON, Opt};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::client::{Address, Client, ClientSettings, Options, read_name};

const ADDR: Opt = Opt {
    name: "addr",
    value: Some("ADDR"),
    summary: "http://host:port, https://host:port or unix:/path (default: http://127.0.0.1:8081)",
};

const CLIENT: Opt = Opt { name: "client", value: Some("NAME"), summary: "the client's name in the policy" };

const CLIENT_CONFIG: Opt = Opt {
    name: "client-config",
    value: Some("PATH"),
    summary: "settings (default: ~/.config/jarvis-secretsd/client.toml, then /etc/jarvis-secretsd/client.toml)",
};

const TOKEN_FILE: Opt = Opt { name: "token-file", value: Some("FILE"), summary: "a file with the client's token" };

const CA: Opt =
    Opt { name: "ca", value: Some("FILE"), summary: "the CAs of the daemon's certificate (default: the system's)" };

const CERT: Opt = Opt { name: "cert", value: Some("FILE"), summary: "the client's certificate" };

const KEY: Opt = Opt { name: "key", value: Some("FILE"), summary: "the private key of the client's certificate" };

/// The options of every command that asks a daemon.
pub const OPTIONS: &[Opt] = &[ADDR, CLIENT, TOKEN_FILE, CA, CERT, KEY, CLIENT_CONFIG];

pub const PREFIX: Opt = Opt { name: "prefix", value: Some("PREFIX"), summary: "the beginning of the names" };

/// How much longer it takes where appliers are run, each for up to an hour.
pub const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

impl Client {
    /// The client that the [`OPTIONS`], the environment and the settings file describe. It connects when it is asked something.
    pub fn from_arguments(arguments: &Arguments) -> Result<Self, Exit> {
        let options = Options {
            addr: read(arguments, &ADDR, Address::parse)?,
            client: read(arguments, &CLIENT, read_name)?,
            token_file: arguments.path(&TOKEN_FILE),
            ca: arguments.path(&CA),
            cert: arguments.path(&CERT),
            key: arguments.path(&KEY),
            file: arguments.path(&CLIENT_CONFIG),
        };
        ClientSettings::gather(options).map(Self::new).map_err(Exit::config)
    }

    /// What the answer says that `what` is about. None: it was printed as it came, for `--json`.
    pub fn shown<T: DeserializeOwned>(
        &self,
        arguments: &Arguments,
        what: &str,
        answer: &[u8],
    ) -> Result<Option<T>, Exit> {
        self.told(arguments, what, answer, output::print_line)
    }

    /// The same of an answer that says what was done. It stays done where nobody can be told.
    pub fn done<T: DeserializeOwned>(
        &self,
        arguments: &Arguments,
        what: &str,
        answer: &[u8],
    ) -> Result<Option<T>, Exit> {
        self.told(arguments, what, answer, |answer| {
            output::print_done(answer);
            Ok(())
        })
    }

    fn told<T: DeserializeOwned>(
        &self,
        arguments: &Arguments,
        what: &str,
        answer: &[u8],
        print: fn(&[u8]) -> Result<(), Exit>,
    ) -> Result<Option<T>, Exit> {
        match arguments.has(&JSON) {
            true => print(answer).map(|()| None),
            false => Ok(Some(self.read(what, answer)?)),
        }
    }
}

fn read<T>(arguments: &Arguments, option: &Opt, read: fn(&str) -> Result<T, String>) -> Result<Option<T>, Exit> {
    let Some(value) = arguments.text(option)? else { return Ok(None) };
    read(value).map(Some).map_err(|why| Exit::usage(format_args!("--{} {why}", option.name)))
}

pub fn names(arguments: &Arguments) -> Result<Vec<&str>, Exit> {
    fn checked(name: &OsString) -> Result<&str, Exit> {
        let wrong = || Exit::usage(format_args!("{name:?} {NO_SECRETS_NAME}"));
        name.to_str().filter(|name| is_name(name)).ok_or_else(wrong)
    }
    arguments.operands().iter().map(checked).collect()
}

pub fn prefix(arguments: &Arguments) -> Result<&str, Exit> {
    let prefix = arguments.text(&PREFIX)?.unwrap_or_default();
    match prefix.bytes().all(is_name_byte) {
        true => Ok(prefix),
        false => Err(Exit::usage("--prefix takes A-Z a-z 0-9 _ . -")),
    }
}

pub fn name(arguments: &Arguments) -> Result<&str, Exit> {
    Ok(names(arguments)?[0])
}

/// When its rotation is due, in words that go behind its kid.
pub fn told_of_due(version: &VersionMetadata) -> String {
    match &*version.rotation {
        "off" => "rotation is off".to_owned(),
        _ => format!("rotation is due on {}", version.expires_at.to_the_second()),
    }
}

/// What became of the version before, in words that go behind others; none if there was none.
pub fn told_of_previous(made: &NewVersion) -> String {
    let before = made.previous_kid.as_deref().map_or("the old version".to_owned(), printable);
    match made.previous_readable_until {
        Some(until) if is_previous_kept(made) => format!("; {before} can be read until {}", until.to_the_second()),
        Some(_) => format!("; {before} can no longer be read"),
        None => String::new(),
    }
}

/// Whether there was a version before, and it can still be read.
pub fn is_previous_kept(made: &NewVersion) -> bool {
    made.previous_readable_until > Some(made.version.created_at)
}

/// Tells of a version of `name` that was made; `how` stands behind its kid.
pub fn tell_made(name: &str, made: &NewVersion, how: impl Display) {
    let (kid, due, previous) = (printable(&made.version.kid), told_of_due(&made.version), told_of_previous(made));
    output::tell_done(format_args!("{name}: made {kid}{how}, {due}{previous}"));
    tell_warning(name, made.warning.as_deref());
}

/// Says what whoever has changed `name` should know, if there is something.
pub fn tell_warning(name: &str, warning: Option<&str>) {
    if let Some(warning) = warning {
        output::tell_done(format_args!("{name}: {}", printable(warning)));
    }
}
