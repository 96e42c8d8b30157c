//! `delete`: a secret with all its versions, for good.

use crate::answers::DeletedSecret;
use crate::cli::client;
use crate::cli::command::{Arguments, Command, FORCE, Group, JSON, Operands};
use crate::cli::exit::Exit;
use crate::cli::{output, prompt};
use crate::client::{Client, secret_path};

pub const COMMAND: Command = Command {
    name: "delete",
    group: Group::Secrets,
    operands: Operands::one("NAME"),
    options: &[FORCE, JSON],
    shared: client::OPTIONS,
    summary: "destroy a secret with all its versions, for good",
    example: "jarvis-secretsd delete postgres_password",
    run,
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let name = client::name(arguments)?;
    let client = Client::from_arguments(arguments)?;
    if !arguments.has(&FORCE) {
        let told = format!("{name} would be destroyed with all its versions; this cannot be undone");
        prompt::agree("delete", &told)?;
    }
    let body = client.ask(name, "DELETE", &secret_path(name, None)?, None, &[])?;
    if let Some(deleted) = client.done::<DeletedSecret>(arguments, name, &body)? {
        output::tell_done(format_args!("{name}: destroyed, with its versions: {}", deleted.versions_destroyed));
    }
    Ok(())
}
