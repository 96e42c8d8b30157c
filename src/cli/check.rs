//! `check`: is the configuration good, and the policy?

use std::path::Path;

use super::{Exit, load_config};
use crate::access::{Access, Rules};
use crate::config::Config;

pub fn run(config_path: &Path) -> Result<(), Exit> {
    let config = load_config(config_path)?;
    println!("configuration {}: good", config_path.display());
    let access = load_access(&config)?;
    let rules = access.snapshot().client_count();
    println!("policy {}: good, {rules} client rules", config.security.rbac_policy_path.display());
    for warning in access.warnings() {
        println!("warning: {warning}");
    }
    Ok(())
}

/// The policy, as the daemon would use it.
pub fn load_access(config: &Config) -> Result<Access, Exit> {
    let rules = Rules {
        require_client_id_header: config.security.require_client_id_header,
        trust_client_header: config.security.trust_client_header,
    };
    Access::load(config.security.rbac_policy_path.clone(), config.server.bind_addr, rules).map_err(Exit::config)
}
