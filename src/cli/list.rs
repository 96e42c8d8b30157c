//! `list`: what secrets there are for this client.

use serde::Deserialize;

use super::client::{self, ADDR, CLIENT, CLIENT_CONFIG, JSON, PREFIX};
use super::command::{Arguments, Command, Operands};
use super::{Exit, output};
use crate::client::Client;
use crate::clock::Timestamp;

pub const COMMAND: Command = Command {
    name: "list",
    operands: Operands::NONE,
    options: &[PREFIX, JSON, ADDR, CLIENT, CLIENT_CONFIG],
    summary: "list the secrets that this client may read",
    run,
};

#[derive(Deserialize)]
struct Item {
    name: String,
    kid: String,
    expires_at: Timestamp,
    is_expired: bool,
    rotation: String,
    /// None: the daemon does not say.
    has_appliers: Option<bool>,
}

/// The heading over what [`due`] returns.
pub const ROTATION_DUE: &str = "ROTATION DUE";

/// The day on which rotation is due.
pub fn due(rotation: &str, at: Timestamp, is_due: bool) -> String {
    match (rotation, is_due) {
        ("off", _) => "(never)".to_owned(),
        (_, true) => format!("{} (due)", at.to_the_second()),
        (_, false) => at.to_the_second(),
    }
}

/// Who replaces a value when rotation is due, and whether nothing tells those who use it.
pub fn who_rotates(rotation: String, has_appliers: Option<bool>) -> String {
    if rotation == "auto" && has_appliers == Some(false) { "auto (no applier)".to_owned() } else { rotation }
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let prefix = client::prefix(arguments)?;
    let client = Client::from_arguments(arguments)?;
    if arguments.has(&JSON) {
        return output::print_line(&client.ask("list", "GET", &format!("/secrets?prefix={prefix}"), None, &[])?);
    }
    let mut rows = Vec::new();
    client.list("list", &format!("prefix={prefix}"), |item: Item| {
        let due = due(&item.rotation, item.expires_at, item.is_expired);
        rows.push([item.name, item.kid, who_rotates(item.rotation, item.has_appliers), due]);
    })?;
    output::print_table(["NAME", "KID", "ROTATION", ROTATION_DUE], rows.into_iter())
}
