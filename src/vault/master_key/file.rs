//! The master key in a file of its own, with the next one beside it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::base::files;
use crate::vault::seal::KeyBytes;

/// A file with the 32 bytes of the key and nothing else, readable by its owner only. The next key has the same name with
/// `.next` behind it.
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub fn next_path(&self) -> PathBuf {
        files::sibling(&self.path, ".next")
    }

    /// Locks the present key: nobody else changes it for as long as the returned file is open.
    ///
    /// # Errors
    /// If there is none, or another process has locked it.
    pub fn lock(&self) -> Result<File, Failure> {
        let fail = |why: &dyn std::fmt::Display| Failure::new(self.path.display(), why);
        let file = File::open(&self.path).map_err(|why| fail(&why))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(fail(&"another process is changing this key")),
            Err(why) => return Err(fail(&why)),
        }
        match file.metadata().and_then(|locked| files::stands_at(&locked, &self.path)) {
            Ok(true) => Ok(file),
            _ => Err(fail(
                &"was changed by another process at the same time; repeat the command if its result is not what you wanted",
            )),
        }
    }

    /// The next key: the one that lies ready, or a new one, which belongs to whom the present one belongs to.
    ///
    /// # Errors
    /// If the one that lies ready is no key, or the disk refuses.
    pub fn prepare_next(&self) -> Result<KeyBytes, Failure> {
        let path = self.next_path();
        if files::is_missing(&path) {
            self.put(&path, &KeyBytes::random()?)?;
        }
        read(&path)
    }

    /// Puts `key` there, where no key is yet, durably. It belongs to whom the directory belongs to.
    ///
    /// # Errors
    /// If there is a file already (it is left as it is), or the disk refuses.
    pub fn create(&self, key: &KeyBytes) -> Result<(), Failure> {
        files::create_dir(files::parent(&self.path)).map_err(|why| Failure::new(self.path.display(), why))?;
        self.put(&self.path, key)
    }

    fn put(&self, path: &Path, key: &KeyBytes) -> Result<(), Failure> {
        let written = (|| {
            let mut fresh = files::Fresh::begin(path, 0o600)?;
            files::give_to_the_owner_of(&self.path, &fresh.file)?;
            fresh.file.write_all(&key[..])?;
            fresh.create()
        })();
        written.map_err(|why: io::Error| Failure::new(path.display(), why))
    }

    /// Puts the next key in the place of the present one, of which it returns where it is kept. At any moment, one of them
    /// is there.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn adopt_next(&self, now: Timestamp) -> Result<PathBuf, Failure> {
        let adopted = (|| {
            let kept = files::keep_before(&self.path, "rekey", now)?;
            files::rename(&self.next_path(), &self.path)?;
            files::sync_parent(&self.path)?;
            Ok(kept)
        })();
        adopted.map_err(|why: io::Error| Failure::new(self.path.display(), why))
    }
}

impl KeyFile {
    /// Whether there is a key. If that cannot be told it says yes, and lets [`load`](Self::load) explain.
    pub fn exists(&self) -> bool {
        !files::is_missing(&self.path)
    }

    /// The present key.
    ///
    /// # Errors
    /// If there is none, or the file is not a key's.
    pub fn load(&self) -> Result<KeyBytes, Failure> {
        read(&self.path)
    }

    /// The key that is to take its place, if one lies ready.
    ///
    /// # Errors
    /// If what lies there is no key.
    pub fn next(&self) -> Result<Option<KeyBytes>, Failure> {
        let path = self.next_path();
        if files::is_missing(&path) { Ok(None) } else { read(&path).map(Some) }
    }

    /// Makes a new key where there is none, durably.
    ///
    /// # Errors
    /// As [`create`](Self::create), and if there are no random bytes.
    pub fn generate(&self) -> Result<KeyBytes, Failure> {
        let key = KeyBytes::random()?;
        self.create(&key)?;
        Ok(key)
    }
}

fn read(path: &Path) -> Result<KeyBytes, Failure> {
    let bytes = files::read_private(path, 32)?;
    KeyBytes::of(&bytes).ok_or_else(|| {
        let why = format!("a master key is exactly 32 bytes, this file has {}", bytes.len());
        Failure::configuration(path.display(), why)
    })
}
