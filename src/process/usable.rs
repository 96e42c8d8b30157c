//! Whether this process can use the files that a daemon works with. The kernel is asked, and nothing is changed.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use crate::base::failure::Failure;
use crate::base::files;

/// What a daemon does with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It writes to it, makes it where it is missing, and makes others beside it.
    Keep,
    /// It reads it, and makes it where it is missing.
    ReadOrMake,
}

/// Checks that this process, whose user messages call `who`, can do that with the file at `path`.
///
/// # Errors
/// Says why not, and what helps.
pub fn check_usable(path: &Path, what: Use, who: &dyn fmt::Display) -> Result<(), Failure> {
    let directory = files::parent(path);
    let is_missing = files::is_missing(path);
    let in_directory = match what {
        Use::ReadOrMake if !is_missing => Access::EXEC_OK,
        _ => Access::WRITE_OK | Access::EXEC_OK,
    };
    let on_file = match what {
        Use::Keep => Access::READ_OK | Access::WRITE_OK,
        Use::ReadOrMake => Access::READ_OK,
    };
    let tried = access(existing(directory), in_directory);
    let tried = if is_missing { tried } else { tried.and_then(|()| access(path, on_file)) };
    tried.map_err(|why| {
        let (uid, gid, shown) = (geteuid(), getegid(), directory.display());
        let remedy = match why {
            Errno::ROFS => "mount it read-write, or name another directory, state_dir in [paths]".to_owned(),
            _ => format!("as root: mkdir -p -m 700 {shown} && chown -R {uid}:{gid} {shown}"),
        };
        Failure::new(path.display(), format_args!("user {who} cannot use it: {why}; {remedy}"))
    })
}

/// `directory`, or the nearest one above it that exists.
fn existing(directory: &Path) -> PathBuf {
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    absolute.ancestors().find(|path| !files::is_missing(path)).map_or_else(|| "/".into(), Path::to_owned)
}
