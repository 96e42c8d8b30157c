//! `get`: a value, bare, for a person or a script.

use std::io::{self, IsTerminal};

use crate::cli::client;
use crate::cli::command::{Arguments, Command, Group, JSON, Operands, Opt};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::client::{Client, secret_path};

pub const COMMAND: Command = Command {
    name: "get",
    group: Group::Secrets,
    operands: Operands::one("NAME"),
    options: &[KID, JSON],
    shared: client::OPTIONS,
    summary: "print the value of a secret, and nothing else",
    example: "password=$(jarvis-secretsd get postgres_password)",
    run,
};

const KID: Opt =
    Opt { name: "kid", value: Some("KID"), summary: "this version instead of the current one, while it can be read" };

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let name = client::name(arguments)?;
    let kid = arguments.text(&KID)?;
    let target = secret_path(name, kid).map_err(Exit::usage)?;
    let client = Client::from_arguments(arguments)?;
    if arguments.has(&JSON) {
        return output::print_line(&client.ask(name, "GET", &target, None, &[])?);
    }
    let secret = client.get(name, kid)?;
    let value = secret.value.expose().as_bytes();
    // A person's next prompt begins on its own line; a script gets what is stored, byte for byte.
    let ends_line = !io::stdout().is_terminal() || value.ends_with(b"\n");
    if ends_line { output::print(value) } else { output::print_line(value) }
}
