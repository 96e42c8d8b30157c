//! `schedule`: what is due when.

use serde::Deserialize;

use super::client::{ADDR, CLIENT, CLIENT_CONFIG, JSON};
use super::command::{Arguments, Command, Operands};
use super::{Exit, output};
use crate::client::Client;
use crate::clock::Timestamp;

pub const COMMAND: Command = Command {
    name: "schedule",
    operands: Operands::NONE,
    options: &[JSON, ADDR, CLIENT, CLIENT_CONFIG],
    summary: "list what is due when, and when the schedule replaces it",
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
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let client = Client::from_arguments(arguments)?;
    let body = client.ask("schedule", "GET", "/rotation/schedule", None, &[])?;
    if arguments.has(&JSON) {
        return output::print_line(&body);
    }
    let List { schedule } = client.read("schedule", &body)?;
    let rows = schedule.into_iter().map(|item| {
        let due = if item.is_due { " (due)" } else { "" };
        let planned = item.scheduled_at.map_or("(by a person)".to_owned(), Timestamp::to_the_second);
        [item.name, item.rotation, format!("{}{due}", item.expires_at.to_the_second()), planned]
    });
    output::print_table(["NAME", "ROTATION", "EXPIRES", "PLANNED FOR"], rows)
}
