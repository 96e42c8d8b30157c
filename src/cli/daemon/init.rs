//! `init`: a commented configuration and policy to begin with, in which every client has a token.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use zeroize::Zeroizing;

use super::token;
use crate::access::{self, Token};
use crate::base::failure::Failure;
use crate::base::files;
use crate::cli::command::{Arguments, CLUSTER, Command, Group, Operands, Opt};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::config::{self, Config};
use crate::process::User;
use crate::vault::KeyFile;

pub const COMMAND: Command = Command {
    name: "init",
    group: Group::Daemon,
    operands: Operands::one("DIR"),
    options: &[TOKENS, CLUSTER],
    shared: &[],
    summary: "write a configuration and a policy to begin with",
    example: "jarvis-secretsd init /etc/jarvis-secretsd --tokens tokens",
    run,
};

const TOKENS: Opt = Opt {
    name: "tokens",
    value: Some("DIR"),
    summary: "write each client's token to a file in this directory, and print none",
};

/// The daemon's user as the commented configuration proposes it.
const USER: &str = "jarvis-secretsd";

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let directory = Path::new(&arguments.operands()[0]);
    let (config_path, policy_path) = (directory.join("config.toml"), directory.join("policy.toml"));
    let key_path = arguments.has(&CLUSTER).then(|| directory.join("master.key"));
    for path in [Some(&config_path), Some(&policy_path), key_path.as_ref()].into_iter().flatten() {
        if !files::is_missing(path) {
            return Err(Failure::new(path.display(), "exists already; nothing was written").into());
        }
    }
    // Where root sets it up, the daemon becomes that user if there is one, who then has to read both.
    let user = User::find(USER, None).ok().filter(|_| geteuid().is_root());
    let config = config_text(&policy_path, key_path.as_deref(), user.is_some())?;
    let (policy, tokens) = policy_with_tokens()?;
    files::create_open_dir(directory).map_err(|why| Failure::new(directory.display(), why))?;
    // They are lost if they cannot be shown, and then nothing may depend on them.
    let mut made = Made::default();
    match arguments.path(&TOKENS) {
        Some(directory) => {
            files::create_dir(directory).map_err(|why| Failure::new(directory.display(), why))?;
            for (client, token) in tokens {
                made.write(directory.join(client), |path| token::write(path, &token))?;
            }
        }
        None => {
            for (client, token) in tokens {
                let line = ["token of ", &client, ", shown only once: ", token.expose(), "\n"].concat();
                output::print(Zeroizing::new(line).as_bytes())?;
            }
        }
    }
    if let Some(path) = key_path {
        made.write(path, |path| create_key(path, user.as_ref()))?;
    }
    for (path, text) in [(policy_path, policy), (config_path.clone(), config)] {
        made.write(path, |path| create_for(path, user.as_ref(), &text))?;
    }
    for path in made.keep() {
        output::tell_done(format_args!("wrote {}", path.display()));
    }
    output::tell_done(format_args!("next: edit both, then jarvis-secretsd check --config {}", config_path.display()));
    Ok(())
}

/// The files that were made. They go again if another one cannot be made, so that all of it can be tried again.
#[derive(Default)]
struct Made(Vec<PathBuf>);

impl Made {
    fn write(&mut self, path: PathBuf, write: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Failure> {
        write(&path).map_err(|why| Failure::new(path.display(), why))?;
        self.0.push(path);
        Ok(())
    }

    fn keep(mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

/// Makes a file for `user`, whose group then reads it and nobody else, or for all to read. It holds no secret.
fn create_for(path: &Path, user: Option<&User>, text: &str) -> io::Result<()> {
    let mode = if user.is_some() { 0o640 } else { 0o644 };
    let mut fresh = files::Fresh::begin(path, mode)?;
    if let Some(user) = user {
        std::os::unix::fs::fchown(&fresh.file, None, Some(user.ids().1))?;
    }
    fresh.file.write_all(text.as_bytes())?;
    fresh.create()
}

/// Makes a master key for `user` alone.
fn create_key(path: &Path, user: Option<&User>) -> io::Result<()> {
    KeyFile::new(path).generate().map_err(io::Error::other)?;
    match user.map(User::ids) {
        Some((uid, gid)) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

/// The commented policy, with a token for each of its clients.
fn policy_with_tokens() -> Result<(String, Vec<(String, Token)>), Failure> {
    let mut policy = String::new();
    let mut tokens = Vec::new();
    for line in access::COMMENTED.lines() {
        policy.extend([line, "\n"]);
        if let Some(client) = line.strip_prefix("[clients.").and_then(|rest| rest.strip_suffix(']')) {
            let token = Token::generate()?;
            policy.extend([&token.policy_line(), "\n"]);
            tokens.push((client.to_owned(), token));
        }
    }
    Ok((policy, tokens))
}

/// The commented configuration, with the policy beside it as its policy, and with its user, if there is one.
fn config_text(policy_path: &Path, key_path: Option<&Path>, has_user: bool) -> Result<String, Failure> {
    let path = in_toml(policy_path)?;
    let default = Config::default().security.rbac_policy_path;
    let default = default.to_str().expect("the default path is plain text");
    let text = config::COMMENTED.replace(&format!("\"{default}\""), &format!("\"{path}\""));
    let user = format!("user = \"{USER}\"");
    let text = if has_user { text.replace(&format!("# {user}"), &user) } else { text };
    let Some(key_path) = key_path else { return Ok(text) };
    let key_path = format!("master_key_path = \"{}\"", in_toml(key_path)?);
    let is_about_it = |line: &str| line.starts_with("# master_key_path = ");
    Ok(text.lines().map(|line| [if is_about_it(line) { &key_path } else { line }, "\n"].concat()).collect())
}

/// The path, absolute, as it stands between quotes.
fn in_toml(path: &Path) -> Result<String, Failure> {
    let absolute = std::path::absolute(path).map_err(|why| Failure::new(path.display(), why))?;
    let text = absolute.to_str().filter(|path| !path.contains(['"', '\\']) && !path.contains(char::is_control));
    let text = text.ok_or_else(|| Failure::new(path.display(), "this path cannot be written in a TOML string"))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_named_where_there_is_one() {
        let user = |has_user| {
            let text = config_text(Path::new("/etc/p.toml"), None, has_user).unwrap();
            let config = Config::parse(&text, Path::new("c.toml")).unwrap();
            assert_eq!(config.security.rbac_policy_path, Path::new("/etc/p.toml"));
            config.server.user
        };
        assert_eq!(user(false), None);
        assert_eq!(user(true).as_deref(), Some(USER));
    }

    #[test]
    fn the_master_key_of_a_cluster_is_where_the_configuration_says() {
        let text = config_text(Path::new("/etc/p.toml"), Some(Path::new("/etc/m.key")), false).unwrap();
        let config = Config::parse(&text, Path::new("c.toml")).unwrap();
        assert_eq!(config.paths.master_key_path, Path::new("/etc/m.key"));
    }
}
