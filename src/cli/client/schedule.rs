//! `schedule`: when rotation of which secret is due.

use super::list::{ROTATION_DUE, due, who_rotates};
use crate::answers::RotationSchedule;
use crate::base::clock::Timestamp;
use crate::cli::client;
use crate::cli::command::{Arguments, Command, Group, JSON, Operands};
use crate::cli::exit::Exit;
use crate::cli::output;
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

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let client = Client::from_arguments(arguments)?;
    let body = client.ask("schedule", "GET", "/rotation/schedule", None, &[])?;
    let Some(list) = client.shown::<RotationSchedule>(arguments, "schedule", &body)? else { return Ok(()) };
    let rows = list.schedule.into_iter().map(|item| {
        let due = due(&item.rotation, item.expires_at, item.is_due);
        let scheduled = item.scheduled_at.map_or("(by a person)".to_owned(), Timestamp::to_the_second);
        [item.name, who_rotates(item.rotation, item.has_appliers), due, scheduled]
    });
    output::print_table(["NAME", "ROTATION", ROTATION_DUE, "SCHEDULED FOR"], rows)
}
