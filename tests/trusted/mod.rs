//! Programs where nobody but root and the user of the tests could change them, which a directory for all, such as /tmp, is
//! not.
#![allow(dead_code, reason = "each test needs something else")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use jarvis_secretsd::programs::check_program;
use rustix::process::geteuid;

/// A directory for programs. It goes with this.
pub struct Trusted(PathBuf);

impl Trusted {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("jarvis-trusted-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let home = std::env::var("HOME").unwrap_or_default();
        let run = format!("/run/user/{}", geteuid().as_raw());
        let places = [env!("CARGO_TARGET_TMPDIR"), &home, &run, "/var/lib"];
        for place in places {
            let directory = Self(Path::new(place).join(&name));
            let is_made = fs::create_dir(&directory.0).is_ok();
            // A daemon that root starts becomes another user, who must get there.
            let is_open = !geteuid().is_root() || is_open_to_all(Path::new(place));
            if is_made
                && is_open
                && check_program(&directory.program("true", "#!/bin/sh\n"), geteuid().as_raw()).is_ok()
            {
                return directory;
            }
        }
        panic!("others may write in, or above, each of {places:?}: chmod go-w one of them");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a program, and returns where it is.
    pub fn program(&self, name: &str, text: &str) -> PathBuf {
        fs::set_permissions(&self.0, Permissions::from_mode(0o755)).unwrap();
        let (path, draft) = (self.path(name), self.path(&format!("{name}.draft")));
        fs::write(&draft, text).unwrap();
        // By another process: what this one has open for writing, a child of another test may have open too for a moment,
        // and such a program cannot be run.
        assert!(Command::new("cp").arg(&draft).arg(&path).status().unwrap().success());
        // Whatever the umask is, it would be a file beside the program that others may write.
        fs::remove_file(&draft).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }
}

impl Drop for Trusted {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn is_open_to_all(directory: &Path) -> bool {
    directory.ancestors().all(|above| fs::metadata(above).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0))
}

/// The processes that were started with `marker` in their arguments and have not ended.
pub fn processes_with(marker: &str) -> Vec<i32> {
    let marker = marker.as_bytes();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let has_marker = |pid: &i32| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.windows(marker.len()).any(|part| part == marker)
    };
    processes.filter(has_marker).collect()
}
