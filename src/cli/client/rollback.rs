//! `rollback`: the value of an older version becomes the current one again.

use crate::answers::{NewVersion, VersionList};
use crate::base::failure::{Failure, Kind, printable};
use crate::base::secret::wiped_json;
use crate::cli::client::{self, PATIENCE};
use crate::cli::command::{Arguments, Command, Group, JSON, Operands, Opt};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::client::{Client, retold};

pub const COMMAND: Command = Command {
    name: "rollback",
    group: Group::Secrets,
    operands: Operands::one("NAME"),
    options: &[TO, JSON],
    shared: client::OPTIONS,
    summary: "make the value of an older version current again",
    example: "jarvis-secretsd rollback postgres_password",
    run,
};

const TO: Opt = Opt { name: "to", value: Some("KID"), summary: "the value of this version (see the command versions)" };

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let name = client::name(arguments)?;
    let client = Client::from_arguments(arguments)?.patient(PATIENCE);
    let body = client.ask(name, "GET", &format!("/secret/{name}/versions"), None, &[])?;
    let VersionList { versions, .. } = client.read(name, &body)?;
    let current = versions.iter().find(|item| item.is_current).ok_or_else(|| client.strange(name))?;
    let before = versions.iter().find(|item| !item.is_current).map(|item| item.kid.as_str());
    let Some(kid) = arguments.text(&TO)?.or(before) else {
        let why = "there is no older version that can still be read; to store a value that you have, use set";
        return Err(Failure::new(name, why).of(Kind::NotFound).into());
    };
    let wanted = wiped_json(&serde_json::json!({ "kid": kid }));
    // What was looked at is what is replaced.
    let unchanged = format!("\"{}\"", current.kid);
    let answer =
        client.call("POST", &format!("/secret/{name}/rollback"), Some(&wanted), &[("If-Match", unchanged.as_str())])?;
    if answer.status == 412 {
        let why = "it was changed at the same time; nothing was rolled back";
        return Err(retold(name, &answer, why).into());
    }
    let body = client.accepted(name, answer)?;
    let Some(made) = client.done::<NewVersion>(arguments, name, &body)? else { return Ok(()) };
    client::tell_made(name, &made, format_args!(" with the value of {}", printable(kid)));
    if let Some(replaced) = made.previous_kid.as_deref().filter(|_| client::is_previous_kept(&made)) {
        output::tell_done(format_args!("to undo that: {}", command(name, Some(replaced))));
    }
    Ok(())
}

/// How to make the value of the version `kid` of `name` current again, or of the one before.
pub fn command(name: &str, kid: Option<&str>) -> String {
    let to = kid.map(|kid| format!(" --to {}", printable(kid))).unwrap_or_default();
    // What begins so would be taken for an option.
    let behind = if name.starts_with('-') { "-- " } else { "" };
    format!("jarvis-secretsd rollback{to} {behind}{name}")
}
