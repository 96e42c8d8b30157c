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
use crate::base::object::{self, object};
use crate::cli::command::{Arguments, CONFIG, Command, Group, JSON, Operands};
use crate::cli::configured::{key_file, load_config};
use crate::cli::exit::Exit;
use crate::cli::report::Report;
use crate::config::{Config, PathsConfig};
use crate::http::Tls;
use crate::process::{self, Protection, User};
use crate::systemd::Passed;
use crate::vault::{KeyFile, KeyInForce, is_under};

pub const COMMAND: Command = Command {
    name: "check",
    group: Group::Daemon,
    operands: Operands::NONE,
    options: &[CONFIG, JSON],
    shared: &[],
    summary: "check configuration, policy and keys, and change nothing",
    example: "jarvis-secretsd check --config /etc/jarvis-secretsd/config.toml",
    run,
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let config_path = &arguments.config_path();
    let config = load_config(config_path)?;
    let mut report = Report::begin(arguments);
    good(&mut report, "configuration", config_path, "config_path")?;
    check_programs(&config, protection::user(&config.server).map_err(Exit::config)?.as_ref())?;
    if !config.rotation.appliers.is_empty() {
        let secrets = config.rotation.appliers.len();
        report
            .tell(format_args!("appliers of {secrets} secrets: good"), object([("applier_secrets", secrets.into())]))?;
    }
    let access = load_access(&config, sockets::addresses(&config.server, &Passed::default()))?;
    let rules = access.snapshot().client_count();
    let policy_path = &config.security.rbac_policy_path;
    let fields = object([("policy_path", object::path(policy_path)), ("client_rules", rules.into())]);
    report.tell(format_args!("policy {}: good, {rules} client rules", policy_path.display()), fields)?;
    for (issuer, path, count) in access.issuers().keys() {
        let what = format_args!("JWKS of {issuer} {}: good, {count} keys", path.display());
        let fields = object([("issuer", issuer.into()), ("jwks_path", object::path(path)), ("keys", count.into())]);
        report.tell_one(what, "jwt_issuers", fields.into())?;
    }
    for warning in access.warnings(Clock::system().now()) {
        report.warn(warning)?;
    }
    config.paths.refuse_to_pass_over_a_vault()?;
    let whose = Whose::find(&config, &mut report)?;
    if !matches!(whose, Whose::Another(..)) {
        // While it is root, as the daemon then is.
        check_address(&config, &mut report)?;
    }
    // What the daemon would do to itself is done to this process: nothing else tells as surely whether it works. The files are
    // then looked at as the daemon's user, if that can be.
    let private = process::keep_private();
    let uid = whose.uid();
    let switched = whose.become_it(&config, &access);
    files::take_keys_of(KeyOwner::User(uid));
    check_keys(&config, uid, &mut report)?;
    if let Some(settings) = &config.storage {
        storage::check(settings, uid, &mut report)?;
    }
    let shared = SharedPaths::find(config_path, &config, uid);
    shared.judge(&config).map_err(Exit::config)?.into_iter().try_for_each(|why| report.warn(why))?;
    tell(&mut report, private)?;
    match switched {
        Ok(done) => {
            done.map_or(Ok(()), |done| tell(&mut report, done))?;
            if !matches!(whose, Whose::Another(..)) {
                sockets::warnings(&config.server).try_for_each(|why| report.warn(why))?;
            }
        }
        Err(Exit { why, .. }) => report.warn(why)?,
    }
    tell(&mut report, process::lock_memory())?;
    tell(&mut report, protection::confine(&config))?;
    report.end()
}

fn check_address(config: &Config, report: &mut Report) -> Result<(), Exit> {
    let Some(addr) = config.server.bind_addr else { return Ok(()) };
    let fields =
        |is_in_use: bool| object([("bind_addr", addr.to_string().into()), ("bind_addr_is_in_use", is_in_use.into())]);
    match sockets::try_tcp(addr) {
        Ok(true) => report.tell(format_args!("address {addr}: good"), fields(false)),
        Ok(false) => report
            .tell(format_args!("address {addr}: good if it is this daemon that listens there already"), fields(true)),
        Err(why) => report.warn(why),
    }
}

/// Checks that a daemon of the user `uid` accepts the keys that are there.
fn check_keys(config: &Config, uid: u32, report: &mut Report) -> Result<(), Exit> {
    if let Some(tls) = &config.server.tls
        && is_within_reach(&tls.key_path, uid, report)?
    {
        Tls::load(tls, &Clock::system())?;
        good(report, "TLS certificate", &tls.cert_path, "cert_path")?;
    }
    let PathsConfig { audit_path, master_key_path, .. } = &config.paths;
    let master = key_file(config);
    if master.exists() && is_within_reach(master_key_path, uid, report)? {
        master.check_form()?;
        match wrong_key(config, &master) {
            Some(why) => report.warn(why)?,
            None if master.wrapping().is_some() => report.tell(
                format_args!(
                    "master key {}: good in form; jarvis-secretsd key check tries whether it opens the vault",
                    master_key_path.display()
                ),
                object([("wrapped_master_key_path", object::path(master_key_path))]),
            )?,
            None => good(report, "master key", master_key_path, "master_key_path")?,
        }
    }
    let signing_key_path = audit::signing_key_path(audit_path);
    if is_within_reach(&signing_key_path, uid, report)? && audit::read_signing_key(&signing_key_path)?.is_some() {
        good(report, "audit signing key", &signing_key_path, "signing_key_path")?;
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

/// Tells that `what` is good, and lies at this path, which a program finds in the field `name`.
fn good(report: &mut Report, what: &str, path: &Path, name: &str) -> Result<(), Exit> {
    report.tell(format_args!("{what} {}: good", path.display()), object([(name, object::path(path))]))
}

fn tell(report: &mut Report, protection: Protection) -> Result<(), Exit> {
    match protection {
        Protection::InForce(what) => {
            report.tell_one(format_args!("protection: {what}"), "protections", what.as_str().into())
        }
        Protection::Missing(what) => report.warn(what),
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
