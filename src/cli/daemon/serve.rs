//! `serve`: the daemon, until a signal ends it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::geteuid;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::shared_paths::SharedPaths;
use super::sockets::{self, Sockets};
use super::{check, protection};
use crate::applier::Appliers;
use crate::base::clock::Clock;
use crate::base::failure::Failure;
use crate::base::logging;
use crate::cli::command::{Arguments, CONFIG, Command, Group, Operands, Opt};
use crate::cli::configured::{key_file, load_config};
use crate::cli::exit::Exit;
use crate::cli::signals;
use crate::config::StorageConfig;
use crate::daemon::Prepared;
use crate::process::{self, Protection};
use crate::systemd::{self, ServiceManager};
use crate::vault::Patience;

pub const COMMAND: Command = Command {
    name: "serve",
    group: Group::Daemon,
    operands: Operands::NONE,
    options: &[CONFIG, ACCEPT_ROLLBACK],
    shared: &[],
    summary: "run the daemon in the foreground, until a signal ends it",
    example: "jarvis-secretsd serve --config /etc/jarvis-secretsd/config.toml",
    run,
};

const ACCEPT_ROLLBACK: Opt = Opt {
    name: "accept-rollback",
    value: None,
    summary: "start despite a rollback: the vault or the audit log is an older copy, or the vault is another branch",
};

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let config_path = &arguments.config_path();
    // Before any file is opened.
    let passed = systemd::passed_sockets()?;
    // Before anything that may take its time: a signal during the start is heeded when it is over, and SIGHUP ends nothing.
    // As process 1 no signal would, by default.
    let signals =
        Signals::new([SIGTERM, SIGINT, SIGHUP, SIGCHLD]).map_err(|why| Failure::new("signal handlers", why))?;
    let config = load_config(config_path)?;
    let access = check::load_access(&config, sockets::addresses(&config.server, &passed))?;
    let user = protection::user(&config.server).map_err(Exit::config)?;
    check::check_programs(&config, user.as_ref())?;
    logging::init(config.logging.level, config.logging.json);
    log::info!("Starting jarvis-secretsd v{}", env!("CARGO_PKG_VERSION"));
    log::info!("Config loaded from: {}", config_path.display());
    silence_panics();
    let manager = Arc::new(ServiceManager::from_env());
    let private = process::keep_private();
    if let Protection::Missing(_) = private {
        private.log();
    }
    let begun = sockets::begin(&config.server, passed)?;
    if let Some(user) = user {
        protection::give_up_root(&user, &config, &access)?.log();
    }
    let shared = SharedPaths::find(config_path, &config, geteuid().as_raw());
    shared.judge(&config).map_err(Exit::config)?.iter().for_each(|why| log::warn!("{why}"));
    if let Some(why) = config.storage.as_ref().and_then(StorageConfig::warning) {
        log::warn!("{why}");
    }
    let Sockets { api, credentials } = begun.complete()?;
    process::lock_memory().log();
    // A start that waits for etcd, or for what unwraps the master key, may wait for long, and must be ended by what would end it
    // later.
    let may_wait = Arc::new(AtomicBool::new(config.storage.is_some() || config.master_key.is_some()));
    for signal in [SIGTERM, SIGINT] {
        ends_while(signal, may_wait.clone()).map_err(|why| Failure::new("signal handlers", why))?;
    }
    let told = manager.clone();
    let keys = key_file(&config).with(Patience::new(move |last, within| told.waiting_for_key(last, within)));
    let prepared = Prepared::new(api, &config, access, keys, Clock::system(), arguments.has(&ACCEPT_ROLLBACK))?;
    may_wait.store(false, Ordering::SeqCst);
    let appliers = Appliers::start(Path::new("/proc/self/exe"), &config.rotation.appliers, &config.paths.vault_path)?;
    protection::confine(&config).log();
    let daemon = prepared.with(appliers).serve(credentials)?;
    manager.ready();
    let (_sender, received) = signals::forwarded(signals)?;
    let ping = || match daemon.is_well() {
        true => manager.ping(),
        false => log::error!("Connections are no longer accepted; waiting to be stopped"),
    };
    loop {
        match signals::next(&received, manager.ping_interval()) {
            Some(SIGHUP) => {
                manager.reloading();
                daemon.reload();
                manager.ready();
            }
            Some(SIGCHLD) => {
                daemon.look_at_appliers();
                // As process 1 of a container, it is given those that nobody else waits for.
                process::collect_ended();
                // They must not put the next one off.
                if manager.ping_interval().is_some() {
                    ping();
                }
            }
            Some(_) => break,
            None => ping(),
        }
    }
    manager.stopping();
    Ok(daemon.stop()?)
}

/// Has the signal end this process, as it would by default, for as long as `may_wait` is true.
fn ends_while(signal: i32, may_wait: Arc<AtomicBool>) -> io::Result<()> {
    match std::process::id() {
        // By default, process 1 does not end at it.
        1 => signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, may_wait),
        _ => signal_hook::flag::register_conditional_default(signal, may_wait),
    }
    .map(drop)
}

/// A panic's message may quote anything: only its place is told.
fn silence_panics() {
    std::panic::set_hook(Box::new(|panic| match panic.location() {
        Some(place) => log::error!("Internal error at {place}"),
        None => log::error!("Internal error"),
    }));
}
