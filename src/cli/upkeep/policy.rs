//! `policy check`, `policy explain` and `policy replay`.
//!
//! They say whether a policy is good, what it decides, and what it would have decided in the past.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::Value;

use super::audit::PUBLIC_KEY;
use super::rehearsal::{Access, Act, Change, Rehearsal};
use crate::access::{Policy, Ruling};
use crate::audit;
use crate::base::clock::Clock;
use crate::base::name::is_name;
use crate::base::object::{self, Object, object};
use crate::base::sync::lock;
use crate::cli::command::{Arguments, CONFIG, Command, Group, JSON, Operands, Opt};
use crate::cli::configured::load_config;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::cli::report::Report;

pub const CHECK: Command = Command {
    name: "policy check",
    group: Group::Upkeep,
    operands: Operands { least: 0, ..Operands::one("[FILE]") },
    options: &[JSON, CONFIG],
    shared: &[],
    summary: "check a policy, by default the configured one",
    example: "jarvis-secretsd policy check new.toml",
    run: check,
};

pub const EXPLAIN: Command = Command {
    name: "policy explain",
    group: Group::Upkeep,
    operands: Operands { least: 2, most: 2, ..Operands::some("CLIENT NAME") },
    options: &[POLICY, CHANGE, JSON, CONFIG],
    shared: &[],
    summary: "say whether a client may read a secret, and why",
    example: "jarvis-secretsd policy explain backend postgres_password",
    run: explain,
};

pub const REPLAY: Command = Command {
    name: "policy replay",
    group: Group::Upkeep,
    operands: Operands::some("POLICY [FILE...]").with(&AUDIT),
    options: &[AUDIT, PUBLIC_KEY, JSON],
    shared: &[],
    summary: "list what each client would gain or lose",
    example: "jarvis-secretsd policy replay --audit /opt/jarvis/audit/audit.jsonl new.toml",
    run: replay,
};

const POLICY: Opt =
    Opt { name: "policy", value: Some("FILE"), summary: "the policy (default: the one that the configuration names)" };

const CHANGE: Opt =
    Opt { name: "change", value: None, summary: "ask for the permission to change the secret, not to read it" };

const AUDIT: Opt = Opt {
    name: "audit",
    value: Some("FILE"),
    summary: "the audit log: one file and the closed segments beside it, or the oldest of several",
};

fn explain(arguments: &Arguments) -> Result<(), Exit> {
    let [client, name] = [0, 1].map(|at| arguments.operands()[at].to_string_lossy());
    if !is_name(&client) || !is_name(&name) {
        return Err(Exit::usage("policy explain takes names: 1 to 128 of A-Z a-z 0-9 _ . -"));
    }
    let policy = match arguments.path(&POLICY) {
        Some(path) => load(path)?,
        None => load(&load_config(&arguments.config_path())?.security.rbac_policy_path)?,
    };
    let (read, change) = (policy.on_reading(&client, &name), policy.on_changing(&client, &name));
    if arguments.has(&JSON) {
        let told = |ruling: &Ruling| {
            let because = ruling.to_string().into();
            Value::Object(object([("permitted", ruling.permits().into()), ("because", because)]))
        };
        output::print_object(object([
            ("client", (&*client).into()),
            ("name", (&*name).into()),
            ("read", told(&read)),
            ("change", told(&change)),
        ]))?;
    } else {
        for (ruling, act) in [(&read, "read"), (&change, "change")] {
            let not = if ruling.permits() { "" } else { " not" };
            output::tell(format_args!("{client} may{not} {act} {name}: {ruling}"))?;
        }
    }
    let asked = if arguments.has(&CHANGE) { change } else { read };
    if asked.permits() { Ok(()) } else { Err(Exit::silent(1)) }
}

/// What stands in a policy, and is dangerous about it, wherever the daemon listens.
fn check(arguments: &Arguments) -> Result<(), Exit> {
    let path = match arguments.operands() {
        [] => load_config(&arguments.config_path())?.security.rbac_policy_path,
        _ if arguments.has(&CONFIG) => {
            return Err(Exit::usage("policy check takes either FILE or --config, whose policy it is then"));
        }
        [file, ..] => PathBuf::from(file),
    };
    let policy = load(&path)?;
    let (clients, warnings) = (policy.client_count(), policy.warnings(Clock::system().now()));
    let mut report = Report::begin(arguments);
    report.tell(
        format_args!("policy {}: good, {clients} client rules, warnings: {}", path.display(), warnings.len()),
        object([("policy_path", object::path(&path)), ("client_rules", clients.into())]),
    )?;
    warnings.iter().try_for_each(|why| report.warn(why))?;
    report.end()
}

fn replay(arguments: &Arguments) -> Result<(), Exit> {
    let (policy, more) = arguments.operands().split_first().expect("there is at least one");
    let policy = load(Path::new(policy))?;
    let files: Vec<PathBuf> =
        arguments.path(&AUDIT).into_iter().chain(more.iter().map(Path::new)).map(PathBuf::from).collect();
    let rehearsal = Mutex::new(Rehearsal::default());
    let watch = |line: &audit::Line| lock(&rehearsal).watch(line);
    let report = audit::verify_watched(&files, arguments.path(&PUBLIC_KEY), None, &watch)?;
    let rehearsal = lock(&rehearsal);

    let changes: Vec<Change> = rehearsal.changes(&policy).collect();
    let lost = changes.iter().filter(|change| change.past.permitted).count();
    let (all, gained) = (rehearsal.count(), changes.len() - lost);
    if arguments.has(&JSON) {
        let changes: Vec<Value> = changes.iter().map(fields).map(Value::Object).collect();
        output::print_object(object([
            ("accesses", all.into()),
            ("lost", lost.into()),
            ("gained", gained.into()),
            ("changes", changes.into()),
            ("log", Value::Object(report.fields())),
        ]))?;
    } else {
        tell(&changes)?;
        output::tell(format_args!("of {all} accesses {lost} would have been lost and {gained} gained"))?;
        output::tell(report)?;
    }
    match lost {
        0 => Ok(()),
        _ => Err(Exit::new(1, format_args!("this policy would deny {lost} of {all} accesses that were permitted"))),
    }
}

fn tell(changes: &[Change]) -> Result<(), Exit> {
    if !changes.is_empty() {
        let heading = ["", "CLIENT", "ACT", "SECRET", "TIMES", "LAST", "BECAUSE"];
        output::print_table(heading, changes.iter().map(row))?;
        output::tell("")?;
    }
    Ok(())
}

fn row(change: &Change) -> [String; 7] {
    let Change { access: Access { client, .. }, past, ruling } = change;
    let verb = if past.permitted { "loses" } else { "gains" };
    let (act, secret) = act_and_secret(change);
    let secret = secret.unwrap_or("-");
    let (times, last) = (past.times.to_string(), past.last.to_the_second());
    [verb.to_owned(), client.clone(), act.to_owned(), secret.to_owned(), times, last, ruling.to_string()]
}

/// The same as [`row`] tells, for a program.
fn fields(change: &Change) -> Object {
    let Change { access: Access { client, .. }, past, ruling } = change;
    let (act, secret) = act_and_secret(change);
    object([
        ("change", if past.permitted { "loses" } else { "gains" }.into()),
        ("client", client.as_str().into()),
        ("act", act.into()),
        ("secret", secret.into()),
        ("times", past.times.into()),
        ("last", past.last.to_string().into()),
        ("because", ruling.to_string().into()),
    ])
}

/// What is done, and to which secret; none: it is about no single one.
fn act_and_secret<'a>(change: &Change<'a>) -> (&'static str, Option<&'a str>) {
    match &change.access.act {
        Act::Read(secret) => ("read", Some(secret)),
        Act::Change(secret) => ("change", Some(secret)),
        Act::Administer => ("administer", None),
    }
}

fn load(path: &Path) -> Result<Policy, Exit> {
    Policy::load(path).map_err(Exit::config)
}
