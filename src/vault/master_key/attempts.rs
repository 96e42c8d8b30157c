//! How often unwrapping the master key has failed in a row, counted in a file, over restarts too.
//!
//! A device counts wrong PINs, and is locked after a few: it must not be asked again and again by a service manager that
//! starts the daemon anew.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::base::failure::Failure;
use crate::base::files;

/// The attempts that are not known to have succeeded, a byte in the file for each.
pub struct Attempts {
    path: PathBuf,
    /// After how many no further one is made; none: they are not counted.
    most: Option<u32>,
}

impl Attempts {
    /// Those for the vault at `vault`, beside which the file is: its path with `.unwrap-failures` behind it.
    pub fn beside(vault: &Path, most: Option<u32>) -> Self {
        Self { path: files::sibling(vault, ".unwrap-failures"), most }
    }

    /// Counts an attempt, durably, before it is made: what ends this process meanwhile is no way to more of them.
    ///
    /// # Errors
    /// If there were too many, or it cannot be counted.
    pub fn begin(&self) -> Result<(), Failure> {
        let Some(most) = self.most else { return Ok(()) };
        let fail = |why: io::Error| Failure::new(self.path.display(), why);
        let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits() as i32;
        let open = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(&self.path);
        let mut file = open.map_err(fail)?;
        let count = file.metadata().map_err(fail)?.len();
        if count >= u64::from(most) {
            let times = if count == 1 { "once".to_owned() } else { format!("{count} times in a row") };
            let why = format!(
                "[master_key] unwrap has failed {times} and is not tried again, so that the device is not \
                 locked: put it right, remove this file, and start again"
            );
            return Err(Failure::configuration(self.path.display(), why));
        }
        if count == 0 {
            files::give_to_the_owner_of(files::parent(&self.path), &file).map_err(fail)?;
            files::sync_parent(&self.path).map_err(fail)?;
        }
        file.write_all(b"x").and_then(|()| file.sync_all()).map_err(fail)
    }

    /// Forgets them all: one has succeeded.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn forget(&self) -> Result<(), Failure> {
        let fail = |why: io::Error| Failure::new(self.path.display(), why);
        if self.most.is_none() {
            return Ok(());
        }
        match std::fs::remove_file(&self.path) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(fail(why)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::files::scratch;

    #[test]
    fn after_so_many_failures_none_is_tried_until_the_file_is_removed() {
        let vault = scratch("attempts").join("vault.json");
        let attempts = Attempts::beside(&vault, Some(2));
        attempts.begin().unwrap();
        attempts.forget().unwrap();
        attempts.begin().unwrap();
        attempts.begin().unwrap();
        let why = Attempts::beside(&vault, Some(2)).begin().unwrap_err().to_string();
        assert!(why.contains("vault.json.unwrap-failures: [master_key] unwrap has failed 2 times in a row"), "{why}");
        std::fs::remove_file(files::sibling(&vault, ".unwrap-failures")).unwrap();
        attempts.begin().unwrap();
    }

    #[test]
    fn without_a_limit_nothing_is_written() {
        let vault = scratch("attempts-none").join("vault.json");
        Attempts::beside(&vault, None).begin().unwrap();
        assert!(files::is_missing(&files::sibling(&vault, ".unwrap-failures")));
    }
}
