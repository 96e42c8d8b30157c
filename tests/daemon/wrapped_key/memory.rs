//! No copy of the master key is left in the daemon's memory once it serves.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use super::Stage;
use crate::needs;
use crate::running::Daemon;
use crate::site::{MASTER_KEY, Site};

/// How often `key` is in what the process has mapped and may read.
fn copies(daemon: &Daemon, key: &[u8]) -> usize {
    let pid = daemon.pid().as_raw_pid();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut count = 0;
    let mut bytes = 0;
    for line in maps.lines().filter(|line| !line.ends_with("[vvar]") && !line.ends_with("[vsyscall]")) {
        let (range, rest) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut part = vec![0; (to - from) as usize];
        if rest.starts_with('r') && memory.read_exact_at(&mut part, from).is_ok() {
            bytes += part.len();
            count += part.windows(key.len()).filter(|window| *window == key).count();
        }
    }
    assert!(bytes > 1 << 20, "it was not its memory that was read");
    count
}

#[test]
fn no_copy_of_the_master_key_is_left_in_memory_after_a_start_or_a_rekey() {
    if !needs::to_be_root() {
        return;
    }
    let stage = Stage::with_a_secret();
    let daemon = stage.site.start();
    let vault_id = stage.site.read("state/secrets/vault.json");
    let vault_id = vault_id.split("\"vault_id\":\"").nth(1).unwrap();
    assert_ne!(copies(&daemon, &vault_id.as_bytes()[..32]), 0, "what is there is found");
    assert_eq!(copies(&daemon, &stage.key()), 0);
    let before = stage.key();
    let addr = format!("http://{}", daemon.addr());
    let rekeyed = stage.site.command("rekey").args(["--addr", &addr, "--client", "admin"]).output().unwrap();
    assert!(rekeyed.status.success());
    assert_eq!((copies(&daemon, &before), copies(&daemon, &stage.key())), (0, 0));

    let clear = Site::new();
    clear.start().stop();
    let daemon = clear.start();
    assert_eq!(copies(&daemon, &fs::read(clear.path(MASTER_KEY)).unwrap()), 0);
}
