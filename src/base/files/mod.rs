//! Files that anyone may read, and what all files have in common.

mod appended;
mod directories;
#[cfg(test)]
pub mod faults;
mod fresh;
mod names;
mod private;
#[cfg(test)]
mod scratch;
mod walk;

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::base::failure::Failure;
use crate::base::secret::Wiped;

pub use appended::AppendedFile;
pub use directories::{create_dir, create_dir_for, create_open_dir, sync_all_above, sync_parent};
pub use fresh::{Fresh, create, is_unfinished, keep_before, rename};
pub use names::{AtPath, forget_names, give_to_the_owner_of, parent, sibling, stands_at};
pub use private::{KeyOwner, read_credential, read_private, read_private_through_links, take_keys_of};
#[cfg(test)]
pub use scratch::scratch;
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

/// Whether there is surely nothing at `path`. Where that cannot be found out, as in a directory that may not be entered, there
/// may be something, and whoever opens it is told why not.
pub fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|why| why.kind() == io::ErrorKind::NotFound)
}

/// Whether the disk, or what this user may have of it, is full.
pub fn is_out_of_room(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The permissions of a file, three or four octal digits, as `chmod` takes them.
pub fn parse_mode(text: &str) -> Option<u32> {
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    u32::from_str_radix(text, 8).ok().filter(|mode| is_octal && *mode <= 0o777)
}
