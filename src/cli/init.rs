//! `init`: a commented configuration and policy to begin with.

use std::path::Path;

use super::Exit;
use crate::access;
use crate::config::{self, Config};
use crate::failure::Failure;
use crate::files;

pub fn run(directory: &Path) -> Result<(), Exit> {
    let (config_path, policy_path) = (directory.join("config.toml"), directory.join("policy.toml"));
    for path in [&config_path, &policy_path] {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::new(path.display(), "is there already; nothing was written").into());
        }
    }
    let text = config_text(&policy_path)?;
    files::create_dir(directory).map_err(|why| Failure::new(directory.display(), why))?;
    for (path, text) in [(&policy_path, access::COMMENTED), (&config_path, &text)] {
        files::create(path, 0o644, text.as_bytes()).map_err(|why| Failure::new(path.display(), why))?;
        println!("wrote {}", path.display());
    }
    println!("next: edit both, then jarvis-secretsd check --config {}", config_path.display());
    Ok(())
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
