//! `rotate`: new values at once.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::client::{self, ADDR, CLIENT, CLIENT_CONFIG, JSON};
use super::command::{Arguments, Command, Operands, Opt};
use super::import::DRY_RUN;
use super::set::REVOKE_PREVIOUS;
use super::{Exit, output};
use crate::client::{Client, Metadata};
use crate::failure::printable;
use crate::secret::wiped_json;

pub const COMMAND: Command = Command {
    name: "rotate",
    operands: Operands::any("[NAME...]"),
    options: &[DUE, DRY_RUN, REVOKE_PREVIOUS, JSON, ADDR, CLIENT, CLIENT_CONFIG],
    summary: "have new values made for these secrets, or for none if one is unknown",
    run,
};

/// How much longer it takes where appliers are run, each for up to an hour.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

const DUE: Opt = Opt {
    name: "due",
    value: None,
    summary: "for all whose rotation is due and left to the schedule, instead of those that are named",
};

/// What an answer says was done, by name or by kid.
#[derive(Deserialize)]
pub struct Rotated {
    #[serde(alias = "retired")]
    pub rotated: Vec<String>,
    #[serde(default)]
    versions: Vec<Metadata>,
    #[serde(default)]
    would_rotate: Vec<Metadata>,
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let names = client::names(arguments)?;
    if names.is_empty() != arguments.has(&DUE) {
        return Err(Exit::usage("rotate takes either names or --due"));
    }
    let mut wanted = json!({ "names": names });
    if arguments.has(&REVOKE_PREVIOUS) {
        if names.is_empty() {
            return Err(Exit::usage("--revoke-previous is for secrets that are named"));
        }
        wanted["revoke_previous"] = true.into();
    }
    let client = Client::from_arguments(arguments)?.patient(PATIENCE);
    let target = if arguments.has(&DRY_RUN) { "/rotate?dry_run=true" } else { "/rotate" };
    let body = client.ask("rotate", "POST", target, Some(&wiped_json(&wanted)), &[])?;
    if arguments.has(&JSON) {
        output::print_done(&body);
        return Ok(());
    }
    let Rotated { rotated, versions, would_rotate } = client.read("rotate", &body)?;
    if rotated.is_empty() && would_rotate.is_empty() {
        return output::print_line(b"no rotation was due");
    }
    if !would_rotate.is_empty() {
        return output::print_rows(would_rotate.into_iter().map(|version| {
            let told = format!("would become {}, {}", printable(&version.kid), version.told_of_due());
            [version.name, told]
        }));
    }
    if versions.is_empty() {
        output::tell_rows_done(rotated.into_iter().map(|name| [name, "rotated".to_owned()]));
        return Ok(());
    }
    output::tell_rows_done(versions.into_iter().map(|version| {
        let told = format!("rotated{}", version.told_of_previous());
        [version.name, told]
    }));
    Ok(())
}
