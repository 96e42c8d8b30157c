//! One program's life, from its start until nothing of it is left.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::outcome::{MOST_OUTPUT, Outcome, ProgramEnd};
use super::table::Program;
use crate::base::secret::Wiped;
use crate::process::end_all_children;

/// Runs the program with `input` on its standard input and these variables in its environment, and waits until it and all that it
/// has started are gone.
///
/// None if the daemon at the other end of `daemon` went away meanwhile; the program is then gone too.
pub fn run(
    Program { words, timeout }: &Program,
    environment: &[(String, String)],
    input: &[u8],
    daemon: &UnixStream,
) -> Option<Outcome> {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env_clear().current_dir("/").process_group(0);
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let not_started = |why| Some(Outcome::unknown(format_args!("was not started: {why}")));
    let mut child = match spawned {
        Ok(child) => child,
        Err(why) => return not_started(why),
    };
    let pid = Pid::from_child(&child);
    let mut running = match Running::of(&mut child, pid) {
        Ok(running) => running,
        Err(why) => {
            end_all_children(pid);
            return not_started(why);
        }
    };
    let why = running.follow(input, Instant::now() + *timeout, daemon);
    running.stdin = None;
    let (status, mut all_gone) = end_all_children(pid);
    if why == Why::DaemonGone {
        // The next daemon is kept waiting until it can be sure of what it sees.
        while !all_gone {
            all_gone = end_all_children(pid).1;
        }
        return None;
    }
    // What it printed before its end is still in the pipes.
    running.read();
    let end = match (why, status) {
        _ if !all_gone => ProgramEnd::NotGone,
        (Why::TimedOut, _) => ProgramEnd::TimedOut,
        _ if running.has_printed_too_much() => ProgramEnd::PrintedTooMuch,
        (_, Some(status)) => status.into(),
        (_, None) => ProgramEnd::NotGone,
    };
    Some(Outcome { end, stdout: running.output.0, stderr: running.output.1 })
}

/// Why a program is not followed any longer.
#[derive(PartialEq)]
enum Why {
    Ended,
    TimedOut,
    PrintedTooMuch,
    DaemonGone,
}

/// A program that was started, and the ends of what leads to it.
struct Running {
    process: OwnedFd,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    output: (Wiped, Wiped),
}

impl Running {
    fn of(child: &mut Child, pid: Pid) -> io::Result<Self> {
        // Of this size from the start, so that they never move and leave a copy behind.
        let room = || Wiped::new(Vec::with_capacity(MOST_OUTPUT + 64));
        let running = Self {
            process: pidfd_open(pid, PidfdFlags::empty())?,
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            output: (room(), room()),
        };
        let ends = [
            running.stdin.as_ref().map(AsFd::as_fd),
            running.stdout.as_ref().map(AsFd::as_fd),
            running.stderr.as_ref().map(AsFd::as_fd),
        ];
        ends.into_iter().flatten().try_for_each(|end| ioctl_fionbio(end, true))?;
        Ok(running)
    }

    /// Feeds it and listens to it until it ends by itself, or must be ended.
    fn follow(&mut self, mut input: &[u8], deadline: Instant, daemon: &UnixStream) -> Why {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Why::TimedOut;
            }
            let [daemon_gone, ended, may_write, may_read, may_read_errors] = self.wait(left, daemon);
            if daemon_gone {
                return Why::DaemonGone;
            }
            if may_write {
                self.feed(&mut input);
            }
            if may_read || may_read_errors {
                self.read();
            }
            if self.has_printed_too_much() {
                return Why::PrintedTooMuch;
            }
            if ended {
                return Why::Ended;
            }
        }
    }

    /// Waits for whatever happens first, for at most this long.
    fn wait(&self, patience: Duration, daemon: &UnixStream) -> [bool; 5] {
        let ends = [
            Some((daemon.as_fd(), PollFlags::RDHUP)),
            Some((self.process.as_fd(), PollFlags::IN)),
            self.stdin.as_ref().map(|end| (end.as_fd(), PollFlags::OUT)),
            self.stdout.as_ref().map(|end| (end.as_fd(), PollFlags::IN)),
            self.stderr.as_ref().map(|end| (end.as_fd(), PollFlags::IN)),
        ];
        let mut happened = [false; 5];
        let mut watched: Vec<_> =
            ends.iter().flatten().map(|(end, what)| PollFd::from_borrowed_fd(*end, *what)).collect();
        let patience = Timespec::try_from(patience).ok();
        match poll(&mut watched, patience.as_ref()) {
            Err(Errno::INTR) => {}
            // What cannot be watched is ended.
            Err(_) => happened[0] = true,
            Ok(_) => {
                let places = ends.iter().enumerate().filter(|(_, end)| end.is_some());
                for ((place, _), seen) in places.zip(&watched) {
                    happened[place] = !seen.revents().is_empty();
                }
            }
        }
        happened
    }

    /// Gives it as much of `input` as it takes now. When it has all of it, or does not want it, its standard input ends.
    fn feed(&mut self, input: &mut &[u8]) {
        let Some(stdin) = &mut self.stdin else { return };
        match stdin.write(input) {
            Ok(taken) => *input = &input[taken..],
            Err(why) if is_for_later(&why) => return,
            Err(_) => *input = &[],
        }
        if input.is_empty() {
            self.stdin = None;
        }
    }

    /// Takes what it has printed, but not more than a little too much.
    fn read(&mut self) {
        read_from(&mut self.stdout, &mut self.output.0, MOST_OUTPUT + 1 - self.output.1.len());
        read_from(&mut self.stderr, &mut self.output.1, MOST_OUTPUT + 1 - self.output.0.len());
    }

    fn has_printed_too_much(&self) -> bool {
        self.output.0.len() + self.output.1.len() > MOST_OUTPUT
    }
}

/// Takes what is in the pipe now, until there is as much as `room` in `output`.
fn read_from(pipe: &mut Option<impl Read>, output: &mut Vec<u8>, room: usize) {
    let Some(reader) = pipe else { return };
    match reader.take((room - output.len()) as u64).read_to_end(output) {
        Err(why) if is_for_later(&why) => {}
        // Who still prints is to be killed at it, and not to go on to something else because nobody listens.
        Ok(_) if output.len() == room => {}
        _ => *pipe = None,
    }
}

fn is_for_later(why: &io::Error) -> bool {
    matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
