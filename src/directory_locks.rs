//! One user of a directory at a time: a second daemon on the same vault would destroy it.

use std::collections::{BTreeMap, btree_map};
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::failure::Failure;
use crate::files;

/// Directories that no other daemon may use, for as long as this lives (`flock(2)`).
#[derive(Default)]
pub struct DirectoryLocks(BTreeMap<PathBuf, File>);

impl DirectoryLocks {
    /// Locks the directories of `paths`, as far as they exist and are not locked yet.
    ///
    /// # Errors
    /// If another process has one of them.
    pub fn take(&mut self, paths: &[&Path]) -> Result<(), Failure> {
        for directory in paths.iter().filter_map(|path| files::parent(path).canonicalize().ok()) {
            if let btree_map::Entry::Vacant(unlocked) = self.0.entry(directory) {
                let lock = Self::lock(unlocked.key())?;
                unlocked.insert(lock);
            }
        }
        Ok(())
    }

    fn lock(directory: &Path) -> Result<File, Failure> {
        let fail = |why: &dyn std::fmt::Display| Failure::new(directory.display(), why);
        let file = File::open(directory).map_err(|why| fail(&why))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(fail(&"another jarvis-secretsd is using this directory")),
            Err(why) => Err(fail(&why)),
        }
    }
}
