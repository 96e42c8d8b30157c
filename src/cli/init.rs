//! `init`: a commented configuration and policy to begin with, in which every client has a token.

use std::path::Path;

use zeroize::Zeroizing;

use super::command::{Arguments, Command, Operands};
use super::{Exit, output, token};
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
    // They are lost if they cannot be shown, and then nothing may depend on them.
    for (client, token) in tokens {
        let line = ["token of ", &client, ", shown this once: ", token.expose(), "\n"].concat();
        output::print(Zeroizing::new(line).as_bytes())?;
    }
    let write = |path: &Path, text: &str| {
        files::create(path, 0o644, text.as_bytes()).map_err(|why| Failure::new(path.display(), why))
    };
    write(&policy_path, &policy)?;
    if let Err(why) = write(&config_path, &config) {
        // So that it can be tried again.
        let _ = std::fs::remove_file(&policy_path);
        return Err(why.into());
    }
    for path in [&policy_path, &config_path] {
        output::tell_done(format_args!("wrote {}", path.display()));
    }
    output::tell_done(format_args!("next: edit both, then jarvis-secretsd check --config {}", config_path.display()));
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
