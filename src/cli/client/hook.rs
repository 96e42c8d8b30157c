//! The command that `render --watch` runs when it has written its file.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::exec;
use crate::base::failure::say;
use crate::process::{Seen, Tree, collect_ended};

/// A command, which is run beside whatever else there is to do, once at a time.
pub struct Hook<'a> {
    command: &'a [OsString],
    timeout: Duration,
    run: Option<Run>,
    /// It is to be run, as soon as it does not run any more.
    is_due: bool,
}

/// The command while it runs.
struct Run {
    program: Tree,
    killed_at: Instant,
    is_killed: bool,
}

impl<'a> Hook<'a> {
    /// `command` may be empty, and then nothing is ever run. It is killed when it has run for as long as `timeout`.
    pub fn new(command: &'a [OsString], timeout: Duration) -> Self {
        Self { command, timeout, run: None, is_due: false }
    }

    /// Runs it; if it runs already, once more after that.
    pub fn run(&mut self) {
        self.is_due = !self.command.is_empty();
        self.look();
    }

    pub fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// When [`look`](Self::look) has to be called at the latest.
    pub fn until(&self) -> Option<Instant> {
        self.run.as_ref().filter(|run| !run.is_killed).map(|run| run.killed_at)
    }

    /// Has it end, and not run again.
    pub fn end(&mut self, signal: Signal) {
        self.is_due = false;
        if let Some(run) = &self.run {
            run.program.signal_group(signal);
        }
    }

    /// Takes note of its end, which also SIGCHLD tells of, and does what is due.
    pub fn look(&mut self) {
        match &mut self.run {
            Some(run) => match run.program.look() {
                // What it leaves behind may be a daemon that it was to start.
                Seen::Gone(status) | Seen::Remains(status) => {
                    if run.is_killed {
                        self.tell(format_args!("has taken longer than {:?} and was killed", self.timeout));
                    } else if !status.success() {
                        self.tell(status);
                    }
                    self.run = None;
                }
                _ if !run.is_killed && Instant::now() >= run.killed_at => {
                    run.is_killed = true;
                    run.program.signal_group(Signal::KILL);
                }
                _ => {}
            },
            None => collect_ended(),
        }
        if self.run.is_none() && std::mem::take(&mut self.is_due) {
            // In a group of its own, it can be ended with all that it waits for.
            match Tree::start(exec::program(self.command).stdin(Stdio::null()).process_group(0)) {
                Ok(program) => {
                    self.run = Some(Run { program, killed_at: Instant::now() + self.timeout, is_killed: false });
                }
                Err(why) => self.tell(why),
            }
        }
    }

    /// Says that it has failed, which changes nothing.
    fn tell(&self, why: impl std::fmt::Display) {
        say(format_args!("{}: {why}; the file was written anyway", self.command[0].to_string_lossy()));
    }
}
