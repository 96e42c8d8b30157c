//! `audit verify` and `audit checkpoint`.
//!
//! The first checks a log offline, for anyone who has its public key. What the second prints shows later that nothing was cut off.

use std::path::PathBuf;

use crate::audit;
use crate::cli::command::{Arguments, CONFIG, Command, Group, Operands, Opt};
use crate::cli::configured::load_config;
use crate::cli::exit::Exit;
use crate::cli::{client, output};
use crate::client::Client;

pub const VERIFY: Command = Command {
    name: "audit verify",
    group: Group::Upkeep,
    operands: Operands::any("[FILE...]"),
    options: &[PUBLIC_KEY, CHECKPOINT, CONFIG],
    shared: &[],
    summary: "verify an audit log, by default the configured one",
    example: "jarvis-secretsd audit verify --checkpoint checkpoint.json",
    run: verify,
};

pub const TAKE_CHECKPOINT: Command = Command {
    name: "audit checkpoint",
    group: Group::Upkeep,
    operands: Operands::NONE,
    options: &[],
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
    let mut files: Vec<PathBuf> = arguments.operands().iter().map(PathBuf::from).collect();
    if files.is_empty() {
        files.push(load_config(&arguments.config_path())?.paths.audit_path);
    } else if arguments.has(&CONFIG) {
        return Err(Exit::usage("audit verify takes either FILE... or --config, whose log it is then"));
    }
    output::tell(audit::verify(&files, arguments.path(&PUBLIC_KEY), arguments.path(&CHECKPOINT))?)
}

fn checkpoint(arguments: &Arguments) -> Result<(), Exit> {
    let client = Client::from_arguments(arguments)?;
    output::print_line(&client.ask("audit checkpoint", "GET", "/audit/checkpoint", None, &[])?)
}
