//! A file that is appended to, at a path from which others can take it away.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use super::directories::sync_parent;
use super::names::{AtPath, at_path, is_same};

/// A file whose end is known here, whatever a failed write has left behind it.
pub struct AppendedFile {
    path: PathBuf,
    file: Arc<File>,
    length: u64,
}

impl AppendedFile {
    /// Opens the regular file at `path`, which must exist, and no symbolic link to one. It changes nothing.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("is not a regular file"));
        }
        Ok(Self { path: path.to_owned(), file: Arc::new(file), length: meta.len() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it ends, and the next bytes go.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The open file, which others can read and sync meanwhile.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// The file as it is now, and what stands at its path.
    pub fn look(&self) -> io::Result<(Metadata, AtPath)> {
        let meta = self.file.metadata()?;
        let at_path = at_path(&meta, &self.path)?;
        Ok((meta, at_path))
    }

    /// Writes `bytes` behind its end; they are not durable until it is synced. If that fails, its end stays where it was, and what
    /// was written lies behind it.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_from(self.length, bytes)
    }

    /// The same from byte `from` on, which is not behind its end. It then ends with `bytes`.
    pub fn write_from(&mut self, from: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, from)?;
        self.length = from + bytes.len() as u64;
        Ok(())
    }

    /// It ends at byte `length` from now on. What is behind that stays until [`cut_rest`](Self::cut_rest).
    pub fn end_at(&mut self, length: u64) {
        self.length = length;
    }

    /// Cuts off what is behind its end. That is not durable until it is synced.
    pub fn cut_rest(&self) -> io::Result<()> {
        self.file.set_len(self.length)
    }

    /// Opens it anew if it still stands at its path, which is returned: after a failed sync, what the old descriptor says of
    /// a later one is not trusted.
    pub fn reopen(&mut self) -> io::Result<AtPath> {
        let (ours, at_path) = self.look()?;
        if at_path == AtPath::Itself {
            let fresh = open(&self.path)?;
            if !is_same(&fresh.metadata()?, &ours) {
                return Ok(AtPath::Another);
            }
            self.file = Arc::new(fresh);
        }
        Ok(at_path)
    }

    /// Goes on behind byte `length` of `file`, which now stands at its path. Returns the file that stood there before.
    pub fn go_on_in(&mut self, file: File, length: u64) -> Arc<File> {
        self.length = length;
        std::mem::replace(&mut self.file, Arc::new(file))
    }

    /// Makes durable which file stands at its path.
    pub fn sync_place(&self) -> io::Result<()> {
        sync_parent(&self.path)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::{create, scratch, sibling};
    use super::*;

    fn appended(name: &str) -> (AppendedFile, PathBuf) {
        let path = scratch(&format!("appended-{name}")).join("log");
        create(&path, 0o600, b"head\n").unwrap();
        (AppendedFile::open(&path).unwrap(), path)
    }

    #[test]
    fn only_what_is_behind_its_end_is_cut_off() {
        let (mut file, path) = appended("cut");
        file.append(b"one\n").unwrap();
        file.append(b"two\n").unwrap();
        file.end_at(9);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\none\ntwo\n");
        file.cut_rest().unwrap();
        assert_eq!((std::fs::read_to_string(&path).unwrap().as_str(), file.length()), ("head\none\n", 9));
        file.write_from(5, b"three\n").unwrap();
        assert_eq!((std::fs::read_to_string(&path).unwrap().as_str(), file.length()), ("head\nthree\n", 11));
    }

    #[test]
    fn it_is_opened_anew_only_where_it_stands_at_its_path() {
        let (mut file, path) = appended("reopen");
        let before = file.file().clone();
        assert_eq!(file.reopen().unwrap(), AtPath::Itself);
        assert!(!Arc::ptr_eq(file.file(), &before));

        let before = file.file().clone();
        let other = sibling(&path, ".other");
        std::fs::rename(&path, &other).unwrap();
        assert_eq!(file.reopen().unwrap(), AtPath::Nothing);
        create(&path, 0o600, b"somebody else's").unwrap();
        assert_eq!(file.reopen().unwrap(), AtPath::Another);
        std::fs::remove_file(&path).unwrap();
        symlink(&other, &path).unwrap();
        assert_eq!(file.reopen().unwrap(), AtPath::Another);
        assert!(Arc::ptr_eq(file.file(), &before));
    }

    #[test]
    fn no_symbolic_link_is_followed_and_no_directory_opened() {
        let (_, path) = appended("link");
        let link = sibling(&path, ".link");
        symlink(&path, &link).unwrap();
        assert!(AppendedFile::open(&link).is_err());
        assert!(AppendedFile::open(path.parent().unwrap()).is_err());
    }
}
