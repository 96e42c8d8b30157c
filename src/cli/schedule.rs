//! `schedule`: when rotation of which secret is due.

use serde::Deserialize;

use super::client::{self, JSON};
use super::command::{Arguments, Command, Group, Operands};
use super::list::{ROTATION_DUE, due, who_rotates};
use super::{Exit, output};
use crate::base::clock::Timestamp;
use crate::client::Client;

pub const COMMAND: Command = Command {
    name: "schedule",
    group: Group::Secrets,
    operands: Operands::NONE,
    options: &[JSON],
    shared: client::OPTIONS,
    summary: "list when rotation of each secret is due",
    example: "jarvis-secretsd schedule",
    run,
};

#[derive(Deserialize)]
struct List {
    schedule: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    name: String,
    rotation: String,
    expires_at: Timestamp,
    scheduled_at: Option<Timestamp>,
    is_due: bool,
    /// None: the daemon does not say.
    has_appliers: Option<bool>,
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let client = Client::from_arguments(arguments)?;
    let body = client.ask("schedule", "GET", "/rotation/schedule", None, &[])?;
    if arguments.has(&JSON) {
        return output::print_line(&body);
    }
    let List { schedule } = client.read("schedule", &body)?;
    let rows = schedule.into_iter().map(|item| {
        let due = due(&item.rotation, item.expires_at, item.is_due);
        let scheduled = item.scheduled_at.map_or("(by a person)".to_owned(), Timestamp::to_the_second);
        [item.name, who_rotates(item.rotation, item.has_appliers), due, scheduled]
    });
    output::print_table(["NAME", "ROTATION", ROTATION_DUE, "SCHEDULED FOR"], rows)
}
