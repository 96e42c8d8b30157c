//! The command line: what was asked for, and one file a command.

mod audit;
mod check;
mod healthcheck;
mod init;
mod protection;
mod serve;
mod sockets;
mod token;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::{Arg, Parser};

use crate::config::Config;
use crate::failure::Failure;

/// `sysexits.h`: something was found in a configuration file.
const EX_CONFIG: u8 = 78;

const HELP: &str = "\
jarvis-secretsd: a secrets daemon for one host or a small fleet

usage: jarvis-secretsd [--config PATH] [--accept-rollback]      the same as serve
       jarvis-secretsd serve [--config PATH] [--accept-rollback]
       jarvis-secretsd check [--config PATH]
       jarvis-secretsd healthcheck [--config PATH]
       jarvis-secretsd init DIR
       jarvis-secretsd token CLIENT
       jarvis-secretsd audit verify [--public-key FILE] [--checkpoint FILE] FILE...

serve        serve secrets until SIGTERM or SIGINT; SIGHUP reads policy and certificate, reopens the log
check        check the configuration and the policy, and change nothing
healthcheck  ask the daemon that this configuration is for whether it is healthy
init         write a commented configuration and policy to DIR, and print the clients' tokens
token        print a fresh token for CLIENT, and its line for the policy
audit verify check an audit log, whose files are given in the order in which they were written

  --config PATH       the configuration (default: /etc/jarvis-secretsd/config.toml)
  --accept-rollback   start although the vault or the audit log is older than the other one says
  --public-key FILE   the log's public key (default: audit.sign.pub beside the first FILE)
  --checkpoint FILE   an answer of GET /audit/checkpoint that the log must agree with
  -h, --help          print this
  -V, --version       print the version

exit status: 0 done, 1 the operation failed, 2 wrong usage, 78 bad configuration or policy
";

/// Why the program ends without having done what it was to do.
pub struct Exit {
    status: u8,
    why: String,
}

impl Exit {
    fn usage(why: impl std::fmt::Display) -> Self {
        Self { status: 2, why: format!("usage: {why}; see jarvis-secretsd --help") }
    }

    fn config(why: Failure) -> Self {
        Self { status: EX_CONFIG, why: why.to_string() }
    }
}

impl From<Failure> for Exit {
    fn from(why: Failure) -> Self {
        Self { status: 1, why: why.to_string() }
    }
}

impl From<lexopt::Error> for Exit {
    fn from(why: lexopt::Error) -> Self {
        Self::usage(why)
    }
}

/// Does what the arguments (without the program's name) ask for. Messages go to standard error.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Arguments::parse(arguments).and_then(Arguments::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Exit { status, why }) => {
            eprintln!("jarvis-secretsd: {why}");
            ExitCode::from(status)
        }
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Command {
    #[default]
    Serve,
    Check,
    Healthcheck,
    Init,
    Token,
    AuditVerify,
    Help,
    Version,
}

#[derive(Default)]
struct Arguments {
    command: Command,
    config: Option<PathBuf>,
    accept_rollback: bool,
    public_key: Option<PathBuf>,
    checkpoint: Option<PathBuf>,
    operands: Vec<PathBuf>,
}

impl Arguments {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Exit> {
        let mut parser = Parser::from_args(arguments);
        let mut parsed = Self::default();
        let mut words = 0;
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Short('h') | Arg::Long("help") => return Ok(Self { command: Command::Help, ..Self::default() }),
                Arg::Short('V') | Arg::Long("version") => {
                    return Ok(Self { command: Command::Version, ..Self::default() });
                }
                Arg::Long("config") => parsed.config = Some(parser.value()?.into()),
                Arg::Long("accept-rollback") => parsed.accept_rollback = true,
                Arg::Long("public-key") => parsed.public_key = Some(parser.value()?.into()),
                Arg::Long("checkpoint") => parsed.checkpoint = Some(parser.value()?.into()),
                Arg::Value(word) if words == 0 => {
                    words += 1;
                    parsed.command = match word.to_str() {
                        Some("serve") => Command::Serve,
                        Some("check") => Command::Check,
                        Some("healthcheck") => Command::Healthcheck,
                        Some("init") => Command::Init,
                        Some("token") => Command::Token,
                        Some("audit") => match parser.value() {
                            Ok(word) if word == "verify" => Command::AuditVerify,
                            _ => return Err(Exit::usage("audit has the command verify")),
                        },
                        _ => return Err(Exit::usage(format_args!("there is no command {word:?}"))),
                    };
                }
                Arg::Value(operand) => parsed.operands.push(operand.into()),
                argument => return Err(argument.unexpected().into()),
            }
        }
        parsed.fits()
    }

    /// Refuses what the command would pass over.
    fn fits(self) -> Result<Self, Exit> {
        let has_config = matches!(self.command, Command::Serve | Command::Check | Command::Healthcheck);
        let verifies = self.command == Command::AuditVerify;
        let wrong = if self.config.is_some() && !has_config {
            "--config is not for this command"
        } else if self.accept_rollback && self.command != Command::Serve {
            "--accept-rollback is for serve"
        } else if (self.public_key.is_some() || self.checkpoint.is_some()) && !verifies {
            "--public-key and --checkpoint are for audit verify"
        } else {
            match (self.command, self.operands.len()) {
                (Command::Init, 1) => return Ok(self),
                (Command::Init, _) => "init takes one directory",
                (Command::Token, 1) => return Ok(self),
                (Command::Token, _) => "token takes one client's name",
                (Command::AuditVerify, 0) => "audit verify takes the files of a log",
                (Command::AuditVerify, _) | (_, 0) => return Ok(self),
                _ => "this command takes no file",
            }
        };
        Err(Exit::usage(wrong))
    }

    fn run(self) -> Result<(), Exit> {
        match self.command {
            Command::Serve => serve::run(&self.config_path(), self.accept_rollback),
            Command::Check => check::run(&self.config_path()),
            Command::Healthcheck => healthcheck::run(&self.config_path()),
            Command::Init => init::run(&self.operands[0]),
            Command::Token => token::run(&self.operands[0].to_string_lossy()),
            Command::AuditVerify => {
                audit::verify(&self.operands, self.public_key.as_deref(), self.checkpoint.as_deref())
            }
            Command::Help => {
                print!("{HELP}");
                Ok(())
            }
            Command::Version => {
                println!("jarvis-secretsd {}", env!("CARGO_PKG_VERSION"));
                Ok(())
            }
        }
    }

    fn config_path(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| "/etc/jarvis-secretsd/config.toml".into())
    }
}

fn load_config(path: &std::path::Path) -> Result<Config, Exit> {
    Config::load(path).map_err(Exit::config)
}
