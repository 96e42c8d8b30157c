//! Whether a program may be run: nobody but root and the daemon's user may be able to change what it does.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::failure::Failure;
use crate::files;

/// Checks that the program at `path` is a regular file that can be executed, and that it and every directory on the way to
/// it, symbolic links resolved, belongs to root or to the user `uid` and can be written by nobody else.
///
/// # Errors
/// Names the first thing that is not so, and the command that helps.
pub fn check_program(path: &Path, uid: u32) -> Result<(), Failure> {
    let file = walk(path, uid)?;
    let fail = |why: &str| Err(Failure::new(path.display(), why));
    let Ok(meta) = file.symlink_metadata() else { return fail("does not exist") };
    if !meta.is_file() {
        return fail("is not a regular file");
    }
    if meta.mode() & 0o111 == 0 || access(&file, Access::EXEC_OK).is_err() {
        return fail("cannot be executed by the daemon's user; chmod a+rx");
    }
    Ok(())
}

/// Goes to `path` as the kernel does, looks at everything on the way but symbolic links, which nobody can change but who can
/// write to their directory, and returns where it ends.
fn walk(path: &Path, uid: u32) -> Result<PathBuf, Failure> {
    files::walk(path, |here, meta| if meta.is_symlink() { Ok(()) } else { look(path, here, meta, uid) })
}

fn look(path: &Path, here: &Path, meta: &Metadata, uid: u32) -> Result<(), Failure> {
    let (owner, mode, here) = (meta.uid(), meta.mode() & 0o7777, here.display());
    if owner != 0 && owner != uid {
        let why = format!("{here} belongs to user {owner}, who could change what is run; chown root {here}");
        return Err(Failure::new(path.display(), why));
    }
    if mode & 0o022 != 0 {
        let why = format!("{here} can be written by others than its owner (mode {mode:04o}); chmod go-w {here}");
        return Err(Failure::new(path.display(), why));
    }
    Ok(())
}
