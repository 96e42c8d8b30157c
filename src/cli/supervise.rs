//! A program that runs beside us, and is started again, or sent a signal, when a secret changes.

use std::io::stdin;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use super::{Exit, serve};
use crate::client::{CHANGED, Changes};
use crate::failure::Failure;
use crate::secret::Plaintext;

/// How long after a change others are awaited, so that those that belong together are answered once.
pub const SETTLE: Duration = Duration::from_secs(1);

/// What is done when a secret changes.
#[derive(Clone, Copy)]
pub enum Reaction {
    /// The program is ended and started again. If it takes longer than this to end, it is killed.
    Restart(Duration),
    /// It is sent this signal.
    Signal(Signal),
}

/// What is under way.
#[derive(Clone, Copy)]
enum Phase {
    Running,
    /// A secret has changed: at this moment it is reacted to.
    Changed(Instant),
    /// The program was told to end, to be started again, and is killed at this moment.
    Stopping(Instant),
    Killed,
    /// Somebody else wants it to end, and not to be started again.
    Ending,
}

/// Keeps a program running until it ends by itself, and returns how it did. `take` is given each new value, and says
/// whether it is to be reacted to; `start` starts the program with those that it was given.
///
/// # Errors
/// If the program cannot be started.
pub fn supervise(
    reaction: Reaction,
    mut take: impl FnMut(usize, Plaintext) -> bool,
    mut start: impl FnMut() -> Result<Child, Exit>,
    watch: impl FnOnce(&Sender<i32>) -> Result<Changes, Failure>,
) -> Result<ExitStatus, Exit> {
    // Before there is a child, so that it cannot end unheard.
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD]);
    let (sender, news) = serve::forwarded(signals.map_err(|why| Failure::new("signal handlers", why))?)?;
    let changes = watch(&sender)?;
    let mut child = Program(start()?);
    let mut phase = Phase::Running;
    loop {
        let patience = match phase {
            Phase::Changed(end) | Phase::Stopping(end) => Some(end.saturating_duration_since(Instant::now())),
            _ => None,
        };
        match serve::next(&news, patience) {
            Some(CHANGED) => {
                while let Some((number, secret)) = changes.take() {
                    if take(number, secret.value)
                        && let Phase::Running = phase
                    {
                        phase = Phase::Changed(Instant::now() + SETTLE);
                    }
                }
            }
            Some(SIGCHLD) => {}
            Some(signal) => {
                phase = match (signal, phase) {
                    // What is sent `^C` may well go on, and is then started again like before.
                    (SIGTERM, _) | (SIGINT | SIGQUIT, Phase::Stopping(_) | Phase::Killed) => Phase::Ending,
                    _ => phase,
                };
                if !comes_from_the_terminal(signal) {
                    child.send(Signal::from_named_raw(signal));
                }
            }
            None => {
                let (signal, then) = match (phase, reaction) {
                    (Phase::Changed(_), Reaction::Restart(patience)) => {
                        (Signal::TERM, Phase::Stopping(Instant::now() + patience))
                    }
                    (Phase::Changed(_), Reaction::Signal(signal)) => (signal, Phase::Running),
                    _ => (Signal::KILL, Phase::Killed),
                };
                child.send(Some(signal));
                phase = then;
            }
        }
        if let Some(status) = child.0.try_wait().map_err(|why| Failure::new("child", why))? {
            match phase {
                Phase::Stopping(_) | Phase::Killed => (child, phase) = (Program(start()?), Phase::Running),
                _ => return Ok(status),
            }
        }
    }
}

/// A child that was not waited for yet, so that its process id is its own.
struct Program(Child);

impl Program {
    fn send(&self, signal: Option<Signal>) {
        // It fails if the child has just ended, and then there is nothing to do.
        let _ = signal.map(|signal| kill_process(Pid::from_child(&self.0), signal));
    }
}

/// Whether the terminal has sent the signal to the program too: it sends `^C` and `^\` to all that are in the foreground.
fn comes_from_the_terminal(signal: i32) -> bool {
    matches!(signal, SIGINT | SIGQUIT) && tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
}

/// The status with which a shell would say that a program has ended like this.
pub fn shell_status(status: ExitStatus) -> u8 {
    let number = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(number).unwrap_or(1)
}
