//! A program that watches secrets, with a command of its own, both at work.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::site::{Site, eventually};

/// It has a process group of its own, which is killed with the test.
pub struct Watching {
    child: Child,
    site: Site,
}

impl Watching {
    /// Starts it; what is written goes to the site's files `stdout` and `stderr`.
    pub fn start(site: &Site, mut program: Command) -> Self {
        let file = |name| File::create(site.path(name)).unwrap();
        program.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr")).process_group(0);
        Self { child: program.spawn().unwrap(), site: site.clone() }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it has said itself.
    pub fn said(&self) -> String {
        self.site.read("stderr")
    }

    /// Waits until it says these words.
    pub fn await_words(&self, words: &str) {
        eventually(&format!("it says: {words}"), || self.said().contains(words).then_some(()));
    }

    /// Waits until the command has written exactly this.
    pub fn await_written(&self, text: &str) {
        self.await_file("stdout", text);
    }

    /// Waits until exactly this is in a file of the site.
    pub fn await_file(&self, name: &str, text: &str) {
        eventually(&format!("{name} holds {text:?}"), || {
            let found = std::fs::read_to_string(self.site.path(name)).unwrap_or_default();
            assert!(found.len() <= text.len(), "{name} holds {found:?} and not {text:?}\n{}", self.said());
            (found == text).then_some(())
        });
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it ends.
    pub fn ended(&mut self) -> ExitStatus {
        eventually("it ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}
