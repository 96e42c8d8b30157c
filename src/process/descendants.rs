//! A program and everything that it has started, ended together.

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, kill_process_group, set_child_subreaper, wait,
};

/// How long what was killed may take to be gone. A process that waits for a disk cannot be killed before the disk answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes whatever a child leaves behind this process's own child when the child ends, so that
/// [`end_all_children`] finds it.
///
/// # Errors
/// If the system refuses.
pub fn adopt_orphans() -> Result<(), Errno> {
    set_child_subreaper(Some(getpid()))
}

/// Kills every child of this process, and theirs, also those that have left their process group or session: `main` and its
/// group first.
///
/// Returns how `main` ended, if it did, and whether all are gone. This process must have
/// [adopted orphans](adopt_orphans), have one thread, and not wait for children anywhere else.
pub fn end_all_children(main: Pid) -> (Option<WaitStatus>, bool) {
    let mut ended = None;
    // Until it is waited for below, nobody else has its number.
    let _ = kill_process_group(main, Signal::KILL);
    let all_gone = kill_all_children(|pid, status| {
        if pid == main {
            ended = Some(status);
        }
    });
    (ended, all_gone)
}

/// Kills every child of this process, and theirs, until none is left or it has waited too long; `each` is told of each that
/// ends. Returns whether none is left.
fn kill_all_children(mut each: impl FnMut(Pid, WaitStatus)) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while collect(WaitOptions::empty(), &mut each) {
        if Instant::now() >= deadline {
            return false;
        }
        // What is not yet waited for keeps its number, so nobody else is killed. Those below them are ours once they are
        // dead.
        for child in children() {
            let _ = kill_process(child, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Waits for every child that has ended by now, also one that was adopted, and for what else `options` name: `each` is told of
/// them. Returns whether children are left.
fn collect(options: WaitOptions, mut each: impl FnMut(Pid, WaitStatus)) -> bool {
    loop {
        match wait(options | WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => each(pid, status),
            Err(Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Waits for every child that has ended by now. Process 1 of a container is given those that nobody else waits for.
pub fn collect_ended() {
    collect(WaitOptions::empty(), |_, _| {});
}

/// A program at work as a child of this process, and everything that it has started and that is this process's own: all of it, if
/// this process has [adopted orphans](adopt_orphans). It must not wait for children anywhere else.
pub struct Tree {
    main: Pid,
    ended: Option<WaitStatus>,
    /// Those of the rest that were told to end.
    told: HashSet<Pid>,
}

impl Tree {
    /// Starts the program.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(program: &mut Command) -> io::Result<Self> {
        let child = program.spawn()?;
        Ok(Self { main: Pid::from_child(&child), ended: None, told: HashSet::new() })
    }

    /// Sends a signal to the program itself, if it has not ended.
    pub fn signal(&self, signal: Signal) {
        // Until it is waited for, nobody else has its number.
        if self.ended.is_none() {
            let _ = kill_process(self.main, signal);
        }
    }

    /// Sends a signal to the program's process group, if it leads one and has not ended.
    pub fn signal_group(&self, signal: Signal) {
        if self.ended.is_none() {
            let _ = kill_process_group(self.main, signal);
        }
    }

    /// Takes note of what has become of its processes.
    pub fn look(&mut self) -> Seen {
        let (main, ended) = (self.main, &mut self.ended);
        let mut is_stopped = false;
        let is_left = collect(WaitOptions::UNTRACED, |pid, status| match status.stopped() {
            true => is_stopped |= pid == main,
            false if pid == main => *ended = Some(status),
            false => {}
        });
        match self.ended {
            None if is_stopped => Seen::Stopped,
            None => Seen::Running,
            Some(status) if is_left => Seen::Remains(ExitStatus::from_raw(status.as_raw())),
            Some(status) => Seen::Gone(ExitStatus::from_raw(status.as_raw())),
        }
    }

    /// Tells the processes that the program has left behind to end, each once. Those below them are found when they have.
    pub fn end_remains(&mut self) {
        for child in children() {
            if self.told.insert(child) {
                let _ = kill_process(child, Signal::TERM);
            }
        }
    }

    /// Kills all of it, and waits for its end, for at most ten seconds: a process that waits for a disk takes its time.
    pub fn kill(&mut self) {
        let (main, ended) = (self.main, &mut self.ended);
        kill_all_children(|pid, status| {
            if pid == main {
                *ended = Some(status);
            }
        });
    }
}

/// What there is of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Running,
    /// It was stopped, as by `^Z`.
    Stopped,
    /// It has ended like this, and has left processes behind.
    Remains(ExitStatus),
    /// It has ended like this, and nothing is left of it.
    Gone(ExitStatus),
}

/// The children of this process.
///
/// The kernel lists them for each thread (`/proc/self/task/*/children`, proc(5)), also those that `ProtectProc=invisible` hides
/// because they let nobody debug them, as an agent that keeps keys does. A kernel that does not is asked for all processes.
fn children() -> Vec<Pid> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let listed: Vec<String> =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok()).collect();
    match listed.is_empty() {
        true => seen_children(),
        false => listed.iter().flat_map(|pids| pids.split_whitespace()).filter_map(pid).collect(),
    }
}

fn pid(digits: &str) -> Option<Pid> {
    Pid::from_raw(digits.parse().ok()?)
}

/// Those of its children that `/proc` shows.
fn seen_children() -> Vec<Pid> {
    let me = getpid().as_raw_pid().to_string();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let child = |name: &str| {
        let pid = pid(name)?;
        // pid (name) state parent …, where the name may hold anything.
        let stat = fs::read(format!("/proc/{name}/stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        (stat.rsplit(')').next()?.split_whitespace().nth(1)? == me).then_some(pid)
    };
    processes.filter_map(|entry| child(entry.ok()?.file_name().to_str()?)).collect()
}
