//! What the configuration means for the daemon's own process.

use super::Exit;
use crate::access::Access;
use crate::config::{Config, PathsConfig, ServerConfig};
use crate::failure::Failure;
use crate::files;
use crate::process::{self, Protection, User};

/// The user that the daemon is to become, if the configuration names one.
pub fn user(server: &ServerConfig) -> Result<Option<User>, Failure> {
    server.user.as_deref().map(|user| User::find(user, server.group.as_deref())).transpose()
}

/// Becomes `user`, for good, and makes sure that it can use all that the daemon needs.
pub fn give_up_root(user: &User, config: &Config, access: &Access) -> Result<Protection, Exit> {
    let done = user.switch_to()?;
    let PathsConfig { vault_path, audit_path, master_key_path } = &config.paths;
    user.check_access(&[vault_path, audit_path, master_key_path])?;
    // So that a policy which only root can read is found now, not at the next SIGHUP.
    access.reload().map_err(Exit::config)?;
    Ok(done)
}

/// Confines the process to what a daemon at work opens: its state, and the policy, which SIGHUP reads again.
///
/// A policy behind a symbolic link is read where that leads now, too.
pub fn confine(config: &Config) -> Protection {
    let PathsConfig { vault_path, audit_path, .. } = &config.paths;
    let policy = &config.security.rbac_policy_path;
    let target = policy.canonicalize().unwrap_or_else(|_| policy.clone());
    let writable = [vault_path, audit_path].map(|path| files::parent(path));
    process::confine(&writable, &[files::parent(policy), files::parent(&target)])
}
