//! The file under the log: appended to, or written anew beside it and put in its place.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(test)]
use super::faults::Faults;
#[cfg(test)]
use crate::base::files::faults::strike;
use crate::base::files::{self, AppendedFile, AtPath};

/// How many bytes of a successor are written before they are synced. All at once would hold up those who sync a change
/// meanwhile, on a file system that has one journal for both.
const BETWEEN_SYNCS: u64 = 4 << 20;

/// Content that is to replace the present one.
pub struct Successor {
    path: PathBuf,
    file: io::BufWriter<File>,
    length: u64,
    synced: u64,
}

/// Content whose place another one has taken. Dropping it gives its space back, which takes the longer the more it is: nobody
/// should have to wait for that.
#[must_use = "it is to be dropped where no lock is held"]
pub struct Retired {
    _file: Arc<File>,
}

impl Successor {
    /// Makes durable what was written so far.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.synced = self.length;
        self.file.get_ref().sync_data()
    }
}

impl Drop for Successor {
    /// One that was not put in place leaves nothing behind; one that was no longer has this name.
    fn drop(&mut self) {
        let _ = remove_leftover(&self.path);
    }
}

impl Write for Successor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.length += written as u64;
        if self.length - self.synced >= BETWEEN_SYNCS {
            self.sync()?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A log of bytes in a file, which survives a crash.
///
/// Assumed of the file system: `fdatasync` and `fsync` return when the data are durable or fail; a rename is atomic;
/// bytes that were never synced may be lost, torn or zero after a crash, bytes before them may not.
pub struct FileStore {
    file: AppendedFile,
    /// There may be bytes behind its end that a failure left, or the file may have refused a sync.
    suspect: bool,
    /// Some of those may be of the last append.
    unsettled: bool,
    /// The file may have come into its place by a rename that is not yet durable.
    name_pending: bool,
    #[cfg(test)]
    pub faults: Arc<Faults>,
}

impl FileStore {
    /// Opens the file at `path`, which must exist, and changes nothing.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: AppendedFile::open(path)?,
            suspect: false,
            unsettled: false,
            // A daemon that was killed may have left it so.
            name_pending: true,
            #[cfg(test)]
            faults: Arc::default(),
        })
    }

    /// How many bytes are kept, durably.
    pub fn length(&self) -> u64 {
        self.file.length()
    }

    /// Reads what is kept, from byte `from` on.
    pub fn reader(&self, from: u64) -> impl Read + use<> {
        let limit = self.length().saturating_sub(from);
        Reader { file: self.file.file().clone(), at: from }.take(limit)
    }

    /// Appends `bytes`. When it returns they are durable; when it fails, none of them is there.
    ///
    /// It fails with [`NotFound`](io::ErrorKind::NotFound) or [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the file was
    /// deleted or changed by somebody else: a successor then takes its place.
    ///
    /// What a failure leaves behind on a disk that refuses everything is cut off before anything else is appended, or at
    /// the next start.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unsettled = false;
        if self.suspect {
            self.repair()?;
        }
        self.sync_name()?;
        let end = self.length();
        if let Err(why) = self.write_durably(bytes) {
            self.file.end_at(end);
            self.suspect = true;
            // At once if possible, so that a failed change does not come back with a crash.
            let _ = self.repair();
            return Err(why);
        }
        #[cfg(test)]
        strike(&self.faults.panics).expect("a test asked for it");
        Ok(())
    }

    /// Appends `bytes`, which need not survive a crash: there is another copy of them.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_unsynced(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.suspect {
            self.repair()?;
        }
        let end = self.length();
        let written = self.check().and_then(|()| {
            #[cfg(test)]
            strike(&self.faults.writes)?;
            self.file.append(bytes)
        });
        if written.is_err() {
            self.file.end_at(end);
            self.suspect = true;
            let _ = self.repair();
        }
        written
    }

    /// Takes back what was appended behind byte `length`, by the same rule.
    pub fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.end_at(length);
        (self.suspect, self.unsettled) = (true, true);
        self.repair()
    }

    /// How many bytes of another content there is room for beside the present one.
    pub fn room(&self) -> io::Result<u64> {
        #[cfg(test)]
        if let Some(room) = self.faults.room() {
            return Ok(room);
        }
        let system = rustix::fs::fstatvfs(self.file.file())?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    }

    /// Whether nothing of the last append can come back with a crash, if it failed or was cut off.
    pub fn is_settled(&self) -> bool {
        !self.unsettled
    }

    /// Begins another content. The present one stays in force until [`replace`](Self::replace).
    pub fn begin_successor(&self) -> io::Result<Successor> {
        #[cfg(test)]
        strike(&self.faults.successors)?;
        let ours = self.file.path();
        files::create_dir(files::parent(ours))?;
        let path = files::sibling(ours, ".compacting");
        remove_leftover(&path)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        // Without a daemon, root may be writing for it.
        files::give_to_the_owner_of(ours, &file)?;
        Ok(Successor { path, file: io::BufWriter::with_capacity(1 << 16, file), length: 0, synced: 0 })
    }

    /// Puts another content in place of the present one: after a crash there is the one or the other, whole.
    pub fn replace(&mut self, mut successor: Successor) -> io::Result<Retired> {
        #[cfg(test)]
        strike(&self.faults.replacements)?;
        successor.sync()?;
        let file = successor.file.get_ref().try_clone()?;
        if self.file.look()?.1 == AtPath::Another {
            return Err(exchanged());
        }
        files::rename(&successor.path, self.file.path())?;
        let retired = Retired { _file: self.file.go_on_in(file, successor.length) };
        (self.suspect, self.unsettled) = (false, false);
        // Until the rename is durable a crash brings back the old file, which says the same up to now but will not get
        // what is appended later. If it cannot be made durable now, it is before anything is appended.
        self.name_pending = true;
        let _ = self.sync_name();
        Ok(retired)
    }

    fn write_durably(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        self.unsettled = true;
        #[cfg(test)]
        strike(&self.faults.writes)?;
        self.file.append(bytes)?;
        #[cfg(test)]
        strike(&self.faults.syncs)?;
        self.file.file().sync_data()?;
        self.unsettled = false;
        Ok(())
    }

    /// Checks that the file is still in its place and ends where it should.
    fn check(&self) -> io::Result<()> {
        let (ours, at_path) = self.file.look()?;
        check_is_itself(at_path, &ours)?;
        if ours.len() == self.length() { Ok(()) } else { Err(changed()) }
    }

    fn sync_name(&mut self) -> io::Result<()> {
        if self.name_pending {
            self.file.sync_place()?;
            self.name_pending = false;
        }
        Ok(())
    }

    /// Cuts off what is behind the file's end, through a fresh descriptor.
    fn repair(&mut self) -> io::Result<()> {
        #[cfg(test)]
        strike(&self.faults.cuts)?;
        let at_path = self.file.reopen()?;
        let ours = self.file.file().metadata()?;
        check_is_itself(at_path, &ours)?;
        if ours.len() < self.length() {
            return Err(changed());
        }
        self.file.cut_rest()?;
        self.file.file().sync_all()?;
        (self.suspect, self.unsettled) = (false, false);
        Ok(())
    }
}

/// Reads from a byte on, whatever others do with the file's own position.
struct Reader {
    file: Arc<File>,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Fails if it is not the file, whose metadata are `ours`, that stands at its path.
fn check_is_itself(at_path: AtPath, ours: &Metadata) -> io::Result<()> {
    match at_path {
        AtPath::Itself => Ok(()),
        // That is somebody else's to move.
        AtPath::Another => Err(exchanged()),
        AtPath::Nothing => {
            let what = if ours.nlink() == 0 { "deleted" } else { "moved away" };
            let why = format!("the file was {what} while the daemon was using it");
            Err(io::Error::new(io::ErrorKind::NotFound, why))
        }
    }
}

fn exchanged() -> io::Error {
    io::Error::other("another file stands in its place; restart to use that one, or move it away")
}

fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "another program changed the file while the daemon was using it")
}

/// Removes what a compaction left at `path` that a crash interrupted.
pub fn remove_leftover(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(name: &str) -> (FileStore, PathBuf) {
        let path = files::scratch(&format!("store-{name}")).join("vault.json");
        files::create(&path, 0o600, b"head\n").unwrap();
        (FileStore::open(&path).unwrap(), path)
    }

    fn content(store: &FileStore) -> String {
        let mut text = String::new();
        store.reader(0).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_was_appended_is_there_until_it_is_cut() {
        let (mut store, path) = store("append");
        store.append(b"one\n").unwrap();
        store.append(b"two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\none\ntwo\n");
        store.cut(9).unwrap();
        assert_eq!(content(&store), "head\none\n");
        store.append(b"three\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\none\nthree\n");
    }

    #[test]
    fn a_successor_takes_over_in_one_step() {
        let (mut store, path) = store("successor");
        let mut successor = store.begin_successor().unwrap();
        successor.write_all(b"new head\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\n");
        drop(store.replace(successor).unwrap());
        store.append(b"one\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new head\none\n");
        assert_eq!(store.length(), 13);
    }

    #[test]
    fn appending_to_a_deleted_file_fails_until_a_successor_is_in_its_place() {
        let (mut store, path) = store("deleted");
        std::fs::remove_file(&path).unwrap();
        assert!(store.append(b"lost\n").unwrap_err().to_string().contains("deleted"));
        let mut successor = store.begin_successor().unwrap();
        io::copy(&mut store.reader(0), &mut successor).unwrap();
        drop(store.replace(successor).unwrap());
        store.append(b"one\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\none\n");
    }

    #[test]
    fn a_file_that_was_exchanged_is_not_written_to_after_a_failure() {
        let (mut store, path) = store("exchanged");
        let other = files::sibling(&path, ".other");
        std::fs::write(&other, "somebody else's").unwrap();
        std::fs::rename(&other, &path).unwrap();
        store.suspect = true;
        assert!(store.append(b"x\n").unwrap_err().to_string().contains("another file"));
        assert!(store.is_settled(), "nothing of it was written");
        assert!(store.cut(0).is_err() && !store.is_settled());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody else's");
    }
}
