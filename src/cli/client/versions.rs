//! `versions`: which versions of a secret can be read.

use super::list::{LONG, ROTATION_DUE, due, labels};
use crate::answers::VersionList;
use crate::base::clock::Timestamp;
use crate::cli::client;
use crate::cli::command::{Arguments, Command, Group, JSON, Operands};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::client::Client;

pub const COMMAND: Command = Command {
    name: "versions",
    group: Group::Secrets,
    operands: Operands::one("NAME"),
    options: &[LONG, JSON],
    shared: client::OPTIONS,
    summary: "list the versions of a secret that can be read",
    example: "jarvis-secretsd versions postgres_password",
    run,
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let name = client::name(arguments)?;
    let client = Client::from_arguments(arguments)?;
    let body = client.ask(name, "GET", &format!("/secret/{name}/versions"), None, &[])?;
    let Some(list) = client.shown::<VersionList>(arguments, name, &body)? else { return Ok(()) };
    if arguments.has(&LONG) {
        let settings = list.settings;
        let labels = labels(&settings);
        let rows = [("owner:", settings.owner), ("labels:", Some(labels)), ("description:", settings.description)];
        output::print_rows(rows.into_iter().map(|(what, text)| [what.to_owned(), text.unwrap_or_default()]))?;
        output::tell("")?;
    }
    let rows = list.versions.into_iter().map(|item| {
        let until = item.readable_until.map_or("(current)".to_owned(), Timestamp::to_the_second);
        let due = due(&item.rotation, item.expires_at, false);
        [item.kid, item.created_at.to_the_second(), item.rotation.into_owned(), due, until]
    });
    output::print_table(["KID", "CREATED", "ROTATION", ROTATION_DUE, "READABLE UNTIL"], rows)
}
