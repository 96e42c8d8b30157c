//! A program that runs beside us, and is started again, or sent a signal, when a secret changes.

use std::io::stdin;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpgrp, getpid, kill_process};
use rustix::termios::tcgetpgrp;
use rustix_libc_wrappers::process::SignalExt;
use signal_hook::consts::{FORBIDDEN, SIGBUS, SIGCHLD, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::Signals;

use crate::base::failure::Failure;
use crate::base::secret::Plaintext;
use crate::cli::exit::Exit;
use crate::cli::signals;
use crate::client::{CHANGED, Changes};
use crate::process::{Seen, Tree, adopt_orphans};

/// How long after a change others are awaited, so that those that belong together are answered once.
pub const SETTLE: Duration = Duration::from_secs(1);

/// How long what is told to end may take, if nobody says otherwise.
pub const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What is done when a secret changes.
#[derive(Clone, Copy)]
pub enum Reaction {
    /// The program is ended and started again. If it takes longer than this to end, it is killed.
    Restart(Duration),
    /// It is sent this signal.
    Signal(Signal),
}

impl Reaction {
    /// How long what is left of the program may take to end.
    fn stop_timeout(self) -> Duration {
        match self {
            Self::Restart(timeout) => timeout,
            Self::Signal(_) => DEFAULT_STOP_TIMEOUT,
        }
    }
}

#[derive(Clone, Copy)]
enum Phase {
    Running,
    /// A secret has changed; the reaction follows at this moment.
    Changed(Instant),
    /// The program is to end, and is killed at this moment; none: whoever else has told it to end decides that.
    Ending {
        killed_at: Option<Instant>,
        is_started_again: bool,
    },
}

/// Keeps a program running until it ends by itself, and returns how it ended; then nothing of it is left. `take` is given each
/// new value, and says whether it is to be reacted to; `start` starts the program with those that it was given.
///
/// # Errors
/// If the program cannot be started.
pub fn supervise(
    reaction: Reaction,
    mut take: impl FnMut(usize, Plaintext) -> bool,
    mut start: impl FnMut() -> Result<Tree, Exit>,
    watch: impl FnOnce(&Sender<i32>) -> Result<Changes, Failure>,
) -> Result<ExitStatus, Exit> {
    // Before there is a child, so that it cannot end unheard.
    let signals = Signals::new(passed_on().chain([SIGCHLD]));
    let (sender, news) = signals::forwarded(signals.map_err(|why| Failure::new("signal handlers", why))?)?;
    let changes = watch(&sender)?;
    // So that what the program leaves behind is found.
    adopt_orphans().map_err(|why| Failure::new("orphaned processes", std::io::Error::from(why)))?;
    let mut program = start()?;
    let mut phase = Phase::Running;
    loop {
        let until = match phase {
            Phase::Running => None,
            Phase::Changed(moment) => Some(moment),
            Phase::Ending { killed_at, .. } => killed_at,
        };
        match signals::next(&news, until.map(|until| until.saturating_duration_since(Instant::now()))) {
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
                    (SIGTERM, _) | (SIGINT | SIGQUIT, Phase::Ending { .. }) => {
                        Phase::Ending { killed_at: None, is_started_again: false }
                    }
                    _ => phase,
                };
                if let Some(signal) = Signal::from_raw(signal).filter(|_| !comes_from_the_terminal(signal)) {
                    program.signal(signal);
                }
            }
            None => match (phase, reaction) {
                (Phase::Changed(_), Reaction::Restart(timeout)) => {
                    program.signal(Signal::TERM);
                    phase = Phase::Ending { killed_at: Some(Instant::now() + timeout), is_started_again: true };
                }
                (Phase::Changed(_), Reaction::Signal(signal)) => {
                    program.signal(signal);
                    phase = Phase::Running;
                }
                (Phase::Ending { is_started_again, .. }, _) => {
                    program.kill();
                    // What a disk keeps from its end is killed again.
                    phase = Phase::Ending { killed_at: Some(Instant::now() + DEFAULT_STOP_TIMEOUT), is_started_again };
                }
                (Phase::Running, _) => {}
            },
        }
        match (program.look(), phase) {
            (Seen::Gone(_), Phase::Ending { is_started_again: true, .. }) => {
                (program, phase) = (start()?, Phase::Running);
            }
            (Seen::Gone(status), _) => return Ok(status),
            (Seen::Remains(_), _) => {
                program.end_remains();
                let (killed_at, is_started_again) = match phase {
                    Phase::Ending { killed_at, is_started_again } => (killed_at, is_started_again),
                    _ => (None, false),
                };
                let killed_at = killed_at.unwrap_or_else(|| Instant::now() + reaction.stop_timeout());
                phase = Phase::Ending { killed_at: Some(killed_at), is_started_again };
            }
            // As a shell's job, which stops as a whole. Who lets us go on sends us a signal, which is passed on.
            (Seen::Stopped, _) => _ = kill_process(getpid(), Signal::STOP),
            (Seen::Running, _) => {}
        }
    }
}

/// The signals that are passed on: all that can be caught, but those that tell of a fault of our own, and of a pipe of ours
/// that nobody reads any more.
fn passed_on() -> impl Iterator<Item = i32> {
    let is_ours = |signal: &i32| FORBIDDEN.contains(signal) || [SIGBUS, SIGPIPE, SIGCHLD].contains(signal);
    (1..=64).filter(move |signal| !is_ours(signal) && Signal::from_raw(*signal).is_some())
}

/// Whether the terminal has sent the signal to the program too: it sends `^C` and the like to all that are in the foreground.
fn comes_from_the_terminal(signal: i32) -> bool {
    matches!(signal, SIGINT | SIGQUIT | SIGTSTP | SIGWINCH) && tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
}

/// The status with which a shell would say that a program has ended like this.
pub fn shell_status(status: ExitStatus) -> u8 {
    let number = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(number).unwrap_or(1)
}
