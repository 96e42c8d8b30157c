//! What the daemon's process takes, in figures.

use std::fs;

use rustix::process::Pid;

use crate::client::Client;

/// A figure of a process in `/proc`: a count, or KiB.
pub fn figure(pid: Pid, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

/// How many files it has open, as it says itself.
pub fn open_files(client: &mut Client) -> u64 {
    let page = client.metrics();
    let value = page.lines().find_map(|line| line.strip_prefix("jarvis_secretsd_process_open_fds "));
    value.unwrap().parse().unwrap()
}
