//! Files: made whole and durable or not at all; and those with a key in them, read only if nobody else could have read them.

mod private;
mod walk;

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;

use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::base::secret::Wiped;

pub use private::{KeyOwner, read_credential, read_private, read_private_through_links, take_keys_of};
pub use walk::{Lost, walk};

/// Reads a file of at most `limit` bytes that anyone may read.
///
/// # Errors
/// If it is not a regular file, or larger than `limit`.
pub fn read(path: &Path, limit: u64) -> Result<Wiped, Failure> {
    let (file, meta) = open(path, OFlags::empty())?;
    read_whole(path, file, &meta, limit)
}

/// Opens a regular file. It does not wait, as opening a pipe would.
fn open(path: &Path, links: OFlags) -> Result<(File, Metadata), Failure> {
    let refuse = |why: &dyn std::fmt::Display| Failure::configuration(path.display(), why);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((links | OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32)
        .open(path)
        .map_err(|why| match why.raw_os_error() {
            Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() && links.contains(OFlags::NOFOLLOW) => {
                refuse(&"is a symbolic link; a key must be a regular file")
            }
            _ if why.kind() == io::ErrorKind::PermissionDenied => refuse(&why),
            _ => Failure::new(path.display(), why),
        })?;
    let meta = file.metadata().map_err(|why| Failure::new(path.display(), why))?;
    if !meta.is_file() {
        return Err(refuse(&"is not a regular file"));
    }
    Ok((file, meta))
}

fn read_whole(path: &Path, file: File, meta: &Metadata, limit: u64) -> Result<Wiped, Failure> {
    if meta.len() > limit {
        let why = format!("is {} bytes long, at most {limit} are expected", meta.len());
        return Err(Failure::configuration(path.display(), why));
    }
    // Reading into room that is there leaves no copy behind, as a vector that grows would. A file that grows meanwhile
    // is cut off, and does not parse.
    let room = meta.len() + 1;
    let mut bytes = Wiped::new(Vec::with_capacity(room as usize));
    file.take(room.min(limit)).read_to_end(&mut bytes).map_err(|why| Failure::new(path.display(), why))?;
    Ok(bytes)
}

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

/// Whether both are of the same file.
pub fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Whether a file with these metadata stands at `path`, whatever other names it has.
pub fn stands_at(file: &Metadata, path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(there) => Ok(is_same(&there, file)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(why) => Err(why),
    }
}

/// Takes away those other names that `file`, which stands at `path`, has in its directory and `goes` says yes to.
pub fn forget_names(file: &File, path: &Path, goes: impl Fn(&OsStr) -> bool) -> io::Result<()> {
    let file = file.metadata()?;
    if file.nlink() < 2 {
        return Ok(());
    }
    for entry in parent(path).read_dir()? {
        let entry = entry?;
        if goes(&entry.file_name()) && stands_at(&file, &entry.path())? {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether `name` is one under which a file for `path` is being written, or was when a process was killed.
pub fn is_unfinished(path: &Path, name: &OsStr) -> bool {
    let start = sibling(path, NEW);
    name.as_bytes().starts_with(start.file_name().unwrap_or_default().as_bytes())
}

/// Gives `file` to whom the file at `path` belongs to, or else the directory that it would be in.
pub fn give_to_the_owner_of(path: &Path, file: &File) -> io::Result<()> {
    let owner = std::fs::symlink_metadata(path).or_else(|_| std::fs::metadata(parent(path)))?;
    let made = file.metadata()?;
    // Not everybody may give what is theirs to themselves.
    if (owner.uid(), owner.gid()) == (made.uid(), made.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))
}

/// Whether there is surely nothing at `path`. Where that cannot be found out, as in a directory that may not be entered, there
/// may be something, and whoever opens it is told why not.
pub fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|why| why.kind() == io::ErrorKind::NotFound)
}

/// Makes the directory `path`, and those above it that are missing, durably, with mode 0700; one that exists is left as it
/// is.
pub fn create_dir(path: &Path) -> io::Result<()> {
    create_dir_as(path, &|_| Ok(()))
}

/// The same with mode 0755, whatever the umask is, for others to read what is in it.
pub fn create_open_dir(path: &Path) -> io::Result<()> {
    create_dir_as(path, &|made| made.set_permissions(Permissions::from_mode(0o755)))
}

/// The same with this mode, for others to work with: where root makes a directory, it gives it to `owner`, a user and a group, or
/// else to whom the one above it belongs to.
pub fn create_dir_for(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let above = parent(path);
    create_dir_for(above, mode, owner)?;
    let above = above.metadata()?;
    let (uid, gid) = owner.unwrap_or((above.uid(), above.gid()));
    create_dir_as(path, &|made| {
        made.set_permissions(Permissions::from_mode(mode))?;
        if geteuid().is_root() { std::os::unix::fs::fchown(made, Some(uid), Some(gid)) } else { Ok(()) }
    })
}

/// Makes the directory `path` and those above it that are missing, and has `change` see each.
fn create_dir_as(path: &Path, change: &dyn Fn(&File) -> io::Result<()>) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    create_dir_as(parent(path), change)?;
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    // Whoever owns the directory above could have put a link in its place by now.
    let flags = (OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC).bits() as i32;
    change(&OpenOptions::new().read(true).custom_flags(flags).open(path)?)?;
    sync_parent(path)
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

/// Makes a change of the names in `path`'s directory (a new file, a rename) durable.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

/// Makes durable, as far as this process may, that the directories are there in which `path` lies, and what is in them.
pub fn sync_all_above(path: &Path) {
    let mut below = path;
    while let Some(directory) = below.parent() {
        let _ = sync_parent(below);
        below = directory;
    }
}

/// Whether the disk, or what this user may have of it, is full.
pub fn is_out_of_room(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The directory that `path` lies in; `.` for a bare file name.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The permissions of a file, three or four octal digits, as `chmod` takes them.
pub fn parse_mode(text: &str) -> Option<u32> {
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    u32::from_str_radix(text, 8).ok().filter(|mode| is_octal && *mode <= 0o777)
}

/// `path` with `suffix` behind its file name.
pub fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("jarvis-files-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        create_dir(&dir).unwrap();
        dir
    }

    #[test]
    fn what_is_kept_takes_no_name_that_there_is() {
        let dir = scratch("kept");
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
        let dir = scratch("create");
        let path = dir.join("key");
        create(&path, 0o600, b"one").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(create(&path, 0o600, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(*read_private(&path, 16).unwrap(), b"one");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_remedy() {
        let path = scratch("open").join("key");
        create(&path, 0o600, b"k").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let error = read_private(&path, 16).unwrap_err().to_string();
        assert!(error.contains("mode 0640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_symlink_a_directory_and_an_oversized_file_are_no_keys() {
        let dir = scratch("odd");
        let path = dir.join("key");
        create(&path, 0o600, &[0; 17]).unwrap();
        std::os::unix::fs::symlink(&path, dir.join("link")).unwrap();
        assert!(read_private(&dir.join("link"), 64).unwrap_err().to_string().contains("symbolic link"));
        assert!(read_private(&dir, 64).unwrap_err().to_string().contains("not a regular file"));
        assert!(read_private(&path, 16).unwrap_err().to_string().contains("17 bytes"));
    }
}
