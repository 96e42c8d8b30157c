//! The way to a file, as the kernel goes it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::Metadata;
use std::path::{Component, Path, PathBuf};

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

/// Why a way does not come to its end.
#[derive(Debug)]
pub enum Lost {
    /// A part of it is missing or cannot be looked at, in words.
    Unreachable(String),
    /// It has too many symbolic links.
    Links,
}

/// Goes to `path` from the root on, shows `look` every directory on the way, every symbolic link, and what is at the end, and
/// returns where that is, with no symbolic link in its path.
///
/// # Errors
/// If the way does not come to its end, or what `look` says.
pub fn walk<E: From<Lost>>(path: &Path, mut look: impl FnMut(&Path, &Metadata) -> Result<(), E>) -> Result<PathBuf, E> {
    let names = |path: &Path| path.components().map(|part| part.as_os_str().to_owned()).collect::<Vec<OsString>>();
    let mut ahead: VecDeque<OsString> = names(path).into();
    let mut here = PathBuf::from("/");
    let mut links = 0;
    look(&here, &metadata(path, &here)?)?;
    while let Some(name) = ahead.pop_front() {
        match Path::new(&name).components().next() {
            Some(Component::RootDir) => here = "/".into(),
            Some(Component::ParentDir) => _ = here.pop(),
            Some(Component::Normal(_)) => {
                here.push(&name);
                let meta = metadata(path, &here)?;
                look(&here, &meta)?;
                if meta.is_symlink() {
                    links += 1;
                    let target = here.read_link().ok().filter(|_| links <= MOST_LINKS).ok_or(Lost::Links)?;
                    here.pop();
                    names(&target).into_iter().rev().for_each(|name| ahead.push_front(name));
                }
            }
            _ => {}
        }
    }
    Ok(here)
}

fn metadata(path: &Path, here: &Path) -> Result<Metadata, Lost> {
    here.symlink_metadata().map_err(|why| {
        Lost::Unreachable(if here == path { why.to_string() } else { format!("{}: {why}", here.display()) })
    })
}
