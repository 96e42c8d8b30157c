//! The daemon's side of the process that runs programs for it.

use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::frame;
use super::outcome::Outcome;
use super::process::{RUNNER, Table};
use crate::failure::Failure;
use crate::sync::lock;

/// How much longer than a program the runner may take: it has to end what cannot be ended at once, and at its start to wait
/// for another runner to do that.
const PATIENCE: Duration = Duration::from_secs(40);

/// The process that runs programs for a daemon which may execute nothing itself. It ends with this.
pub struct Runner {
    stream: UnixStream,
    /// Held while a program runs. Whether the runner still does what it is asked.
    is_well: Mutex<bool>,
    process: Mutex<Child>,
}

impl Runner {
    /// Starts it. `binary` is this program; `table` is all that the runner will ever run.
    ///
    /// # Errors
    /// If it cannot be started, if one of the programs may not be run, or if a runner of an earlier daemon does not end.
    pub fn start(binary: &Path, table: &Table) -> Result<Self, Failure> {
        let fail = |why: std::io::Error| Failure::new("runner of appliers", why);
        let (stream, theirs) = UnixStream::pair().map_err(fail)?;
        let mut command = Command::new(binary);
        // A group of its own: what a terminal sends to the daemon's is not for the runner.
        command.arg0("jarvis-secretsd").arg(RUNNER).env_clear().current_dir("/").process_group(0);
        let spawned = command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).spawn();
        // The other end goes with it, so that the runner's end is seen here.
        drop(command);
        let process = spawned.map_err(|why| {
            Failure::new("runner of appliers", format_args!("{} cannot be started: {why}", binary.display()))
        })?;
        let runner = Self { stream, is_well: Mutex::new(true), process: Mutex::new(process) };
        runner.stream.set_read_timeout(Some(PATIENCE)).map_err(fail)?;
        let table = serde_json::to_vec(table).map_err(|why| Failure::new("runner of appliers", why))?;
        frame::send(&runner.stream, &[&table]).map_err(fail)?;
        let ready = frame::receive(&runner.stream).map_err(fail)?;
        if ready.is_empty() { Ok(runner) } else { Err(Failure::new("appliers", String::from_utf8_lossy(&ready))) }
    }

    /// Has the program with this number in the table run, when its turn has come, with `input` on its standard input. It is
    /// killed after `timeout`.
    pub fn run(&self, program: u16, timeout: Duration, input: &[u8]) -> Outcome {
        let mut is_well = lock(&self.is_well);
        if !*is_well {
            return Outcome::unknown("the process that runs appliers has ended; restart the daemon");
        }
        let asked = self.stream.set_read_timeout(Some(timeout + PATIENCE));
        let asked = asked.and_then(|()| frame::send(&self.stream, &[&program.to_le_bytes(), input]));
        let answer = asked.and_then(|()| frame::receive(&self.stream)).ok().and_then(|answer| Outcome::read(&answer));
        answer.unwrap_or_else(|| {
            *is_well = false;
            self.cut_off();
            Outcome::unknown("was cut off")
        })
    }

    /// Has the program that runs now, and whatever it has started, killed at once, and lets no other run.
    pub fn cut_off(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Does the same, and waits until nothing is left of it and of what it runs, as long as that can be waited for.
    pub fn end(&self) {
        self.cut_off();
        let mut process = lock(&self.process);
        let deadline = Instant::now() + PATIENCE;
        while matches!(process.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.end();
    }
}
