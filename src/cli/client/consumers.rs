//! `consumers`: which clients have read a secret, and who of them still has an older version.

use crate::answers::ConsumerList;
use crate::base::failure::say;
use crate::cli::client;
use crate::cli::command::{Arguments, Command, Group, JSON, Operands};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::client::Client;

pub const COMMAND: Command = Command {
    name: "consumers",
    group: Group::Secrets,
    operands: Operands::one("NAME"),
    options: &[JSON],
    shared: client::OPTIONS,
    summary: "list the clients of a secret, and which are behind",
    example: "jarvis-secretsd consumers postgres_password",
    run,
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let name = client::name(arguments)?;
    let client = Client::from_arguments(arguments)?;
    let body = client.ask(name, "GET", &format!("/secret/{name}/consumers"), None, &[])?;
    let Some(list) = client.shown::<ConsumerList>(arguments, name, &body)? else { return Ok(()) };
    let rows = list.consumers.into_iter().map(|item| {
        let state = if item.up_to_date { "up to date" } else { "behind" };
        [item.client, item.kid, item.read_at.to_the_second(), state.to_owned()]
    });
    output::print_table(["CLIENT", "LAST READ", "AT", "STATE"], rows)?;
    if !list.is_complete {
        let since = list.complete_since.to_the_second();
        say(format_args!("{name}: read history is incomplete: it begins at {since}"));
    }
    Ok(())
}
