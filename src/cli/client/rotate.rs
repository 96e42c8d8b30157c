//! `rotate`: new values at once.

use serde_json::{Value, json};

use super::import::DRY_RUN;
use super::rollback;
use super::set::REVOKE_PREVIOUS;
use crate::answers::{PlannedVersion, Rotated, RotationPlan};
use crate::base::failure::{Failure, printable};
use crate::base::secret::{Wiped, wiped_json};
use crate::cli::client::{self, PATIENCE};
use crate::cli::command::{Arguments, Command, FORCE, Group, JSON, Operands, Opt};
use crate::cli::exit::Exit;
use crate::cli::{output, prompt};
use crate::client::Client;

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

const DUE: Opt = Opt {
    name: "due",
    value: None,
    summary: "all secrets whose rotation is due and left to the schedule, instead of named ones",
};

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
    if arguments.has(&DRY_RUN) {
        let body = ask(&client, PLAN, &wanted)?;
        let Some(RotationPlan { would_rotate, .. }) = client.done::<RotationPlan>(arguments, "rotate", &body)? else {
            return Ok(());
        };
        if would_rotate.is_empty() {
            return output::print_line(NOTHING_DUE);
        }
        return output::print_rows(would_rotate.into_iter().map(|PlannedVersion { version, .. }| {
            let told = format!("would become {}, {}", printable(&version.kid), client::told_of_due(&version));
            [version.name, told]
        }));
    }
    let body = ask(&client, "/rotate", &wanted)?;
    let Some(Rotated { rotated, versions, .. }) = client.done(arguments, "rotate", &body)? else { return Ok(()) };
    if rotated.is_empty() {
        return output::print_line(NOTHING_DUE);
    }
    if versions.is_empty() {
        output::tell_rows_done(rotated.into_iter().map(|name| [name, "rotated".to_owned()]));
        return Ok(());
    }
    let back = match &versions[..] {
        [one] if client::is_previous_kept(one) => Some(rollback::command(&one.version.name, None)),
        [_] => None,
        several => several.iter().any(client::is_previous_kept).then(|| rollback::command("NAME", None)),
    };
    output::tell_rows_done(versions.into_iter().map(|made| {
        let told = format!("rotated{}", client::told_of_previous(&made));
        [made.version.name, told]
    }));
    if let Some(back) = back {
        output::tell_done(format_args!("to go back: {}", printable(&back)));
    }
    Ok(())
}

/// What is asked to learn what would be done.
const PLAN: &str = "/rotate?dry_run=true";

const NOTHING_DUE: &[u8] = b"no rotation was due";

fn ask(client: &Client, target: &str, wanted: &Value) -> Result<Wiped, Failure> {
    client.ask("rotate", "POST", target, Some(&wiped_json(wanted)), &[])
}

/// Goes on if no value would be replaced that a person supplied, or somebody says so.
fn agree(client: &Client, wanted: &Value) -> Result<(), Failure> {
    let body = ask(client, PLAN, wanted)?;
    let RotationPlan { would_rotate, .. } = client.read::<RotationPlan>("rotate", &body)?;
    let supplied = would_rotate.into_iter().filter(|planned| planned.previous_is_supplied);
    let names: Vec<_> = supplied.map(|planned| printable(&planned.version.name)).collect();
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
