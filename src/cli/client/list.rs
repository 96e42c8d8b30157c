//! `list`: what secrets there are for this client.

use std::borrow::Cow;

use super::settings::OWNER;
use crate::answers::{ListedSecret, SecretSettings};
use crate::base::clock::Timestamp;
use crate::base::name::is_name;
use crate::cli::client::{self, PREFIX};
use crate::cli::command::{Arguments, Command, Group, JSON, Operands, Opt};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::client::{Client, encoded};

pub const COMMAND: Command = Command {
    name: "list",
    group: Group::Secrets,
    operands: Operands::NONE,
    options: &[PREFIX, OWNER, LABEL, LONG, JSON],
    shared: client::OPTIONS,
    summary: "list the secrets that this client may read",
    example: "jarvis-secretsd list --prefix shop_ --long",
    run,
};

const LABEL: Opt = Opt { name: "label", value: Some("KEY=TEXT,..."), summary: "only secrets with all of these labels" };

pub const LONG: Opt = Opt { name: "long", value: None, summary: "show owner and labels too" };

/// The labels, as they are given with `--labels`.
pub fn labels(settings: &SecretSettings) -> String {
    settings.labels.iter().map(|(key, text)| format!("{key}={text}")).collect::<Vec<_>>().join(",")
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
pub fn who_rotates(rotation: Cow<'static, str>, has_appliers: Option<bool>) -> String {
    if rotation == "auto" && has_appliers == Some(false) {
        "auto (no applier)".to_owned()
    } else {
        rotation.into_owned()
    }
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let mut query = format!("prefix={}", client::prefix(arguments)?);
    if let Some(owner) = arguments.text(&OWNER)? {
        query.extend(["&owner=", &encoded(owner)]);
    }
    for label in arguments.texts(&LABEL)?.iter().flat_map(|list| list.split(',')) {
        if !label.split_once('=').is_some_and(|(key, _)| is_name(key)) {
            return Err(Exit::usage(format_args!("--label: {label:?} is not of the form KEY=TEXT")));
        }
        query.extend(["&label=", &encoded(label)]);
    }
    let is_long = arguments.has(&LONG);
    if is_long {
        query.push_str("&settings=true");
    }
    let client = Client::from_arguments(arguments)?;
    if arguments.has(&JSON) {
        return output::print_line(&client.ask("list", "GET", &format!("/secrets?{query}"), None, &[])?);
    }
    let mut rows = Vec::new();
    client.list("list", &query, |ListedSecret { version, is_expired, has_appliers, settings }| {
        let due = due(&version.rotation, version.expires_at, is_expired);
        let row = [version.name, version.kid, who_rotates(version.rotation, has_appliers), due];
        rows.push((row, settings));
    })?;
    const HEADING: [&str; 4] = ["NAME", "KID", "ROTATION", ROTATION_DUE];
    if !is_long {
        return output::print_table(HEADING, rows.into_iter().map(|(row, _)| row));
    }
    let [name, kid, rotation, due] = HEADING;
    let rows = rows.into_iter().map(|([name, kid, rotation, due], settings)| {
        let labels = settings.as_ref().map(self::labels).unwrap_or_default();
        let owner = settings.and_then(|settings| settings.owner).unwrap_or_default();
        [name, kid, rotation, due, owner, labels]
    });
    output::print_table([name, kid, rotation, due, "OWNER", "LABELS"], rows)
}
