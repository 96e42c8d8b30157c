//! Directories, made and synced.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::names::parent;

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
