//! `completions`: what a shell needs to complete this program's arguments, made of the same table as the help.

mod bash;
mod fish;
mod place;
mod zsh;

use super::command::{Arguments, Command, Group, Operands};
use super::{Exit, output};

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
        Some("bash") => bash::script(),
        Some("zsh") => zsh::script(),
        Some("fish") => fish::script(),
        _ => return Err(Exit::usage(format_args!("completions takes {}", COMMAND.operands.usage))),
    };
    output::print(script.as_bytes())
}
