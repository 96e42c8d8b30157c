//! Names of files: which file stands under one, and whose it is.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The directory that `path` lies in; `.` for a bare file name.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// `path` with `suffix` behind its file name.
pub fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Whether both are of the same file.
pub fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// What stands at the path of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtPath {
    Itself,
    /// Another file, or a link, even one to the file.
    Another,
    Nothing,
}

/// What stands at the path of a file with these metadata, whatever other names it has.
pub fn at_path(file: &Metadata, path: &Path) -> io::Result<AtPath> {
    match path.symlink_metadata() {
        Ok(there) if is_same(&there, file) => Ok(AtPath::Itself),
        Ok(_) => Ok(AtPath::Another),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(AtPath::Nothing),
        Err(why) => Err(why),
    }
}

/// Whether a file with these metadata stands at `path`.
pub fn stands_at(file: &Metadata, path: &Path) -> io::Result<bool> {
    Ok(at_path(file, path)? == AtPath::Itself)
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
