//! `completions`: a script with which a shell asks this program what may be typed next.

use super::command::{Arguments, Command, Group, Operands};
use super::exit::Exit;
use super::output;

pub const COMMAND: Command = Command {
    name: "completions",
    group: Group::Upkeep,
    operands: Operands::one("bash|zsh|fish"),
    options: &[],
    shared: &[],
    summary: "print a shell script that completes arguments",
    example: "source <(jarvis-secretsd completions bash)",
    run,
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let script = match arguments.operands()[0].to_str() {
        Some("bash") => include_str!("bash"),
        Some("zsh") => include_str!("zsh"),
        Some("fish") => include_str!("fish"),
        _ => return Err(Exit::usage(format_args!("completions takes {}", COMMAND.operands.usage))),
    };
    output::print(script.as_bytes())
}
