//! Files of a log under other names: what logrotate, or a person, has renamed.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ed25519_dalek::VerifyingKey;

use super::{segment, tail};
use crate::base::files;

/// How every line begins.
const BEGIN: &[u8] = b"{\"seq\":";

/// The files beside the log at `log` whose names begin like its own and which end with a signed line behind number `after`: that
/// number and the file, the newest line last. Closed segments are not among them.
///
/// It is for a message: what cannot be read is passed over.
pub fn later_than(after: u64, log: &Path, key: &VerifyingKey) -> Vec<(u64, PathBuf)> {
    let Some(stem) = log.file_stem() else { return Vec::new() };
    let entries = files::parent(log).read_dir().into_iter().flatten().flatten();
    let named_so = entries.map(|entry| entry.file_name()).filter(|name| {
        name.as_bytes().starts_with(stem.as_bytes())
            && Some(name.as_os_str()) != log.file_name()
            && segment::last_line(log, name).is_none()
    });
    let candidates = named_so.map(|name| log.with_file_name(name));
    let mut later: Vec<_> = candidates.filter_map(|path| Some((last_line(&path, key).ok()??, path))).collect();
    later.retain(|(last, _)| *last > after);
    later.sort_unstable();
    later
}

/// The number of the last signed line of the file at `path`, if it is a file of this log.
fn last_line(path: &Path, key: &VerifyingKey) -> io::Result<Option<u64>> {
    if !path.symlink_metadata()?.is_file() {
        return Ok(None);
    }
    let mut file = File::open(path)?;
    let mut begin = [0; BEGIN.len()];
    file.read_exact(&mut begin)?;
    if begin != BEGIN {
        return Ok(None);
    }
    let size = file.metadata()?.len();
    Ok(tail::find(&file, size, key).ok().map(|tail| tail.tip.seq))
}
