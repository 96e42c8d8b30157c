//! `init`: a commented configuration and policy to begin with, in which every client has a token.

use std::path::Path;

use super::command::{Arguments, Command, Operands};
use super::{Exit, token};
use crate::access::{self, Token};
use crate::config::{self, Config};
use crate::failure::Failure;
use crate::files;

pub const COMMAND: Command = Command {
    name: "init",
    operands: Operands::one("DIR"),
    options: &[],
    summary: "write a commented configuration and policy to DIR, and print the clients' tokens",
    run,
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let directory = Path::new(&arguments.operands()[0]);
    let (config_path, policy_path) = (directory.join("config.toml"), directory.join("policy.toml"));
    for path in [&config_path, &policy_path] {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::new(path.display(), "is there already; nothing was written").into());
        }
    }
    let config = config_text(&policy_path)?;
    let (policy, tokens) = policy_with_tokens()?;
    files::create_dir(directory).map_err(|why| Failure::new(directory.display(), why))?;
    let write = |path: &Path, text: &str| {
        files::create(path, 0o644, text.as_bytes()).map_err(|why| Failure::new(path.display(), why))
    };
    write(&policy_path, &policy)?;
    if let Err(why) = write(&config_path, &config) {
        // Its tokens were shown to nobody.
        let _ = std::fs::remove_file(&policy_path);
        return Err(why.into());
    }
    println!("wrote {}\nwrote {}", policy_path.display(), config_path.display());
    for (client, token) in tokens {
        println!("token of {client}, shown this once: {}", token.expose());
    }
    println!("next: edit both, then jarvis-secretsd check --config {}", config_path.display());
    Ok(())
}

/// The commented policy, with a token for each of its clients.
fn policy_with_tokens() -> Result<(String, Vec<(String, Token)>), Failure> {
    let mut policy = String::new();
    let mut tokens = Vec::new();
    for line in access::COMMENTED.lines() {
        policy.extend([line, "\n"]);
        if let Some(client) = line.strip_prefix("[clients.").and_then(|rest| rest.strip_suffix(']')) {
            let token = Token::generate()?;
            policy.extend([&token::policy_line(&token), "\n"]);
            tokens.push((client.to_owned(), token));
        }
    }
    Ok((policy, tokens))
}

/// The commented configuration, with the policy beside it as its policy.
fn config_text(policy_path: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(policy_path).map_err(|why| Failure::new(policy_path.display(), why))?;
    let path = path.to_str().filter(|path| !path.contains(['"', '\\']) && !path.contains(char::is_control));
    let path =
        path.ok_or_else(|| Failure::new(policy_path.display(), "this path cannot stand in a TOML string as it is"))?;
    let default = Config::default().security.rbac_policy_path;
    let default = default.to_str().expect("the default path is plain text");
    Ok(config::COMMENTED.replace(&format!("\"{default}\""), &format!("\"{path}\"")))
}
