//! `audit verify` and `audit checkpoint`.
//!
//! The first checks a log offline, for anyone who has its public key. What the second prints shows later that nothing was cut off.

use std::path::PathBuf;

use crate::audit;
use crate::cli::command::{Arguments, CLUSTER, CONFIG, Command, Group, JSON, Operands, Opt};
use crate::cli::configured::load_config;
use crate::cli::exit::Exit;
use crate::cli::{client, output};
use crate::client::Client;
use crate::config::Config;

pub const VERIFY: Command = Command {
    name: "audit verify",
    group: Group::Upkeep,
    operands: Operands::any("[FILE...]"),
    options: &[PUBLIC_KEY, CHECKPOINT, CLUSTER, JSON, CONFIG],
    shared: &[],
    summary: "verify an audit log, by default the configured one",
    example: "jarvis-secretsd audit verify --checkpoint checkpoint.json",
    run: verify,
};

pub const TAKE_CHECKPOINT: Command = Command {
    name: "audit checkpoint",
    group: Group::Upkeep,
    operands: Operands::NONE,
    options: &[JSON],
    shared: client::OPTIONS,
    summary: "print a signed checkpoint of the audit log",
    example: "jarvis-secretsd audit checkpoint >checkpoint.json",
    run: checkpoint,
};

pub const PUBLIC_KEY: Opt = Opt {
    name: "public-key",
    value: Some("FILE"),
    summary: "the log's public key (default: audit.sign.pub beside the first FILE)",
};

const CHECKPOINT: Opt = Opt {
    name: "checkpoint",
    value: Some("FILE"),
    summary: "an answer of GET /audit/checkpoint that the log must agree with",
};

fn verify(arguments: &Arguments) -> Result<(), Exit> {
    if arguments.has(&CLUSTER) {
        return verify_of_cluster(arguments);
    }
    let mut files: Vec<PathBuf> = arguments.operands().iter().map(PathBuf::from).collect();
    if files.is_empty() {
        files.push(load_config(&arguments.config_path())?.paths.audit_path);
    } else if arguments.has(&CONFIG) {
        return Err(Exit::usage("audit verify takes either FILE... or --config, whose log it is then"));
    }
    let report = audit::verify(&files, arguments.path(&PUBLIC_KEY), arguments.path(&CHECKPOINT))?;
    if arguments.has(&JSON) { output::print_object(report.fields()) } else { output::tell(report) }
}

/// The logs of several daemons, each named by its file or by the directory that has it.
fn verify_of_cluster(arguments: &Arguments) -> Result<(), Exit> {
    if [PUBLIC_KEY, CHECKPOINT, CONFIG].iter().any(|option| arguments.has(option)) {
        return Err(Exit::usage("audit verify --cluster takes the logs of all daemons and nothing else"));
    }
    let audit_path = Config::default().paths.audit_path;
    let name = audit_path.file_name().expect("the default is a file");
    let logs: Vec<_> = arguments.operands().iter().map(PathBuf::from).collect();
    let logs: Vec<_> = logs.into_iter().map(|path| if path.is_dir() { path.join(name) } else { path }).collect();
    if logs.is_empty() {
        return Err(Exit::usage("audit verify --cluster needs the log of each daemon, or its directory"));
    }
    let together = audit::verify_together(&logs)?;
    if arguments.has(&JSON) { output::print_object(together.fields()) } else { output::tell(together) }
}

/// It is JSON in any case; `--json` makes JSON of a failure.
fn checkpoint(arguments: &Arguments) -> Result<(), Exit> {
    let client = Client::from_arguments(arguments)?;
    output::print_line(&client.ask("audit checkpoint", "GET", "/audit/checkpoint", None, &[])?)
}
