//! The file under the log: appended to whole batch by whole batch, or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::segment;
use crate::base::files::{self, AppendedFile, AtPath};
use crate::base::sync::lock;

/// The log's newest file.
pub struct LogFile {
    file: AppendedFile,
    /// Of the open file, for those who sync it: see [`Handle`].
    sync_has_failed: Arc<Mutex<bool>>,
    #[cfg(test)]
    pub faults: Arc<super::faults::Faults>,
}

impl LogFile {
    /// Opens the file at `path`, which must exist, to go on behind byte `length`.
    pub fn open(path: &Path, length: u64) -> io::Result<Self> {
        let mut file = AppendedFile::open(path)?;
        file.end_at(length);
        Ok(Self {
            file,
            sync_has_failed: Arc::default(),
            #[cfg(test)]
            faults: Arc::default(),
        })
    }

    pub fn path(&self) -> &Path {
        self.file.path()
    }

    pub fn length(&self) -> u64 {
        self.file.length()
    }

    /// Gives the file to whom the one at `other` belongs to.
    pub fn give_to_the_owner_of(&self, other: &Path) -> io::Result<()> {
        files::give_to_the_owner_of(other, self.file.file())
    }

    /// The open file, to sync it without holding up those who append.
    pub fn handle(&self) -> Handle {
        Handle {
            file: self.file.file().clone(),
            has_failed: self.sync_has_failed.clone(),
            #[cfg(test)]
            faults: self.faults.clone(),
        }
    }

    /// What somebody else has done to the file so that logging cannot continue in it, in words.
    ///
    /// # Errors
    /// If it was cut, and a part of it still stands in its place.
    pub fn loss(&self) -> io::Result<Option<&'static str>> {
        let ours = self.file.file().metadata()?;
        if ours.nlink() == 0 {
            return Ok(Some("deleted"));
        }
        if ours.len() >= self.length() {
            return Ok(None);
        }
        // What a logrotate that copies and truncates leaves.
        if ours.len() == 0 || !self.is_in_place()? {
            return Ok(Some("cut"));
        }
        Err(io::Error::other(
            "it was truncated while the daemon was using it; move it away, and the daemon continues in a new file",
        ))
    }

    /// Whether it is this file that stands at its path.
    pub fn is_in_place(&self) -> io::Result<bool> {
        let (_, at_path) = self.file.look()?;
        Ok(at_path == AtPath::Itself)
    }

    /// Takes away other names of the file, which a rotation that came to nothing or a kill has left. While it has one, nobody
    /// would notice its deletion.
    pub fn forget_other_names(&self) -> io::Result<()> {
        let log = self.path();
        files::forget_names(self.file.file(), log, |name| {
            segment::last_line(log, name).is_some() || files::is_unfinished(log, name)
        })
    }

    pub fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        self.faults.write(self.file.file(), batch, self.length())?;
        self.file.append(batch)
    }

    /// Cuts off what a failed [`append`](Self::append) left.
    pub fn cut_rest(&self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.set_len()?;
        self.file.cut_rest()
    }

    /// Opens the file anew, unless it was renamed, and makes `bytes` the durable rest of it from byte `from` on, and its place
    /// durable too.
    ///
    /// They are written once more: after a failed sync the system no longer holds them to be unwritten.
    pub fn rewrite(&mut self, from: u64, bytes: &[u8]) -> io::Result<()> {
        if self.file.reopen()? == AtPath::Itself {
            self.sync_has_failed = Arc::default();
        }
        if self.file.file().metadata()?.len() < from {
            return Err(io::Error::other("it was truncated while the daemon was using it"));
        }
        self.file.write_from(from, bytes)?;
        *lock(&self.sync_has_failed) = false;
        self.cut_rest()?;
        self.handle().sync()?;
        self.sync_place()
    }

    /// Makes durable that the file stands at its path.
    pub fn sync_place(&self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.step()?;
        self.file.sync_place()
    }

    /// Begins a new file at the path with `first` in it, which is synced; it is never there without that. Returns whether it
    /// is surely going to stay there: if not, [`rewrite`](Self::rewrite) makes sure.
    ///
    /// # Errors
    /// If something else stands there that is not empty, or the disk refuses; logging then continues in the present
    /// file.
    pub fn begin_anew(&mut self, first: &[u8]) -> io::Result<bool> {
        match self.path().symlink_metadata() {
            Ok(there) if there.len() > 0 => {
                return Err(io::Error::other("another file stands in the log's place; move it away"));
            }
            // A logrotate that creates the new file itself leaves an empty one.
            Ok(_) => std::fs::remove_file(self.path())?,
            Err(_) => {}
        }
        let mut fresh = files::Fresh::begin(self.path(), 0o600)?;
        fresh.file.write_all(first)?;
        let file = fresh.file.try_clone()?;
        let created = fresh.create();
        // Once it stands there it is the log's next file, or its line and what the old one would go on with were two logs.
        let is_durable = match created {
            Ok(()) => true,
            Err(_) if files::stands_at(&file.metadata()?, self.path())? => false,
            Err(why) => return Err(why),
        };
        self.go_on_in(file, first);
        Ok(is_durable)
    }

    /// Gives the file, which must be synced and have no other name, the name `closed`, and begins a new one with `first` in it
    /// at the path. A file stands there at any moment, and a crash leaves the one or the other;
    /// [`sync_place`](Self::sync_place) settles which.
    ///
    /// # Errors
    /// If something of that name is there already, or the disk refuses; logging then continues in the same file.
    pub fn rotate(&mut self, closed: &Path, first: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        self.faults.step()?;
        // Unlike a rename, a link never replaces what is there.
        std::fs::hard_link(self.path(), closed)?;
        // If not even the removal succeeds, the next rotation or start tries again.
        let file = self.put_anew(first).inspect_err(|_| _ = std::fs::remove_file(closed))?;
        self.go_on_in(file, first);
        Ok(())
    }

    /// Puts a new file with `first` in it in place of the present one, whose second name must outlast the first one.
    fn put_anew(&self, first: &[u8]) -> io::Result<File> {
        self.sync_place()?;
        #[cfg(test)]
        self.faults.step()?;
        let mut fresh = files::Fresh::begin(self.path(), 0o600)?;
        fresh.file.write_all(first)?;
        let file = fresh.file.try_clone()?;
        #[cfg(test)]
        self.faults.step()?;
        if !self.is_in_place()? {
            return Err(io::Error::other("another file stands in the log's place; move it away"));
        }
        fresh.put()?;
        Ok(file)
    }

    /// Goes on in `file`, which stands at the path and has `first` in it.
    fn go_on_in(&mut self, file: File, first: &[u8]) {
        self.file.go_on_in(file, first.len() as u64);
        self.sync_has_failed = Arc::default();
    }
}

/// The open file, apart from where it is appended to.
pub struct Handle {
    file: Arc<File>,
    /// A sync has failed, of which the system tells only once: no later one says whether what was written before is safe.
    has_failed: Arc<Mutex<bool>>,
    #[cfg(test)]
    faults: Arc<super::faults::Faults>,
}

impl Handle {
    /// Makes durable what was written.
    ///
    /// # Errors
    /// If that fails, or did so before: until [`LogFile::rewrite`] it always does.
    pub fn sync(&self) -> io::Result<()> {
        let mut has_failed = lock(&self.has_failed);
        if *has_failed {
            return Err(io::Error::other("a sync of it has failed"));
        }
        let synced = self.sync_data();
        *has_failed = synced.is_err();
        synced
    }

    fn sync_data(&self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.sync()?;
        self.file.sync_data()
    }
}
