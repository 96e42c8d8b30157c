//! What was read from files, and is read again when they change.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

use crate::base::failure::Failure;
use crate::base::sync::lock;

/// How often the files are looked at, at most.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// A `T` that was read from files. They are looked at when it is asked for, at most once a second. What cannot be read changes
/// nothing: what was in force before stays so, and the log says why.
pub struct Watched<T> {
    /// What the log calls it.
    what: &'static str,
    paths: Vec<PathBuf>,
    read: Box<dyn Fn() -> Result<T, Failure> + Send + Sync>,
    in_force: Mutex<Arc<T>>,
    watch: Mutex<Watch>,
    /// Whether what is in force is what the files held when they were last read.
    is_current: AtomicBool,
}

/// What the files looked like when they were last read.
struct Watch {
    looked: Instant,
    seen: Vec<Option<Fingerprint>>,
}

impl<T> Watched<T> {
    /// Has `read` read the files at `paths`, the first of which the log names.
    ///
    /// # Errors
    /// That of `read`.
    pub fn load(
        what: &'static str,
        paths: Vec<PathBuf>,
        read: impl Fn() -> Result<T, Failure> + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        let seen = fingerprints(&paths);
        let in_force = Mutex::new(Arc::new(read()?));
        let watch = Mutex::new(Watch { looked: Instant::now(), seen });
        Ok(Self { what, paths, read: Box::new(read), in_force, watch, is_current: AtomicBool::new(true) })
    }

    /// Reads the files again, whether they have changed or not. Logs what came of it.
    pub fn reload(&self) {
        self.read_again(&mut lock(&self.watch));
    }

    /// What is in force. If the files have changed, they are read before.
    pub fn in_force(&self) -> Arc<T> {
        // One thread looks; the others do not wait for a slow disk.
        let watch = match self.watch.try_lock() {
            Ok(watch) => Some(watch),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(mut watch) = watch
            && watch.looked.elapsed() >= BETWEEN_LOOKS
        {
            if fingerprints(&self.paths) == watch.seen {
                watch.looked = Instant::now();
            } else {
                self.read_again(&mut watch);
            }
        }
        lock(&self.in_force).clone()
    }

    /// Whether what is in force is what the files held when they were last read.
    pub fn is_current(&self) -> bool {
        self.is_current.load(Ordering::Relaxed)
    }

    fn read_again(&self, watch: &mut Watch) {
        // Taken before the files are read: what changes meanwhile is then seen as a change.
        let seen = fingerprints(&self.paths);
        *watch = Watch { looked: Instant::now(), seen };
        let read = (self.read)();
        self.is_current.store(read.is_ok(), Ordering::Relaxed);
        match read {
            Ok(read) => {
                *lock(&self.in_force) = Arc::new(read);
                log::info!("{} reloaded: {}", self.what, self.paths[0].display());
            }
            Err(why) => log::error!("{} not reloaded, the old one stays in force: {why}", self.what),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("paths", &self.paths).field("in_force", &self.in_force).finish_non_exhaustive()
    }
}

/// What tells a file from the one that was there before: a rename or a new symbolic link changes the inode, and every
/// write the time of the change.
#[derive(Debug, PartialEq, Eq)]
struct Fingerprint {
    device: u64,
    inode: u64,
    len: u64,
    changed: (i64, i64),
}

impl Fingerprint {
    fn of(path: &Path) -> Option<Self> {
        let meta = path.metadata().ok()?;
        let changed = (meta.ctime(), meta.ctime_nsec());
        Some(Self { device: meta.dev(), inode: meta.ino(), len: meta.len(), changed })
    }
}

fn fingerprints(paths: &[PathBuf]) -> Vec<Option<Fingerprint>> {
    paths.iter().map(|path| Fingerprint::of(path)).collect()
}
