//! `token`: a fresh token for a client.

use std::fs;
use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use crate::access::Token;
use crate::base::failure::{Failure, say};
use crate::base::files;
use crate::base::name::is_name;
use crate::base::strict_toml::written;
use crate::cli::command::{Arguments, Command, Group, OUTPUT, Operands};
use crate::cli::exit::Exit;
use crate::cli::output;

pub const COMMAND: Command = Command {
    name: "token",
    group: Group::Daemon,
    operands: Operands::one("CLIENT"),
    options: &[OUTPUT],
    shared: &[],
    summary: "print a fresh token for a client, and its policy line",
    example: "jarvis-secretsd token backend",
    run,
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let client = arguments.operands()[0].to_string_lossy();
    if !is_name(&client) {
        return Err(Exit::usage("token takes a client's name: 1 to 128 of A-Z a-z 0-9 _ . -"));
    }
    let token = Token::generate()?;
    let table = written(&client);
    let Some(path) = arguments.path(&OUTPUT) else {
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
    if let Err(why) = output::tell(format_args!("[clients.{table}]\n{}", token.policy_line())) {
        // Nobody has its line for the policy.
        let _ = fs::remove_file(path);
        return Err(why);
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
