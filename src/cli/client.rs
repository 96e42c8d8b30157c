//! What all commands share that ask a daemon.

use std::ffi::OsString;

use super::command::{Arguments, Opt};
use super::{Exit, output};
use crate::client::{Client, Metadata, Options, Place, Settings, read_name};
use crate::failure::printable;
use crate::name::{is_name, is_name_byte};

/// Where the daemon is.
pub const ADDR: Opt = Opt {
    name: "addr",
    value: Some("ADDR"),
    summary: "the daemon: http://host:port, https://host:port or unix:/path (default: http://127.0.0.1:8081)",
};

/// Who asks.
pub const CLIENT: Opt = Opt { name: "client", value: Some("NAME"), summary: "the client of the policy that asks" };

/// The settings of both, and of the credential.
pub const CLIENT_CONFIG: Opt = Opt {
    name: "client-config",
    value: Some("PATH"),
    summary: "the client's settings (default: ~/.config/jarvis-secretsd/client.toml, then /etc/jarvis-secretsd/client.toml)",
};

/// An answer for programs.
pub const JSON: Opt = Opt { name: "json", value: None, summary: "print the API's answer, which is JSON" };

/// Which secrets.
pub const PREFIX: Opt = Opt { name: "prefix", value: Some("PREFIX"), summary: "what the names begin with" };

impl Client {
    /// The client that the options [`ADDR`], [`CLIENT`] and [`CLIENT_CONFIG`], the environment and the settings file
    /// describe. It connects when it is asked something.
    pub fn from_arguments(arguments: &Arguments) -> Result<Self, Exit> {
        let options = Options {
            addr: read(arguments, &ADDR, Place::parse)?,
            client: read(arguments, &CLIENT, read_name)?,
            file: arguments.path(&CLIENT_CONFIG),
        };
        Settings::gather(options).map(Self::new).map_err(Exit::config)
    }
}

fn read<T>(arguments: &Arguments, option: &Opt, read: fn(&str) -> Result<T, String>) -> Result<Option<T>, Exit> {
    let Some(value) = arguments.text(option)? else { return Ok(None) };
    read(value).map(Some).map_err(|why| Exit::usage(format_args!("--{} {why}", option.name)))
}

/// The secrets' names that a command was given.
pub fn names(arguments: &Arguments) -> Result<Vec<&str>, Exit> {
    fn checked(name: &OsString) -> Result<&str, Exit> {
        let wrong = || Exit::usage(format_args!("{name:?} is no secret's name: 1 to 128 of A-Z a-z 0-9 _ . -"));
        name.to_str().filter(|name| is_name(name)).ok_or_else(wrong)
    }
    arguments.operands().iter().map(checked).collect()
}

/// What [`PREFIX`] says, or nothing.
pub fn prefix(arguments: &Arguments) -> Result<&str, Exit> {
    let prefix = arguments.text(&PREFIX)?.unwrap_or_default();
    match prefix.bytes().all(is_name_byte) {
        true => Ok(prefix),
        false => Err(Exit::usage("--prefix takes A-Z a-z 0-9 _ . -")),
    }
}

/// The one secret's name that a command was given.
pub fn name(arguments: &Arguments) -> Result<&str, Exit> {
    Ok(names(arguments)?[0])
}

/// Says what whoever has changed `name` should know, if there is something.
pub fn tell_warning(name: &str, changed: &Metadata) {
    if let Some(warning) = &changed.warning {
        output::tell_done(format_args!("{name}: {}", printable(warning)));
    }
}
