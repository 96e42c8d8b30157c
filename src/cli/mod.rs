//! The command line: what was asked for, and one file a command.

mod candidates;
mod client;
mod command;
mod commands;
mod completions;
mod configured;
mod daemon;
pub mod dotenv;
mod exit;
mod help;
mod input;
mod output;
mod parse;
mod prompt;
mod report;
mod signals;
mod upkeep;

use std::ffi::OsString;
use std::process::ExitCode;

use exit::Exit;
use parse::Asked;

use crate::programs::{self, process::RUNNER};

/// Does what the arguments (without the program's name) ask for. Messages go to standard error.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let as_json = parse::wants_json(&arguments);
    let mut arguments = arguments.into_iter().peekable();
    // Two are no commands for people, so they are not among those.
    let hidden = arguments.next_if(|first| first == RUNNER || first == candidates::ASK);
    let done = match hidden {
        Some(word) if word == RUNNER => programs::process::serve().map_err(Exit::from),
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
