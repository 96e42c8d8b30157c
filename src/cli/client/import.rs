//! `import`: the values of a dotenv file become secrets, all or none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use crate::answers::{NewVersions, SecretList};
use crate::base::failure::{Failure, say};
use crate::base::name::{NOT_FOR_NEW, is_for_new, is_name};
use crate::base::progress::Progress;
use crate::base::secret::{Plaintext, Wiped, wiped_json};
use crate::base::source::Source;
use crate::cli::client::{self, PREFIX};
use crate::cli::command::{Arguments, Command, Group, Operands, Opt};
use crate::cli::dotenv::{self, Entry, Read, Reading};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::client::Client;

pub const COMMAND: Command = Command {
    name: "import",
    group: Group::Secrets,
    operands: Operands::one("FILE"),
    options: &[PREFIX, ONLY, RAW, DRY_RUN, REPLACE],
    shared: client::OPTIONS,
    summary: "store the values of a dotenv file, all or none",
    example: "jarvis-secretsd import --dry-run --prefix shop_ .env",
    run,
};

pub const DRY_RUN: Opt = Opt { name: "dry-run", value: None, summary: "print what would be done; change nothing" };

const REPLACE: Opt =
    Opt { name: "replace", value: None, summary: "give a secret that exists already a new version with the value" };

const ONLY: Opt =
    Opt { name: "only", value: Some("KEY,..."), summary: "only the values of these keys, as written in the file" };

const RAW: Opt =
    Opt { name: "raw", value: None, summary: "do not expand variables: a $ in the file is an ordinary character" };

/// What a failure is about that concerns no line of the file.
const IMPORT: &str = "import";

/// The values of a file, by the names that they get.
struct Plan {
    values: BTreeMap<String, Plaintext>,
    /// Names whose values are empty, which no secret can be.
    empty: Vec<String>,
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let prefix = client::prefix(arguments)?;
    let only: Vec<_> = arguments.texts(&ONLY)?.iter().flat_map(|list| list.split(',')).collect();
    if only.contains(&"") {
        return Err(Exit::usage(format_args!("--only takes {}", ONLY.value.unwrap_or_default())));
    }
    let source = Source::read(Path::new(&arguments.operands()[0]))?;
    let reading = Reading { environment: &|name| std::env::var_os(name), variables: !arguments.has(&RAW) };
    let replace = arguments.has(&REPLACE);
    let plan = Plan::of(&source, dotenv::read(&source, reading), prefix, &only, replace)?;
    let client = Client::from_arguments(arguments)?;
    let mut report =
        if arguments.has(&DRY_RUN) { plan.preview(&client, replace)? } else { plan.import(&client, replace)? };
    if let (Some(file), false) = (source.file(), arguments.has(&DRY_RUN)) {
        report.push(format!(
            "{} still holds them in the clear: delete it once nothing reads it any more",
            file.display()
        ));
    }
    if arguments.has(&DRY_RUN) {
        return output::tell(report.join("\n"));
    }
    output::tell_done(report.join("\n"));
    Ok(())
}

/// Tells all mistakes, a line each, if there are any.
fn refuse(source: &Source, mut mistakes: Vec<Failure>) -> Result<(), Failure> {
    let count = mistakes.len();
    match mistakes.pop() {
        None => Ok(()),
        Some(only) if count == 1 => Err(only),
        Some(last) => {
            mistakes.iter().chain([&last]).for_each(say);
            Err(source.refuse(format_args!("has {count} mistakes; nothing was imported")))
        }
    }
}

impl Plan {
    /// What is to be imported; `only` are the keys that are wanted, if not all are. With `replace`, secrets that are there already
    /// are among them, which may have any name.
    fn of(source: &Source, read: Read, prefix: &str, only: &[&str], replace: bool) -> Result<Self, Failure> {
        let Read { entries, mut mistakes } = read;
        let (mut values, mut empty) = (BTreeMap::new(), Vec::new());
        let (mut lines, mut keys) = (BTreeMap::new(), BTreeSet::new());
        for Entry { key, value, offset } in entries {
            if !only.is_empty() && !only.contains(&key.as_str()) {
                continue;
            }
            let name = format!("{prefix}{}", key.to_ascii_lowercase());
            if !is_name(&name) {
                mistakes.push((offset, source.fail(offset, "the name would be longer than 128 characters")));
            } else if !replace && !is_for_new(&name) {
                let why = format_args!("the secret would be called {name}: {NOT_FOR_NEW}");
                mistakes.push((offset, source.fail(offset, why)));
            } else if let Some(line) = lines.insert(name.clone(), source.line(offset)) {
                let why = format_args!("{key} becomes {name}, as does line {line}");
                mistakes.push((offset, source.fail(offset, why)));
            }
            keys.insert(key);
            if value.expose().is_empty() {
                empty.push(name);
            } else {
                values.insert(name, value);
            }
        }
        mistakes.sort_by_key(|(offset, _)| *offset);
        let missing = only.iter().filter(|key| !keys.contains(**key));
        let missing = missing.map(|key| source.refuse(format_args!("has no {key}, which --only names")));
        refuse(source, mistakes.into_iter().map(|(_, why)| why).chain(missing).collect())?;
        if values.is_empty() {
            return Err(source.refuse("holds no value that could be imported"));
        }
        Ok(Self { values, empty })
    }

    /// Those of the names that there are secrets of already.
    fn existing(&self, client: &Client) -> Result<Vec<&str>, Failure> {
        let body = client.ask(IMPORT, "GET", "/secrets", None, &[])?;
        let SecretList { secrets, .. } = client.read::<SecretList>(IMPORT, &body)?;
        let there: BTreeSet<String> = secrets.into_iter().map(|listed| listed.version.name).collect();
        Ok(self.values.keys().filter(|name| there.contains(*name)).map(String::as_str).collect())
    }

    /// What an import would do, a line each.
    fn preview(&self, client: &Client, replace: bool) -> Result<Vec<String>, Failure> {
        let existing = self.existing(client)?;
        let line = |name: &String| match existing.contains(&name.as_str()) {
            true => format!("exists: {name}"),
            false => format!("new: {name}"),
        };
        let mut lines: Vec<String> = self.values.keys().map(line).chain(self.skipped()).collect();
        let then = match (existing.is_empty(), replace) {
            (true, _) => "",
            (false, true) => "; those with the same value would not change",
            (false, false) => "; without --replace, nothing would be imported unless these have the same values",
        };
        lines.push(format!("to import: {}, of which exist: {}{then}", self.values.len(), existing.len()));
        Ok(lines)
    }

    /// Imports the values; returns a line for each.
    fn import(&self, client: &Client, replace: bool) -> Result<Vec<String>, Failure> {
        let condition: &[_] = if replace { &[] } else { &[("If-None-Match", "*")] };
        let progress = Progress::begin(format!("importing {} values", self.values.len()), 0);
        let answer = client.call("POST", "/secrets", Some(&self.body()), condition)?;
        drop(progress);
        if answer.status == 412 {
            let existing = self.existing(client)?.join(", ");
            let why = format_args!("these exist already: {existing}; --replace adds versions to them");
            return Err(Failure::new("nothing was imported", why));
        }
        // What the daemon could not say for sure, we cannot either.
        let refused = (400..500).contains(&answer.status);
        let body =
            client.accepted(if refused { "nothing was imported" } else { "maybe imported, see --dry-run" }, answer)?;
        let NewVersions { unchanged, .. } = client.read(IMPORT, &body)?;
        let unchanged: BTreeSet<String> = unchanged.ok_or_else(|| client.strange(IMPORT))?.into_iter().collect();
        let told = self.values.keys().map(|name| match unchanged.contains(name) {
            true => format!("unchanged: {name}"),
            false => format!("imported: {name}"),
        });
        let imported = self.values.keys().filter(|name| !unchanged.contains(*name)).count();
        let total = format!("imported in all: {imported}");
        Ok(told.chain(self.skipped()).chain([total]).collect())
    }

    fn skipped(&self) -> impl Iterator<Item = String> {
        self.empty.iter().map(|name| format!("skipped because its value is empty: {name}"))
    }

    fn body(&self) -> Wiped {
        #[derive(Serialize)]
        struct Body<'a> {
            secrets: Vec<NewSecret<'a>>,
            skip_unchanged: bool,
        }
        #[derive(Serialize)]
        struct NewSecret<'a> {
            name: &'a str,
            value: &'a str,
        }
        let items = self.values.iter().map(|(name, value)| NewSecret { name, value: value.expose() });
        wiped_json(&Body { secrets: items.collect(), skip_unchanged: true })
    }
}
