//! `import`: the values of a dotenv file become secrets, all or none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use crate::answers::{NewVersions, SecretList};
use crate::base::failure::{Failure, say};
use crate::base::name::{NOT_FOR_NEW, is_for_new, is_name};
use crate::base::object::{Object, object};
use crate::base::progress::Progress;
use crate::base::secret::{Plaintext, Wiped, wiped_json};
use crate::base::source::Source;
use crate::cli::client::{self, PREFIX};
use crate::cli::command::{Arguments, Command, Group, JSON, Operands, Opt};
use crate::cli::dotenv::{self, Entry, Read, Reading};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::cli::report::WARNINGS;
use crate::client::Client;

pub const COMMAND: Command = Command {
    name: "import",
    group: Group::Secrets,
    operands: Operands::one("FILE"),
    options: &[PREFIX, ONLY, RAW, DRY_RUN, REPLACE, JSON],
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
    let plan = Plan::of(&source, dotenv::read(&source, reading), prefix, &only, replace);
    let plan = plan.map_err(|mistakes| refuse(&source, mistakes, arguments.has(&JSON)))?;
    let client = Client::from_arguments(arguments)?;
    if arguments.has(&DRY_RUN) {
        let Told { lines, fields } = plan.preview(&client, replace)?;
        return if arguments.has(&JSON) { output::print_object(fields) } else { output::tell(lines.join("\n")) };
    }
    let Told { mut lines, mut fields } = plan.import(&client, replace)?;
    let still = "still holds them in the clear: delete it once nothing reads it any more";
    let warning = Vec::from_iter(source.file().map(|file| format!("{} {still}", file.display())));
    fields.insert(WARNINGS.to_owned(), warning.as_slice().into());
    lines.extend(warning);
    match arguments.has(&JSON) {
        true => output::print_object_done(fields),
        false => output::tell_done(lines.join("\n")),
    }
    Ok(())
}

/// What is done, or would be.
struct Told {
    /// For a person.
    lines: Vec<String>,
    /// The same for a program.
    fields: Object,
}

/// The failure of a file with these mistakes, of which there is at least one. Of several, a person is told each on a line of its
/// own, and a program finds them in the field `mistakes`.
fn refuse(source: &Source, mut mistakes: Vec<Failure>, as_json: bool) -> Failure {
    let told: Vec<String> = mistakes.iter().map(Failure::to_string).collect();
    if !as_json && told.len() > 1 {
        mistakes.iter().for_each(say);
    }
    let all = || source.refuse(format_args!("has {} mistakes; nothing was imported", told.len()));
    let failure = mistakes.pop().filter(|_| mistakes.is_empty()).unwrap_or_else(all);
    failure.with(object([("mistakes", told.into())]))
}

impl Plan {
    /// What is to be imported; `only` are the keys that are wanted, if not all are. With `replace`, secrets that are there already
    /// are among them, which may have any name.
    ///
    /// # Errors
    /// All mistakes of the file, in the order of its lines; at least one.
    fn of(source: &Source, read: Read, prefix: &str, only: &[&str], replace: bool) -> Result<Self, Vec<Failure>> {
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
        let mistakes: Vec<_> = mistakes.into_iter().map(|(_, why)| why).chain(missing).collect();
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        if values.is_empty() {
            return Err(vec![source.refuse("holds no value that could be imported")]);
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

    /// What an import would do.
    fn preview(&self, client: &Client, replace: bool) -> Result<Told, Failure> {
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
        let new: Vec<_> = self.values.keys().filter(|name| !existing.contains(&name.as_str())).cloned().collect();
        let is_refused = !existing.is_empty() && !replace;
        let warning = is_refused.then(|| then.trim_start_matches("; "));
        let fields = object([
            ("new", new.into()),
            ("existing", existing.into()),
            ("skipped", self.empty.as_slice().into()),
            (WARNINGS, Vec::from_iter(warning).into()),
        ]);
        Ok(Told { lines, fields })
    }

    /// Imports the values; tells of each.
    fn import(&self, client: &Client, replace: bool) -> Result<Told, Failure> {
        let condition: &[_] = if replace { &[] } else { &[("If-None-Match", "*")] };
        let progress = Progress::begin(format!("importing {} values", self.values.len()), 0);
        let answer = client.call("POST", "/secrets", Some(&self.body()), condition)?;
        drop(progress);
        if answer.status == 412 {
            let existing = self.existing(client)?;
            let why = format!("these exist already: {}; --replace adds versions to them", existing.join(", "));
            let fields = object([("error", "precondition_failed".into()), ("existing", existing.into())]);
            return Err(Failure::new("nothing was imported", why).with(fields));
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
        let lines = told.chain(self.skipped()).chain([total]).collect();
        let mut fields: Object = client.read(IMPORT, &body)?;
        fields.insert("skipped".to_owned(), self.empty.as_slice().into());
        Ok(Told { lines, fields })
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
