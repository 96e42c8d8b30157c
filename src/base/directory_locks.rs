//! One user of a directory at a time: a second daemon on the same vault would destroy it.

use std::collections::{BTreeMap, btree_map};
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::base::failure::Failure;
use crate::base::files;

/// Directories that no other daemon may use, for as long as this lives (`flock(2)`).
#[derive(Default)]
pub struct DirectoryLocks(BTreeMap<PathBuf, File>);

impl DirectoryLocks {
    /// Locks the directories of `paths`, as far as they exist and are not locked yet.
    ///
    /// # Errors
    /// If another process has one of them.
    pub fn take(&mut self, paths: &[&Path]) -> Result<(), Failure> {
        match self.try_take(paths)? {
            None => Ok(()),
            Some(taken) => Err(Failure::new(taken.display(), "another jarvis-secretsd is using this directory")),
        }
    }

    /// The same; returns the first directory that another process has.
    ///
    /// # Errors
    /// If a directory cannot be opened, or its file system knows no locks.
    pub fn try_take(&mut self, paths: &[&Path]) -> Result<Option<PathBuf>, Failure> {
        for directory in paths.iter().filter_map(|path| files::parent(path).canonicalize().ok()) {
            if let btree_map::Entry::Vacant(unlocked) = self.0.entry(directory) {
                let fail = |why: std::io::Error| Failure::new(unlocked.key().display(), why);
                let file = File::open(unlocked.key()).map_err(fail)?;
                match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => _ = unlocked.insert(file),
                    Err(Errno::WOULDBLOCK) => return Ok(Some(unlocked.into_key())),
                    Err(why) => return Err(fail(why.into())),
                }
            }
        }
        Ok(None)
    }
}
