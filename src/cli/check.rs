//! `check`: is the configuration good, and the policy?

use std::fs::File;
use std::net::SocketAddr;

use rustix::process::geteuid;

use super::command::{Arguments, CONFIG, Command, Operands};
use super::{Exit, load_config, protection, sockets};
use crate::access::{Access, Rules};
use crate::applier;
use crate::clock::Clock;
use crate::config::{Config, PathsConfig};
use crate::failure::Failure;
use crate::http::Tls;
use crate::process::{self, Protection, User};
use crate::systemd::Passed;
use crate::vault::{KeyFile, KeyInForce, is_under};

pub const COMMAND: Command = Command {
    name: "check",
    operands: Operands::NONE,
    options: &[CONFIG],
    summary: "check the configuration and the policy, and change nothing",
    run,
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let config_path = arguments.config_path();
    let config = load_config(config_path)?;
    println!("configuration {}: good", config_path.display());
    if let Some(tls) = &config.server.tls {
        Tls::load(tls, &Clock::system())?;
        println!("TLS certificate {}: good", tls.cert_path.display());
    }
    let user = protection::user(&config.server).map_err(Exit::config)?;
    check_appliers(&config, user.as_ref())?;
    if !config.rotation.appliers.is_empty() {
        println!("appliers of {} secrets: good", config.rotation.appliers.len());
    }
    let access = load_access(&config, sockets::addresses(&config.server, &Passed::default()))?;
    let rules = access.snapshot().client_count();
    println!("policy {}: good, {rules} client rules", config.security.rbac_policy_path.display());
    for warning in access.warnings(Clock::system().now()) {
        println!("warning: {warning}");
    }
    if let Some(why) = wrong_key(&config.paths) {
        println!("warning: {why}");
    }
    // What the daemon would do to itself is done to this process: nothing else tells as surely whether it works.
    tell(process::keep_private());
    if let Some(user) = user {
        match protection::give_up_root(&user, &config, &access) {
            Ok(done) => {
                tell(done);
                sockets::warnings(&config.server).for_each(|why| println!("warning: {why}"));
            }
            Err(Exit { why, .. }) => println!("warning: {why}"),
        }
    }
    tell(process::lock_memory());
    tell(protection::confine(&config));
    Ok(())
}

/// Whether the master key is another one than the vault's, as far as whoever asks may look.
fn wrong_key(paths: &PathsConfig) -> Option<Failure> {
    let PathsConfig { vault_path, master_key_path, .. } = paths;
    File::open(vault_path).ok()?;
    let found = KeyInForce::find(&KeyFile::new(master_key_path), vault_path).ok()?;
    let why = format!("does not open the vault {}, so the daemon would not start", vault_path.display());
    (!is_under(vault_path, &found.key)).then(|| Failure::new(master_key_path.display(), why))
}

fn tell(protection: Protection) {
    match protection {
        Protection::InForce(what) => println!("protection: {what}"),
        Protection::Missing(what) => println!("warning: {what}"),
    }
}

/// Checks that the programs of the configuration may be run by `user`, or else by whose process this is.
pub fn check_appliers(config: &Config, user: Option<&User>) -> Result<(), Exit> {
    let uid = user.map_or_else(|| geteuid().as_raw(), |user| user.ids().0);
    applier::check(&config.rotation, uid).map_err(Exit::config)
}

/// The policy, as the daemon would use it that listens at these TCP addresses.
pub fn load_access(config: &Config, addresses: Vec<SocketAddr>) -> Result<Access, Exit> {
    let rules = Rules {
        require_client_id_header: config.security.require_client_id_header,
        trust_client_header: config.security.trust_client_header,
        certificates: config.server.tls.as_ref().is_some_and(|tls| tls.client_ca_path.is_some()),
        auth_failures_per_minute: config.security.auth_failures_per_minute,
    };
    Access::load(config.security.rbac_policy_path.clone(), addresses, rules).map_err(Exit::config)
}
