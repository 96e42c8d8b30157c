//! `key check`: does what there is to open the vault with open it? The drill for the day when it is needed.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::time::Instant;

use crate::base::failure::Failure;
use crate::base::files;
use crate::base::object::{self, Object, object};
use crate::cli::command::{Arguments, CONFIG, Command, Group, JSON, Operands};
use crate::cli::configured::{key_file, load_config_to_maintain, named_key_file};
use crate::cli::exit::Exit;
use crate::cli::report::{Report, WARNINGS};
use crate::cli::upkeep::escrow::{self, Escrow};
use crate::config::Config;
use crate::vault::{KeyFile, Wrapping, is_under};

pub const COMMAND: Command = Command {
    name: "key check",
    group: Group::Upkeep,
    operands: Operands::any("[FILE...]"),
    options: &[JSON, CONFIG],
    shared: &[],
    summary: "say whether the master key, or a copy, opens the vault",
    example: "jarvis-secretsd key check",
    run,
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let config = load_config_to_maintain(arguments)?;
    let mut report = Report::begin(arguments);
    match arguments.operands() {
        [] => check_present(&config, &mut report)?,
        copies => check_copy(&config, copies, &mut report)?,
    }
    report.end()
}

/// Looks at the key that the daemon would start with.
fn check_present(config: &Config, report: &mut Report) -> Result<(), Exit> {
    let keys = key_file(config);
    let began = Instant::now();
    let key = keys.load()?;
    let took = Took::of(&keys, began);
    let vault = &config.paths.vault_path;
    let path = keys.path().display().to_string();
    if files::is_missing(vault) {
        let line = format_args!("{path}: good{took}; there is no vault at {} yet", vault.display());
        return report.tell(line, took.fields(&path, None));
    }
    if is_under(vault, &key) {
        return tell_that_it_opens(report, &path, vault, &took);
    }
    if keys.next()?.is_some_and(|next| is_under(vault, &next)) {
        let next = keys.next_path().display().to_string();
        let note = "a rekey was interrupted: run jarvis-secretsd rekey again";
        let mut fields = Took::default().fields(&next, Some(vault));
        fields.insert(WARNINGS.to_owned(), vec![note].into());
        return report.tell(format_args!("{next}: opens the vault {}; {note}", vault.display()), fields);
    }
    Err(opens_not(path, vault).into())
}

/// Looks at a copy: what `key export` has written, a wrapped key, or a key in the clear.
fn check_copy(config: &Config, copies: &[OsString], report: &mut Report) -> Result<(), Exit> {
    let vault = &config.paths.vault_path;
    let began = Instant::now();
    let (key, what, took) = match escrow::open(copies)? {
        Some(Escrow { key, what }) => (key, what, Took::default()),
        None => {
            let file = Path::new(&copies[0]);
            let keys = named_key_file(config, file);
            let key = keys.load()?;
            (key, file.display().to_string(), Took::of(&keys, began))
        }
    };
    if files::is_missing(vault) {
        let why = format!("there is no vault at {} to compare it with", vault.display());
        return Err(Failure::new(what, why).into());
    }
    match is_under(vault, &key) {
        true => tell_that_it_opens(report, &what, vault, &took),
        false => Err(opens_not(&what, vault).into()),
    }
}

fn tell_that_it_opens(report: &mut Report, what: &str, vault: &Path, took: &Took) -> Result<(), Exit> {
    report.tell(format_args!("{what}: opens the vault {}{took}", vault.display()), took.fields(what, Some(vault)))
}

/// How long it took to have the key, and what was asked for it; none: it lay there in the clear.
#[derive(Default)]
struct Took(Option<(u64, String)>);

impl Took {
    fn of(keys: &KeyFile, began: Instant) -> Self {
        let told = |by: &Wrapping| (began.elapsed().as_millis() as u64, by.unwrapper().to_string());
        Self(keys.wrapping().map(told))
    }

    /// What a program is told of the key `what`, which opens the vault, if there is one.
    fn fields(&self, what: &str, vault: Option<&Path>) -> Object {
        let (took, by) = self.0.as_ref().map(|(took, by)| (*took, by.as_str())).unzip();
        object([
            ("key", what.into()),
            ("vault_path", vault.map(object::path).into()),
            ("unwrapped_by", by.into()),
            ("unwrapped_in_ms", took.into()),
        ])
    }
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |(took, by)| write!(f, ", unwrapped in {took} ms by {by}"))
    }
}

fn opens_not(what: impl fmt::Display, vault: &Path) -> Failure {
    let why =
        format!("does not open the vault {}: it is another vault's key, or one from before a rekey", vault.display());
    Failure::new(what, why)
}
