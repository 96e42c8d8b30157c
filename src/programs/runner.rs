//! The daemon's side of the process that runs programs for it.

use std::fmt::Display;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::frame;
use super::outcome::Outcome;
use super::process::RUNNER;
use super::table::ProgramTable;
use crate::base::failure::Failure;
use crate::base::sync::lock;

/// How much longer than a program the runner may take: it has to end what cannot be ended at once, and at its start to wait
/// for another runner to do that.
const PATIENCE: Duration = Duration::from_secs(40);

/// The process that runs programs for a daemon which may execute nothing itself. It ends with this.
pub struct Runner {
    stream: UnixStream,
    /// Held while a program runs.
    turn: Mutex<()>,
    /// The runner no longer does what it is asked.
    has_failed: AtomicBool,
    process: Mutex<Child>,
    /// Why nothing is run any more once it has ended. The daemon cannot start another one: by then it has given up the right
    /// to execute anything.
    ended: String,
}

impl Runner {
    /// Starts the runner. `binary` is this program; `table` is all that the runner will ever run.
    ///
    /// # Errors
    /// If it cannot be started, if one of the programs may not be run, or if a runner of an earlier daemon does not end.
    pub fn start(binary: &Path, table: &ProgramTable) -> Result<Self, Failure> {
        let fail = |why: &dyn Display| Failure::new(format_args!("runner of {}", table.called), why);
        let io = |why: io::Error| fail(&why);
        let (stream, theirs) = UnixStream::pair().map_err(io)?;
        let mut command = Command::new(binary);
        // A group of its own: what a terminal sends to the daemon's is not for the runner.
        command.arg0("jarvis-secretsd").arg(RUNNER).env_clear().current_dir("/").process_group(0);
        let spawned = command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).spawn();
        // The other end goes with it, so that the runner's end is seen here.
        drop(command);
        let process = spawned.map_err(|why| match Path::new("/dev/null").exists() {
            true => fail(&format_args!("{} cannot be started: {why}", binary.display())),
            // The system says the same of a program that is missing.
            false => fail(&"there is no /dev/null, which a program is started with"),
        })?;
        let (turn, process) = (Mutex::default(), Mutex::new(process));
        let ended = format!("the process that runs {} has ended; restart the daemon", table.called);
        let runner = Self { stream, turn, has_failed: AtomicBool::new(false), process, ended };
        runner.stream.set_read_timeout(Some(PATIENCE)).map_err(io)?;
        let message = serde_json::to_vec(table).map_err(|why| fail(&why))?;
        frame::send(&runner.stream, &[&message]).map_err(io)?;
        let ready = frame::receive(&runner.stream).map_err(io)?;
        if ready.is_empty() { Ok(runner) } else { Err(Failure::new(&table.called, String::from_utf8_lossy(&ready))) }
    }

    /// Has the program with this number in the table run, when its turn has come, with `input` on its standard input. It is
    /// killed after `timeout`.
    pub fn run(&self, program: u16, timeout: Duration, input: &[u8]) -> Outcome {
        let _turn = lock(&self.turn);
        if let Some(why) = self.trouble() {
            return Outcome::unknown(why);
        }
        let asked = self.stream.set_read_timeout(Some(timeout + PATIENCE));
        let asked = asked.and_then(|()| frame::send(&self.stream, &[&program.to_le_bytes(), input]));
        let answer = asked.and_then(|()| frame::receive(&self.stream)).ok().and_then(|answer| Outcome::read(&answer));
        answer.unwrap_or_else(|| {
            self.has_failed.store(true, Ordering::SeqCst);
            self.cut_off();
            Outcome::unknown("was cut off")
        })
    }

    /// None while it does what it is asked, else why not. It waits for no program.
    pub fn trouble(&self) -> Option<&str> {
        // Who waits for the children that are left to process 1 may have waited for this one too.
        let has_ended = || !matches!(lock(&self.process).try_wait(), Ok(None));
        (self.has_failed.load(Ordering::SeqCst) || has_ended()).then_some(&self.ended)
    }

    /// Has the program that runs now, and whatever it has started, killed at once, and lets no other run.
    pub fn cut_off(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Does the same, and waits until nothing is left of it and of what it runs, as long as that can be waited for.
    pub fn end(&self) {
        self.cut_off();
        let deadline = Instant::now() + PATIENCE;
        while matches!(lock(&self.process).try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.end();
    }
}
