//! `configure`: other settings for a secret, and the same value.

use super::settings::{self, DESCRIPTION, GENERATOR, GRACE_DAYS, LABELS, OWNER, ROTATION, ROTATION_DAYS};
use crate::answers::ConfiguredSecret;
use crate::base::failure::printable;
use crate::cli::client;
use crate::cli::command::{Arguments, Command, Group, JSON, Operands};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::client::{Client, secret_path};

pub const COMMAND: Command = Command {
    name: "configure",
    group: Group::Secrets,
    operands: Operands::one("NAME"),
    options: &[ROTATION, ROTATION_DAYS, GRACE_DAYS, GENERATOR, DESCRIPTION, OWNER, LABELS, JSON],
    shared: client::OPTIONS,
    summary: "change the settings of a secret, but not its value",
    example: "jarvis-secretsd configure postgres_password --owner dba --labels env=prod",
    run,
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let name = client::name(arguments)?;
    let given = settings::given(arguments)?;
    if given.is_empty() {
        return Err(Exit::usage("configure needs an option that names a setting"));
    }
    let client = Client::from_arguments(arguments)?;
    let body = serde_json::to_vec(&given).expect("it is JSON");
    let body = client.ask(name, "PATCH", &secret_path(name, None)?, Some(&body), &[])?;
    if let Some(ConfiguredSecret { version, warning, .. }) = client.done(arguments, name, &body)? {
        let (kid, due) = (printable(&version.kid), client::told_of_due(&version));
        output::tell_done(format_args!("{name}: configured; {kid}, {due}"));
        client::tell_warning(name, warning.as_deref());
    }
    Ok(())
}
