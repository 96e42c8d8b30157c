//! `list`: what secrets there are for this client.

use serde::Deserialize;

use super::client::{ADDR, CLIENT, CLIENT_CONFIG, JSON};
use super::command::{Arguments, Command, Operands};
use super::{Exit, output};
use crate::client::Client;
use crate::clock::Timestamp;

pub const COMMAND: Command = Command {
    name: "list",
    operands: Operands::NONE,
    options: &[JSON, ADDR, CLIENT, CLIENT_CONFIG],
    summary: "list the secrets that this client may read",
    run,
};

#[derive(Deserialize)]
struct List {
    secrets: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    name: String,
    kid: String,
    expires_at: Timestamp,
    is_expired: bool,
    rotation: String,
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let client = Client::from_arguments(arguments)?;
    let body = client.ask("list", "GET", "/secrets", None, &[])?;
    if arguments.has(&JSON) {
        return output::print_line(&body);
    }
    let List { secrets } = client.read("list", &body)?;
    let rows = secrets.into_iter().map(|item| {
        let due = if item.is_expired { " (due)" } else { "" };
        [item.name, item.kid, item.rotation, format!("{}{due}", item.expires_at.to_the_second())]
    });
    output::print_table(["NAME", "KID", "ROTATION", "EXPIRES"], rows)
}
