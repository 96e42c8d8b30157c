//! Whether a program may be run: nobody but root and the daemon's user may be able to change what it does.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, access};

use crate::failure::Failure;

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

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

/// Goes to `path` as the kernel does, looks at everything on the way, and returns where it ends.
fn walk(path: &Path, uid: u32) -> Result<PathBuf, Failure> {
    let names = |path: &Path| path.components().map(|part| part.as_os_str().to_owned()).collect::<Vec<OsString>>();
    let mut ahead: VecDeque<OsString> = names(path).into();
    let mut here = PathBuf::from("/");
    let mut links = 0;
    look(path, &here, &metadata(path, &here)?, uid)?;
    while let Some(name) = ahead.pop_front() {
        match Path::new(&name).components().next() {
            Some(Component::RootDir) => here = "/".into(),
            Some(Component::ParentDir) => _ = here.pop(),
            Some(Component::Normal(_)) => {
                here.push(&name);
                let meta = metadata(path, &here)?;
                if meta.is_symlink() {
                    links += 1;
                    let target = here.read_link().ok().filter(|_| links <= MOST_LINKS);
                    let target = target.ok_or_else(|| Failure::new(path.display(), "has too many symbolic links"))?;
                    here.pop();
                    names(&target).into_iter().rev().for_each(|name| ahead.push_front(name));
                } else {
                    look(path, &here, &meta, uid)?;
                }
            }
            _ => {}
        }
    }
    Ok(here)
}

fn metadata(path: &Path, here: &Path) -> Result<Metadata, Failure> {
    here.symlink_metadata().map_err(|why| match here == path {
        true => Failure::new(path.display(), why),
        false => Failure::new(path.display(), format_args!("{}: {why}", here.display())),
    })
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
