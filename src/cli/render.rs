//! `render`: a configuration file out of a template, with secrets in it.

use std::io::Write;
use std::path::Path;

use super::Exit;
use super::client::{ADDR, CLIENT, CLIENT_CONFIG};
use super::command::{Arguments, Command, OUTPUT, Operands, Opt};
use super::output;
use crate::client::Client;
use crate::failure::Failure;
use crate::files::{self, Fresh};
use crate::source::Source;
use crate::template::Template;

pub const COMMAND: Command = Command {
    name: "render",
    operands: Operands::one("TEMPLATE"),
    options: &[OUTPUT, MODE, ADDR, CLIENT, CLIENT_CONFIG],
    summary: "print TEMPLATE (-: standard input) with the value for each {{ name }}, or write it to a file",
    run,
};

const MODE: Opt = Opt { name: "mode", value: Some("MODE"), summary: "its mode, in octal (default: 0600)" };

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let output = arguments.path(&OUTPUT);
    let mode = match arguments.text(&MODE)? {
        None => 0o600,
        Some(_) if output.is_none() => return Err(Exit::usage("--mode is that of the --output")),
        Some(text) => {
            files::parse_mode(text).ok_or_else(|| Exit::usage("--mode takes a mode in octal, such as 0640"))?
        }
    };
    let source = Source::read(Path::new(&arguments.operands()[0]))?;
    let template = Template::parse(&source)?;
    if let Some(path) = output {
        refuse_what_is_no_file(path)?;
    }
    let client = Client::from_arguments(arguments)?;
    let text = template.render(|name| Ok(client.get(name, None)?.value))?;
    match output {
        None => output::print(text.as_bytes()),
        Some(path) => {
            let write = || {
                let mut fresh = Fresh::begin(path, mode)?;
                fresh.file.write_all(text.as_bytes())?;
                fresh.replace()
            };
            write().map_err(|why| Failure::new(path.display(), why).into())
        }
    }
}

/// A rename would put the file in the place of a link, or of a device such as /dev/stdout.
fn refuse_what_is_no_file(path: &Path) -> Result<(), Failure> {
    match path.symlink_metadata() {
        Ok(there) if !there.is_file() => {
            Err(Failure::new(path.display(), "is not a regular file, and would be replaced; name the file itself"))
        }
        _ => Ok(()),
    }
}
