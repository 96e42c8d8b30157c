//! `check`: is the configuration good, and the policy, and what lies where they say?

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::geteuid;

use super::shared_paths::SharedPaths;
use super::whose::{Whose, is_within_reach};
use super::{protection, sockets, storage};
use crate::access::{Access, Issuers, Rules};
use crate::applier;
use crate::audit;
use crate::base::clock::Clock;
use crate::base::failure::Failure;
use crate::base::files::{self, KeyOwner};
use crate::cli::command::{Arguments, CONFIG, Command, Group, Operands};
use crate::cli::configured::{key_file, load_config};
use crate::cli::exit::Exit;
use crate::cli::output::{self, warn};
use crate::config::{Config, PathsConfig};
use crate::http::Tls;
use crate::process::{self, Protection, User};
use crate::systemd::Passed;
use crate::vault::{KeyFile, KeyInForce, is_under};

pub const COMMAND: Command = Command {
    name: "check",
    group: Group::Daemon,
    operands: Operands::NONE,
    options: &[CONFIG],
    shared: &[],
    summary: "check configuration, policy and keys, and change nothing",
    example: "jarvis-secretsd check --config /etc/jarvis-secretsd/config.toml",
    run,
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let config_path = &arguments.config_path();
    let config = load_config(config_path)?;
    good("configuration", config_path)?;
    check_programs(&config, protection::user(&config.server).map_err(Exit::config)?.as_ref())?;
    if !config.rotation.appliers.is_empty() {
        output::tell(format_args!("appliers of {} secrets: good", config.rotation.appliers.len()))?;
    }
    let access = load_access(&config, sockets::addresses(&config.server, &Passed::default()))?;
    let rules = access.snapshot().client_count();
    let policy_path = config.security.rbac_policy_path.display();
    output::tell(format_args!("policy {policy_path}: good, {rules} client rules"))?;
    for (issuer, path, count) in access.issuers().keys() {
        output::tell(format_args!("JWKS of {issuer} {}: good, {count} keys", path.display()))?;
    }
    for warning in access.warnings(Clock::system().now()) {
        warn(warning)?;
    }
    config.paths.refuse_to_pass_over_a_vault()?;
    let whose = Whose::find(&config)?;
    if !matches!(whose, Whose::Another(..)) {
        // While it is root, as the daemon then is.
        check_address(&config)?;
    }
    // What the daemon would do to itself is done to this process: nothing else tells as surely whether it works. The files are
    // then looked at as the daemon's user, if that can be.
    let private = process::keep_private();
    let uid = whose.uid();
    let switched = whose.become_it(&config, &access);
    files::take_keys_of(KeyOwner::User(uid));
    check_keys(&config, uid)?;
    if let Some(settings) = &config.storage {
        storage::check(settings, uid)?;
    }
    let shared = SharedPaths::find(config_path, &config, uid);
    shared.judge(&config).map_err(Exit::config)?.into_iter().try_for_each(warn)?;
    tell(private)?;
    match switched {
        Ok(done) => {
            done.map_or(Ok(()), tell)?;
            if !matches!(whose, Whose::Another(..)) {
                sockets::warnings(&config.server).try_for_each(warn)?;
            }
        }
        Err(Exit { why, .. }) => warn(why)?,
    }
    tell(process::lock_memory())?;
    tell(protection::confine(&config))
}

fn check_address(config: &Config) -> Result<(), Exit> {
    let Some(addr) = config.server.bind_addr else { return Ok(()) };
    match sockets::try_tcp(addr) {
        Ok(true) => output::tell(format_args!("address {addr}: good")),
        Ok(false) => output::tell(format_args!("address {addr}: good if it is this daemon that listens there already")),
        Err(why) => warn(why),
    }
}

/// Checks that a daemon of the user `uid` accepts the keys that are there.
fn check_keys(config: &Config, uid: u32) -> Result<(), Exit> {
    if let Some(tls) = &config.server.tls
        && is_within_reach(&tls.key_path, uid)?
    {
        Tls::load(tls, &Clock::system())?;
        good("TLS certificate", &tls.cert_path)?;
    }
    let PathsConfig { audit_path, master_key_path, .. } = &config.paths;
    let master = key_file(config);
    if master.exists() && is_within_reach(master_key_path, uid)? {
        master.check_form()?;
        match wrong_key(config, &master) {
            Some(why) => warn(why)?,
            None if master.wrapping().is_some() => output::tell(format_args!(
                "master key {}: good in form; jarvis-secretsd key check tries whether it opens the vault",
                master_key_path.display()
            ))?,
            None => good("master key", master_key_path)?,
        }
    }
    let signing_key_path = audit::signing_key_path(audit_path);
    if is_within_reach(&signing_key_path, uid)? && audit::read_signing_key(&signing_key_path)?.is_some() {
        good("audit signing key", &signing_key_path)?;
    }
    Ok(())
}

/// Whether the master key is another one than the vault's, as far as whoever asks may look. What unwraps a wrapped one is not asked:
/// it may count what it is asked in vain.
fn wrong_key(config: &Config, master: &KeyFile) -> Option<Failure> {
    let PathsConfig { vault_path, master_key_path, .. } = &config.paths;
    File::open(vault_path).ok().filter(|_| master.wrapping().is_none())?;
    let found = KeyInForce::find(master, vault_path).ok()?;
    let why = format!("does not open the vault {}, so the daemon would not start", vault_path.display());
    (!is_under(vault_path, &found.key)).then(|| Failure::new(master_key_path.display(), why))
}

fn good(what: &str, path: &Path) -> Result<(), Exit> {
    output::tell(format_args!("{what} {}: good", path.display()))
}

fn tell(protection: Protection) -> Result<(), Exit> {
    match protection {
        Protection::InForce(what) => output::tell(format_args!("protection: {what}")),
        Protection::Missing(what) => warn(what),
    }
}

/// Checks that the programs of the configuration may be run by `user`, or else by whose process this is.
pub fn check_programs(config: &Config, user: Option<&User>) -> Result<(), Exit> {
    let uid = user.map_or_else(|| geteuid().as_raw(), |user| user.ids().0);
    if let Some(wrapping) = &config.master_key {
        wrapping.check(uid)?;
    }
    applier::check(&config.rotation.appliers, uid).map_err(Exit::config)
}

/// The policy, as the daemon would use it that listens at these TCP addresses.
pub fn load_access(config: &Config, addresses: Vec<SocketAddr>) -> Result<Access, Exit> {
    let rules = Rules {
        require_client_id_header: config.security.require_client_id_header,
        trust_client_header: config.security.trust_client_header,
        certificates: config.server.tls.as_ref().is_some_and(|tls| tls.client_ca_path.is_some()),
        auth_failures_per_minute: config.security.auth_failures_per_minute,
    };
    let issuers = Issuers::load(&config.jwt_issuers).map_err(Exit::config)?;
    Access::load(config.security.rbac_policy_path.clone(), addresses, rules, issuers).map_err(Exit::config)
}
