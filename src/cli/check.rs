//! `check`: is the configuration good, and the policy?

use std::net::SocketAddr;

use super::command::{Arguments, CONFIG, Command, Operands};
use super::{Exit, load_config, protection, sockets};
use crate::access::{Access, Rules};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::Tls;
use crate::process::{self, Protection};
use crate::systemd::Passed;

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
        Tls::load(tls)?;
        println!("TLS certificate {}: good", tls.cert_path.display());
    }
    let access = load_access(&config, sockets::addresses(&config.server, &Passed::default()))?;
    let rules = access.snapshot().client_count();
    println!("policy {}: good, {rules} client rules", config.security.rbac_policy_path.display());
    for warning in access.warnings(Clock::system().now()) {
        println!("warning: {warning}");
    }
    // What the daemon would do to itself is done to this process: nothing else tells as surely whether it works.
    let user = protection::user(&config.server).map_err(Exit::config)?;
    tell(process::keep_private());
    if let Some(user) = user {
        match protection::give_up_root(&user, &config, &access) {
            Ok(done) => tell(done),
            Err(Exit { why, .. }) => println!("warning: {why}"),
        }
    }
    tell(process::lock_memory());
    tell(protection::confine(&config));
    Ok(())
}

fn tell(protection: Protection) {
    match protection {
        Protection::InForce(what) => println!("protection: {what}"),
        Protection::Missing(what) => println!("warning: {what}"),
    }
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
