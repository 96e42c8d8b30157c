//! `rotate`: new values at once.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{self, JSON};
use super::command::{Arguments, Command, FORCE, Group, Operands, Opt};
use super::import::DRY_RUN;
use super::set::REVOKE_PREVIOUS;
use super::{Exit, output, prompt, rollback};
use crate::base::failure::{Failure, printable};
use crate::base::secret::{Wiped, wiped_json};
use crate::client::{Client, Metadata};

pub const COMMAND: Command = Command {
    name: "rotate",
    group: Group::Secrets,
    operands: Operands::any("[NAME...]"),
    options: &[DUE, DRY_RUN, REVOKE_PREVIOUS, FORCE, JSON],
    shared: client::OPTIONS,
    summary: "replace values now, with generated ones",
    example: "jarvis-secretsd rotate postgres_password",
    run,
};

/// How much longer it takes where appliers are run, each for up to an hour.
pub const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

const DUE: Opt = Opt {
    name: "due",
    value: None,
    summary: "all secrets whose rotation is due and left to the schedule, instead of named ones",
};

/// What an answer says was done, by name or by kid.
#[derive(Deserialize)]
pub struct Rotated {
    #[serde(alias = "retired")]
    pub rotated: Vec<String>,
    #[serde(default)]
    versions: Vec<Metadata>,
    #[serde(default)]
    would_rotate: Vec<Foreseen>,
}

/// A version that would be made.
#[derive(Deserialize)]
struct Foreseen {
    #[serde(flatten)]
    version: Metadata,
    #[serde(default)]
    previous_is_supplied: bool,
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let names = client::names(arguments)?;
    if names.is_empty() != arguments.has(&DUE) {
        return Err(Exit::usage("rotate takes either names or --due"));
    }
    let mut wanted = json!({ "names": names });
    if arguments.has(&REVOKE_PREVIOUS) {
        if names.is_empty() {
            return Err(Exit::usage("--revoke-previous needs named secrets"));
        }
        wanted["revoke_previous"] = true.into();
    }
    let client = Client::from_arguments(arguments)?.patient(PATIENCE);
    if !names.is_empty() && !arguments.has(&DRY_RUN) && !arguments.has(&FORCE) {
        agree(&client, &wanted)?;
    }
    let target = if arguments.has(&DRY_RUN) { "/rotate?dry_run=true" } else { "/rotate" };
    let body = ask(&client, target, &wanted)?;
    if arguments.has(&JSON) {
        output::print_done(&body);
        return Ok(());
    }
    let Rotated { rotated, versions, would_rotate } = client.read("rotate", &body)?;
    if rotated.is_empty() && would_rotate.is_empty() {
        return output::print_line(b"no rotation was due");
    }
    if !would_rotate.is_empty() {
        return output::print_rows(would_rotate.into_iter().map(|Foreseen { version, .. }| {
            let told = format!("would become {}, {}", printable(&version.kid), version.told_of_due());
            [version.name, told]
        }));
    }
    if versions.is_empty() {
        output::tell_rows_done(rotated.into_iter().map(|name| [name, "rotated".to_owned()]));
        return Ok(());
    }
    let is_kept = |version: &Metadata| version.previous_readable_until > Some(version.created_at);
    let back = match &versions[..] {
        [one] if is_kept(one) => Some(rollback::command(&one.name, None)),
        [_] => None,
        several => several.iter().any(is_kept).then(|| rollback::command("NAME", None)),
    };
    output::tell_rows_done(versions.into_iter().map(|version| {
        let told = format!("rotated{}", version.told_of_previous());
        [version.name, told]
    }));
    if let Some(back) = back {
        output::tell_done(format_args!("to go back: {}", printable(&back)));
    }
    Ok(())
}

fn ask(client: &Client, target: &str, wanted: &Value) -> Result<Wiped, Failure> {
    client.ask("rotate", "POST", target, Some(&wiped_json(wanted)), &[])
}

/// Goes on if no value would be replaced that a person supplied, or somebody says so.
fn agree(client: &Client, wanted: &Value) -> Result<(), Failure> {
    let body = ask(client, "/rotate?dry_run=true", wanted)?;
    let Rotated { would_rotate, .. } = client.read("rotate", &body)?;
    let supplied = would_rotate.into_iter().filter(|foreseen| foreseen.previous_is_supplied);
    let names: Vec<_> = supplied.map(|foreseen| printable(&foreseen.version.name)).collect();
    match &names[..] {
        [] => Ok(()),
        [name] => {
            prompt::agree("rotate", &format!("a generated value would replace that of {name}, which a person supplied"))
        }
        names => {
            let names = names.join(", ");
            let told = format!("generated values would replace those of {names}, which people supplied");
            prompt::agree("rotate", &told)
        }
    }
}
