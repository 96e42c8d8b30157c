//! `list`: what secrets there are for this client.

use serde::Deserialize;

use super::client::{self, ADDR, CLIENT, CLIENT_CONFIG, JSON, PREFIX};
use super::command::{Arguments, Command, Operands};
use super::{Exit, output};
use crate::client::Client;
use crate::clock::Timestamp;
use crate::name::is_name;

pub const COMMAND: Command = Command {
    name: "list",
    operands: Operands::NONE,
    options: &[PREFIX, JSON, ADDR, CLIENT, CLIENT_CONFIG],
    summary: "list the secrets that this client may read",
    run,
};

/// How many secrets are asked for at a time.
const LIMIT: u32 = 1000;

#[derive(Deserialize)]
struct List {
    secrets: Vec<Item>,
    next: Option<String>,
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
    let prefix = client::prefix(arguments)?;
    let client = Client::from_arguments(arguments)?;
    if arguments.has(&JSON) {
        return output::print_line(&client.ask("list", "GET", &format!("/secrets?prefix={prefix}"), None, &[])?);
    }
    let mut rows = Vec::new();
    let mut after = String::new();
    loop {
        let target = format!("/secrets?prefix={prefix}&after={after}&limit={LIMIT}");
        let body = client.ask("list", "GET", &target, None, &[])?;
        let List { secrets, next } = client.read("list", &body)?;
        rows.extend(secrets.into_iter().map(|item| {
            let due = if item.is_expired { " (due)" } else { "" };
            [item.name, item.kid, item.rotation, format!("{}{due}", item.expires_at.to_the_second())]
        }));
        match next {
            Some(next) if is_name(&next) && next > after => after = next,
            Some(_) => return Err(client.strange("list").into()),
            None => return output::print_table(["NAME", "KID", "ROTATION", "EXPIRES"], rows.into_iter()),
        }
    }
}
