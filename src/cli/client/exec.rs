//! `exec`: another program, with secrets in its environment; with `--watch` a new one for new values.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::process::Command as Program;
use std::time::Duration;

use rustix::process::Signal;
use signal_hook::low_level::signal_name;

use super::supervise::{DEFAULT_STOP_TIMEOUT, Reaction, shell_status, supervise};
use super::variables::Wanted;
use crate::base::failure::{Failure, say};
use crate::base::secret::Plaintext;
use crate::base::span;
use crate::cli::client::{self, PREFIX};
use crate::cli::command::{Arguments, Command, Group, Operands, Opt, WATCH};
use crate::cli::exit::Exit;
use crate::client::{Client, watch};
use crate::process::Tree;

pub const COMMAND: Command = Command {
    name: "exec",
    group: Group::Secrets,
    operands: Operands::some("-- COMMAND [ARGUMENT...]"),
    options: &[SECRETS, PREFIX, WATCH, SIGNAL, STOP_TIMEOUT],
    shared: client::OPTIONS,
    summary: "run a program with secrets in its environment",
    example: "jarvis-secretsd exec --prefix shop_ -- shop --port 8080",
    run,
};

const SECRETS: Opt = Opt {
    name: "secrets",
    value: Some("NAME[=VARIABLE],..."),
    summary: "the secrets, and the variables for them (default: the name in upper case, with _ for . and -)",
};

const SIGNAL: Opt = Opt {
    name: "signal",
    value: Some("SIGNAL"),
    summary: "the signal that the command gets when a secret changes, instead of a restart",
};

const STOP_TIMEOUT: Opt = Opt {
    name: "stop-timeout",
    value: Some("TIME"),
    summary: "how long the command may take to stop for a restart, before it is killed (default: 10s)",
};

const MAX_STOP_TIMEOUT: Duration = Duration::from_secs(3600);

/// The variables that hold our own token, or say where it is, which the program has no use for.
const OURS: [&str; 2] = ["JARVIS_SECRETSD_TOKEN", "JARVIS_SECRETSD_TOKEN_FILE"];

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let lists = arguments.texts(&SECRETS)?;
    let prefix = if arguments.has(&PREFIX) { Some(client::prefix(arguments)?) } else { None };
    if lists.is_empty() && prefix.is_none() {
        return Err(Exit::usage(format_args!("exec needs {} or {}", SECRETS.usage(), PREFIX.usage())));
    }
    let mut wanted = Wanted::named(&lists)?;
    let reaction = reaction(arguments)?;
    let client = Client::from_arguments(arguments)?;
    if let Some(prefix) = prefix {
        wanted.add_those_under(prefix, &client)?;
    }
    let (mut held, mut known) = (Vec::new(), Vec::new());
    for (name, variable) in wanted.0 {
        let secret = client.get(&name, None)?;
        known.push((name.clone(), secret.kid));
        held.push(Held { value: fit(&name, secret.value)?, name, variable });
    }
    let command = arguments.operands();
    let Some(reaction) = reaction else {
        return Err(cannot_run(command, with(command, &held).exec()));
    };
    let held = RefCell::new(held);
    let take = |number: usize, value| {
        // One that is only sent a signal fetches the value itself.
        let mut held = held.borrow_mut();
        let Some(held) = held.get_mut(number) else { return true };
        match fit(&held.name, value) {
            Ok(value) => held.value = value,
            Err(why) => {
                say(format_args!("{why}; the old value stays in use"));
                return false;
            }
        }
        true
    };
    let start = || {
        let started = Tree::start(&mut with(command, &held.borrow())).map_err(|why| cannot_run(command, why));
        if let Reaction::Signal(_) = reaction {
            held.take();
        }
        started
    };
    let known = known.iter().map(|(name, kid)| (name.as_str(), kid.clone()));
    let ended = supervise(reaction, take, start, |news| watch(client, known, news))?;
    match shell_status(ended) {
        0 => Ok(()),
        status => Err(Exit::silent(status)),
    }
}

/// A secret that was fetched.
struct Held {
    name: String,
    variable: String,
    value: Plaintext,
}

/// The value, if it can stand in the environment.
fn fit(name: &str, value: Plaintext) -> Result<Plaintext, Failure> {
    match value.expose().contains('\0') {
        true => Err(Failure::new(name, "has a NUL byte, which the environment cannot hold")),
        false => Ok(value),
    }
}

/// The program, with these values in its environment.
fn with(command: &[OsString], held: &[Held]) -> Program {
    let mut program = program(command);
    program.envs(held.iter().map(|held| (&held.variable, held.value.expose())));
    program
}

/// The program that these words call, which has no use for our own token.
pub fn program(command: &[OsString]) -> Program {
    let mut program = Program::new(&command[0]);
    program.args(&command[1..]);
    for variable in OURS {
        program.env_remove(variable);
    }
    program
}

/// As a shell says it: there is no such program, or it cannot be run.
fn cannot_run(command: &[OsString], why: io::Error) -> Exit {
    let status = if why.kind() == ErrorKind::NotFound { 127 } else { 126 };
    Exit::new(status, Failure::new(command[0].to_string_lossy(), why))
}

/// What is to be done when a secret changes; none: it is not watched.
fn reaction(arguments: &Arguments) -> Result<Option<Reaction>, Exit> {
    let (signal, patience) = (arguments.text(&SIGNAL)?, arguments.text(&STOP_TIMEOUT)?);
    match (signal, patience) {
        _ if arguments.has(&WATCH) => {}
        (None, None) => return Ok(None),
        _ => return Err(Exit::usage("--signal and --stop-timeout are for --watch")),
    }
    match (signal, patience) {
        (Some(_), Some(_)) => {
            Err(Exit::usage("--stop-timeout is for a command that is restarted, not sent a --signal"))
        }
        (Some(signal), None) => {
            let wrong = || {
                Exit::usage(format_args!(
                    "--signal: {signal:?} is not a signal; use a name or number, such as HUP or 1"
                ))
            };
            read_signal(signal).map(Reaction::Signal).map(Some).ok_or_else(wrong)
        }
        (None, patience) => {
            let patience = patience.map_or(Some(DEFAULT_STOP_TIMEOUT), span::parse);
            let patience = patience.filter(|patience| *patience <= MAX_STOP_TIMEOUT);
            let wrong = || Exit::usage("--stop-timeout takes a time of at most an hour, such as 10s");
            patience.map(Reaction::Restart).map(Some).ok_or_else(wrong)
        }
    }
}

/// A signal by its number, or by its name with `SIG` or without.
fn read_signal(text: &str) -> Option<Signal> {
    let is_called =
        |number: &i32| signal_name(*number).is_some_and(|name| name == text || name.strip_prefix("SIG") == Some(text));
    text.parse().ok().or_else(|| (1..32).find(is_called)).and_then(Signal::from_named_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_a_name_and_a_number() {
        for (text, signal) in [("HUP", Signal::HUP), ("SIGUSR1", Signal::USR1), ("15", Signal::TERM)] {
            assert_eq!(read_signal(text), Some(signal));
        }
        for text in ["", "SIG", "hup", "NONE", "0", "-1", "1000", "1.0"] {
            assert_eq!(read_signal(text), None, "{text}");
        }
    }
}
