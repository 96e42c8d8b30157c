//! `token`: a fresh token for a client.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::access::Token;
use crate::base::failure::{Failure, say};
use crate::base::files;
use crate::base::name::is_name;
use crate::base::secret::wiped_json;
use crate::base::strict_toml::written;
use crate::cli::command::{Arguments, Command, Group, JSON, OUTPUT, Operands};
use crate::cli::exit::Exit;
use crate::cli::output;

pub const COMMAND: Command = Command {
    name: "token",
    group: Group::Daemon,
    operands: Operands::one("CLIENT"),
    options: &[OUTPUT, JSON],
    shared: &[],
    summary: "print a fresh token for a client, and its policy line",
    example: "jarvis-secretsd token backend",
    run,
};

/// What a program is told.
#[derive(Serialize)]
struct Made<'a> {
    client: &'a str,
    /// None: it is in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    token_sha256: String,
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let client = arguments.operands()[0].to_string_lossy();
    if !is_name(&client) {
        return Err(Exit::usage("token takes a client's name: 1 to 128 of A-Z a-z 0-9 _ . -"));
    }
    let token = Token::generate()?;
    let table = written(&client);
    let (path, as_json) = (arguments.path(&OUTPUT), arguments.has(&JSON));
    let made =
        Made { client: &client, token: path.is_none().then(|| token.expose()), token_sha256: token.hash().to_string() };
    let Some(path) = path else {
        if as_json {
            return output::print_line(&wiped_json(&made));
        }
        output::print_line(token.expose().as_bytes())?;
        output::tell(token.policy_line())?;
        say(format_args!(
            "The first line is the token, shown only once: give it to {client} and to nobody else. The second line \
             goes into [clients.{table}] of the policy; with several hashes in its list, old and new tokens are valid \
             side by side."
        ));
        return Ok(());
    };
    write(path, &token).map_err(|why| Failure::new(path.display(), why))?;
    let told = match as_json {
        true => output::print_line(&wiped_json(&made)),
        false => output::tell(format_args!("[clients.{table}]\n{}", token.policy_line())),
    };
    if let Err(why) = told {
        // Nobody has its line for the policy.
        let _ = fs::remove_file(path);
        return Err(why);
    }
    if as_json {
        return Ok(());
    }
    say(format_args!(
        "{}: the token, for {client} and nobody else; the line printed is for the policy",
        path.display()
    ));
    Ok(())
}

/// Makes the file `path` with nothing but `token` in it, for its owner alone.
///
/// # Errors
/// If something of that name is there already (it is left as it is), or the disk refuses.
pub fn write(path: &Path, token: &Token) -> io::Result<()> {
    files::create(path, 0o600, Zeroizing::new([token.expose(), "\n"].concat()).as_bytes())
}
