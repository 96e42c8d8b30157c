//! A program and everything that it has started, ended together.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

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
    let deadline = Instant::now() + PATIENCE;
    let mut ended = None;
    // Until it is waited for below, nobody else has its number.
    let _ = kill_process_group(main, Signal::KILL);
    loop {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == main => ended = Some(status),
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return (ended, true),
            }
        }
        if Instant::now() >= deadline {
            return (ended, false);
        }
        // What is not yet waited for keeps its number, so nobody else is killed. Those below them are ours once they are
        // dead.
        for child in children() {
            let _ = kill_process(child, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// The children of this process, as `/proc` tells them.
fn children() -> Vec<Pid> {
    let me = getpid().as_raw_pid().to_string();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let child = |name: &str| {
        let pid = Pid::from_raw(name.parse().ok()?)?;
        // pid (name) state parent …, where the name may hold anything.
        let stat = fs::read(format!("/proc/{name}/stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        (stat.rsplit(')').next()?.split_whitespace().nth(1)? == me).then_some(pid)
    };
    processes.filter_map(|entry| child(entry.ok()?.file_name().to_str()?)).collect()
}
