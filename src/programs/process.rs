//! The process that runs programs: this one, started by a daemon with a word that no help tells.
//!
//! The daemon confines itself, so that it executes nothing and connects nowhere. This process is not confined, but runs
//! nothing besides the programs that it was told of when it was started, before the daemon served anybody.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::net::sockopt::socket_type;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::outcome::Outcome;
use super::table::{Program, ProgramTable};
use super::{frame, run};
use crate::base::failure::Failure;
use crate::process::{adopt_orphans, keep_private, lock_memory};

/// The word with which the daemon starts it. It is in the list of processes, and as old as the appliers, which alone had it run
/// programs then.
pub const RUNNER: &str = "run-appliers";

/// How long it waits for another runner to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs programs for the daemon at the other end of standard input, until that goes away.
///
/// # Errors
/// If it was not started by a daemon.
pub fn serve() -> Result<(), Failure> {
    let fail = |why: io::Error| Failure::new(RUNNER, why);
    let stdin = io::stdin();
    if socket_type(&stdin).is_err() {
        return Err(Failure::new(RUNNER, "is run by the daemon itself, never by hand"));
    }
    let daemon = UnixStream::from(stdin.as_fd().try_clone_to_owned().map_err(fail)?);
    // The daemon has told its log already what of this cannot be had.
    let _ = (keep_private(), lock_memory());
    // Otherwise it would be called "exe", as it was started by that name.
    let _ = rustix::thread::set_name(c"jarvis-appliers");
    std::panic::set_hook(Box::new(|_| {}));
    // The daemon ends it, by going away. What a service manager sends to all is for the daemon to heed.
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
        signal_hook::flag::register(signal, Arc::default()).map_err(fail)?;
    }
    adopt_orphans().map_err(|why| fail(why.into()))?;
    let table: ProgramTable =
        serde_json::from_slice(&frame::receive(&daemon).map_err(fail)?).map_err(|why| Failure::new(RUNNER, why))?;
    if let Some(umask) = table.umask {
        rustix::process::umask(Mode::from_bits_truncate(umask));
    }
    let lock = table.lock.as_ref().map(|lock| take_lock(&lock.path, &lock.still_locked)).transpose();
    let ready = lock.and_then(|lock| {
        table.programs.iter().try_for_each(Program::check)?;
        Ok(lock)
    });
    let _lock = match ready {
        Ok(lock) => lock,
        // The daemon tells it.
        Err(why) => return frame::send(&daemon, &[why.to_string().as_bytes()]).map_err(fail),
    };
    frame::send(&daemon, &[]).map_err(fail)?;
    while let Ok(request) = frame::receive(&daemon) {
        let Some(outcome) = answer(&table, &request, &daemon) else { break };
        let (head, [stdout, rest]) = outcome.parts();
        if frame::send(&daemon, &[&head, stdout, rest]).is_err() {
            break;
        }
    }
    Ok(())
}

/// Does what was asked for; none if the daemon went away.
fn answer(table: &ProgramTable, request: &[u8], daemon: &UnixStream) -> Option<Outcome> {
    let asked = request.split_first_chunk::<2>();
    let asked =
        asked.and_then(|(number, input)| Some((table.programs.get(usize::from(u16::from_le_bytes(*number)))?, input)));
    let Some((program, input)) = asked else { return Some(Outcome::unknown("there is no such program")) };
    match program.check() {
        Ok(()) => run::run(program, &table.environment, input, daemon),
        Err(why) => Some(Outcome::unknown(format_args!("was not started: {why}"))),
    }
}

/// Waits until nobody else has this lock. It is held until this process has ended.
fn take_lock(path: &Path, still_locked: &str) -> Result<File, Failure> {
    let fail = |why: io::Error| Failure::new(path.display(), why);
    let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits() as i32;
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path);
    let file = file.map_err(fail)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            Err(Errno::WOULDBLOCK) => return Err(Failure::new(path.display(), still_locked)),
            Err(why) => return Err(fail(why.into())),
        }
    }
}
