//! `token`: a fresh token for a client.

use super::Exit;
use crate::access::Token;
use crate::name::is_name;

/// Prints a token, which is kept nowhere, and behind it the line for the policy.
pub fn run(client: &str) -> Result<(), Exit> {
    if !is_name(client) {
        return Err(Exit::usage("token takes a client's name: 1 to 128 of A-Z a-z 0-9 _ . -"));
    }
    let token = Token::generate()?;
    let table = if client.contains('.') { format!("\"{client}\"") } else { client.to_owned() };
    println!("{}", token.expose());
    println!("{}", policy_line(&token));
    eprintln!(
        "The first line is the token, shown this once: give it to {client} and to nobody else. The second line goes into \
         [clients.{table}] of the policy; with several hashes in its list, old and new tokens are valid side by side."
    );
    Ok(())
}

/// What the policy holds of `token`.
pub fn policy_line(token: &Token) -> String {
    format!("token_sha256 = [\"{}\"]", token.hash())
}
