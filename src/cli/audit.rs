//! `audit verify`: an offline check of a log, for anyone who has its public key.

use std::path::PathBuf;

use super::command::{Arguments, Command, Operands, Opt};
use super::{Exit, output};
use crate::audit;

pub const COMMAND: Command = Command {
    name: "audit verify",
    operands: Operands::some("FILE..."),
    options: &[PUBLIC_KEY, CHECKPOINT],
    summary: "check an audit log: one file and the closed segments beside it, or all that are given, oldest first",
    run: verify,
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
    let files: Vec<PathBuf> = arguments.operands().iter().map(PathBuf::from).collect();
    output::tell(audit::verify(&files, arguments.path(&PUBLIC_KEY), arguments.path(&CHECKPOINT))?)
}
