//! `retire`: the grace of a secret's older versions ends at once.

use crate::answers::Retired;
use crate::cli::client;
use crate::cli::command::{Arguments, Command, FORCE, Group, JSON, Operands};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::client::Client;

pub const COMMAND: Command = Command {
    name: "retire",
    group: Group::Secrets,
    operands: Operands::one("NAME"),
    options: &[FORCE, JSON],
    shared: client::OPTIONS,
    summary: "destroy all versions of a secret but the current one",
    example: "jarvis-secretsd retire postgres_password",
    run,
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let name = client::name(arguments)?;
    let client = Client::from_arguments(arguments)?;
    let wanted: &[u8] = if arguments.has(&FORCE) { br#"{"force":true}"# } else { b"{}" };
    let body = client.ask(name, "POST", &format!("/secret/{name}/retire"), Some(wanted), &[])?;
    let Some(Retired { retired, .. }) = client.done(arguments, name, &body)? else { return Ok(()) };
    if retired.is_empty() {
        return output::print_line(b"there was no older version");
    }
    output::tell_rows_done(retired.into_iter().map(|kid| [kid, "retired".to_owned()]));
    Ok(())
}
