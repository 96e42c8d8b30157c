//! `token`: a fresh token for a client.

use super::command::{Arguments, Command, Operands};
use super::{Exit, output};
use crate::access::Token;
use crate::failure::say;
use crate::name::is_name;
use crate::strict_toml::written;

pub const COMMAND: Command = Command {
    name: "token",
    operands: Operands::one("CLIENT"),
    options: &[],
    summary: "print a fresh token for CLIENT, which is kept nowhere, and its line for the policy",
    run,
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let client = arguments.operands()[0].to_string_lossy();
    if !is_name(&client) {
        return Err(Exit::usage("token takes a client's name: 1 to 128 of A-Z a-z 0-9 _ . -"));
    }
    let token = Token::generate()?;
    let table = written(&client);
    output::print_line(token.expose().as_bytes())?;
    output::tell(policy_line(&token))?;
    say(format_args!(
        "The first line is the token, shown this once: give it to {client} and to nobody else. The second line goes into \
         [clients.{table}] of the policy; with several hashes in its list, old and new tokens are valid side by side."
    ));
    Ok(())
}

/// What the policy holds of `token`.
pub fn policy_line(token: &Token) -> String {
    format!("token_sha256 = [\"{}\"]", token.hash())
}
