//! Files that are made whole and durable or not at all.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::directories::sync_parent;
use super::names::sibling;
use crate::base::clock::Timestamp;

/// Makes the file `path` with `bytes` in it, durably: it is there whole, or not at all, also after a crash.
///
/// # Errors
/// If something of that name is there already (it is left as it is), or the disk refuses.
pub fn create(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut fresh = Fresh::begin(path, mode)?;
    fresh.file.write_all(bytes)?;
    fresh.create()
}

/// What the name of a file goes on with that is being written.
const NEW: &str = ".jarvis-secretsd-new-";

/// A file that is being written beside the place it is for, under a name that nobody else uses. One that is not put there
/// leaves nothing behind, unless the process is killed.
pub struct Fresh {
    pub file: File,
    fresh: PathBuf,
    path: PathBuf,
}

impl Fresh {
    /// Begins a file that will stand at `path`.
    pub fn begin(path: &Path, mode: u32) -> io::Result<Self> {
        let fresh = sibling(path, &format!("{NEW}{:016x}", getrandom::u64().map_err(io::Error::other)?));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&fresh)?;
        let fresh = Self { file, fresh, path: path.to_owned() };
        // The umask may have taken away what the mode grants.
        fresh.file.set_permissions(Permissions::from_mode(mode))?;
        Ok(fresh)
    }

    /// The path at which it is being written.
    pub fn temporary_path(&self) -> &Path {
        &self.fresh
    }

    /// Puts it in its place, durably.
    ///
    /// # Errors
    /// If something of that name is there already (it is left as it is), or the disk refuses.
    pub fn create(self) -> io::Result<()> {
        self.file.sync_all()?;
        // Unlike a rename, a link never replaces what is there.
        std::fs::hard_link(&self.fresh, &self.path).map_err(|why| match why.kind() {
            io::ErrorKind::AlreadyExists => io::Error::new(why.kind(), "exists already, and was left unchanged"),
            _ => why,
        })?;
        std::fs::remove_file(&self.fresh)?;
        sync_parent(&self.path)
    }

    /// Puts it in its place, durably, instead of what is there: after a crash there is the one or the other, whole.
    pub fn replace(self) -> io::Result<()> {
        let path = self.path.clone();
        self.put()?;
        sync_parent(&path)
    }

    /// The same, but that it stands there is not durable until [`sync_parent`].
    ///
    /// # Errors
    /// If the disk refuses; what was there then is there still.
    pub fn put(self) -> io::Result<()> {
        self.file.sync_all()?;
        rename(&self.fresh, &self.path)
    }
}

/// Puts what is at `from` in the place of what is at `to`.
///
/// # Errors
/// If the disk refuses. Where something is mounted at `to`, as containers do with a single file, the error says what to do.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to).map_err(explain_mount)
}

fn explain_mount(why: io::Error) -> io::Error {
    match why.kind() {
        io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices => {
            let what = "is a mount point, so it cannot be replaced; mount its directory instead";
            io::Error::new(why.kind(), format!("{what} ({why})"))
        }
        _ => why,
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // It is gone if it was put in place.
        let _ = std::fs::remove_file(&self.fresh);
    }
}

/// Whether `name` is one under which a file for `path` is being written, or was when a process was killed.
pub fn is_unfinished(path: &Path, name: &OsStr) -> bool {
    let start = sibling(path, NEW);
    name.as_bytes().starts_with(start.file_name().unwrap_or_default().as_bytes())
}

/// Gives the file at `path` a second name, so that another one can take its place: that of a sibling with `.before-`,
/// `what` and the second `now` behind it, and `-2`, `-3` … if there is such a file already. Returns that name.
pub fn keep_before(path: &Path, what: &str, now: Timestamp) -> io::Result<PathBuf> {
    let first = sibling(path, &format!(".before-{what}-{}", now.compact()));
    let mut kept = first.clone();
    for number in 2.. {
        // Unlike a rename, a link never replaces what is there.
        match std::fs::hard_link(path, &kept) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => kept = sibling(&first, &format!("-{number}")),
            linked => return linked.map(|()| kept).map_err(explain_mount),
        }
    }
    unreachable!("no directory has that many files")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::super::{read_private, scratch};
    use super::*;

    #[test]
    fn what_is_kept_takes_no_name_that_there_is() {
        let dir = scratch("files-kept");
        let path = dir.join("f");
        std::fs::write(&path, "old").unwrap();
        let now = Timestamp::from_nanos(1_761_565_004_549_067_206);
        let names: Vec<_> = (0..3).map(|_| keep_before(&path, "restore", now).unwrap()).collect();
        let endings = ["", "-2", "-3"].map(|ending| dir.join(format!("f.before-restore-20251027-113644{ending}")));
        assert_eq!(names, endings);
        assert!(names.iter().all(|name| std::fs::read_to_string(name).unwrap() == "old"));
    }

    #[test]
    fn what_is_created_is_private_and_never_replaces_anything() {
        let dir = scratch("files-create");
        let path = dir.join("key");
        create(&path, 0o600, b"one").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(create(&path, 0o600, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(*read_private(&path, 16).unwrap(), b"one");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "nothing else is left behind");
    }
}
