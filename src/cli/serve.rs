//! `serve`: the daemon, until a signal ends it.

use std::path::Path;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Exit, check, load_config};
use crate::clock::Clock;
use crate::daemon::Daemon;
use crate::failure::Failure;
use crate::logging;

pub fn run(config_path: &Path, accept_rollback: bool) -> Result<(), Exit> {
    let config = load_config(config_path)?;
    let access = check::load_access(&config)?;
    // Before anything else, so that a signal during the start ends it as well; as process 1 nothing would by default.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|why| Failure::new("signal handlers", why))?;
    logging::init(config.logging.level, config.logging.json);
    log::info!("Starting jarvis-secretsd v{}", env!("CARGO_PKG_VERSION"));
    log::info!("Config loaded from: {}", config_path.display());
    keep_memory_private();
    let daemon = Daemon::start(&config, access, Clock::system(), accept_rollback)?;
    for signal in signals.forever() {
        if signal == SIGHUP {
            daemon.reload();
        } else {
            break;
        }
    }
    Ok(daemon.stop()?)
}

/// No core dump, no debugger of the same user, no file for others, and no panic message, which may quote anything.
fn keep_memory_private() {
    let no_core = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let not_dumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    for (what, done) in [("core dumps stay possible", no_core), ("debuggers can attach", not_dumpable)] {
        if let Err(why) = done {
            log::warn!("Memory is not private, {what}: {why}");
        }
    }
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    std::panic::set_hook(Box::new(|panic| match panic.location() {
        Some(place) => log::error!("Internal error at {place}"),
        None => log::error!("Internal error"),
    }));
}
