//! `list`: what secrets there are for this client.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::client::{self, JSON, PREFIX};
use super::command::{Arguments, Command, Group, Operands, Opt};
use super::settings::OWNER;
use super::{Exit, output};
use crate::base::clock::Timestamp;
use crate::base::name::is_name;
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

#[derive(Deserialize)]
struct Item {
    name: String,
    kid: String,
    expires_at: Timestamp,
    is_expired: bool,
    rotation: String,
    /// None: the daemon does not say.
    has_appliers: Option<bool>,
    settings: Option<Settings>,
}

/// A secret's settings, in a list.
#[derive(Deserialize)]
pub struct Settings {
    pub description: Option<String>,
    pub owner: Option<String>,
    labels: BTreeMap<String, String>,
}

impl Settings {
    /// The labels, as they are given with `--labels`.
    pub fn labels(&self) -> String {
        self.labels.iter().map(|(key, text)| format!("{key}={text}")).collect::<Vec<_>>().join(",")
    }
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
    client.list("list", &query, |item: Item| {
        let due = due(&item.rotation, item.expires_at, item.is_expired);
        let row = [item.name, item.kid, who_rotates(item.rotation, item.has_appliers), due];
        rows.push((row, item.settings));
    })?;
    const HEADING: [&str; 4] = ["NAME", "KID", "ROTATION", ROTATION_DUE];
    if !is_long {
        return output::print_table(HEADING, rows.into_iter().map(|(row, _)| row));
    }
    let [name, kid, rotation, due] = HEADING;
    let rows = rows.into_iter().map(|([name, kid, rotation, due], settings)| {
        let labels = settings.as_ref().map(Settings::labels).unwrap_or_default();
        let owner = settings.and_then(|settings| settings.owner).unwrap_or_default();
        [name, kid, rotation, due, owner, labels]
    });
    output::print_table([name, kid, rotation, due, "OWNER", "LABELS"], rows)
}
