//! Closed segments: the files of a log before the present one. Each is named for its last line.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::base::files;

/// How many closed segments one rotation deletes at most, so that it takes no longer than a moment.
const DELETED_AT_ONCE: usize = 16;

/// When the log continues in a new file by itself, and what becomes of the old ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segmenting {
    /// The size at which a file is closed. None: never.
    pub bytes: Option<u64>,
    /// How many closed segments are kept. None: all.
    pub keep: Option<usize>,
}

/// A file of the log that was closed.
#[derive(Debug, PartialEq, Eq)]
pub struct Segment {
    /// The number of its last line, as its name has it.
    pub last: u64,
    pub path: PathBuf,
}

/// Where the segment of the log at `log` that ends with line number `last` is kept: `audit.000000001200.jsonl` for
/// `audit.jsonl`. Names sort like the lines, until a log has 10¹² of them.
pub fn path(log: &Path, last: u64) -> PathBuf {
    let mut name = OsString::from(log.file_stem().unwrap_or_default());
    name.push(format!(".{last:012}"));
    if let Some(extension) = log.extension() {
        name.push(".");
        name.push(extension);
    }
    log.with_file_name(name)
}

/// The closed segments of the log at `log`, oldest first.
///
/// # Errors
/// If the directory is there and cannot be read.
pub fn list(log: &Path) -> io::Result<Vec<Segment>> {
    let entries = match files::parent(log).read_dir() {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut segments = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(last) = last_line(log, &entry.file_name()) else { continue };
        if entry.file_type()?.is_file() {
            segments.push(Segment { last, path: path(log, last) });
        }
    }
    segments.sort_unstable_by_key(|segment| segment.last);
    Ok(segments)
}

/// The number in `name`, if that is the name of a segment.
pub fn last_line(log: &Path, name: &OsStr) -> Option<u64> {
    let rest = name.as_bytes().strip_prefix(log.file_stem()?.as_bytes())?.strip_prefix(b".")?;
    let digits = &rest[..rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len())];
    let last = std::str::from_utf8(digits).ok()?.parse().ok()?;
    // There is one way to write it.
    (path(log, last).file_name() == Some(name)).then_some(last)
}

/// The closed segments before `file`, which was found at `log`, oldest first. It may have been closed itself since, and others
/// after it.
///
/// # Errors
/// As [`list`].
pub fn before(file: &File, log: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = list(log)?;
    let meta = file.metadata()?;
    for at in (0..segments.len()).rev() {
        if files::stands_at(&meta, &segments[at].path)? {
            segments.truncate(at);
            break;
        }
    }
    Ok(segments)
}

/// The segments to delete when the file that ends with line `last` becomes one of them, and `keep` are kept. A segment that
/// ends with a later line belongs to another log, and stays.
pub fn surplus(mut segments: Vec<Segment>, last: u64, keep: usize) -> Vec<Segment> {
    segments.retain(|segment| segment.last < last);
    let surplus = (segments.len() + 1).saturating_sub(keep).min(DELETED_AT_ONCE);
    segments.truncate(surplus);
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_known_by_its_name_and_nothing_else_is() {
        for (log, name) in [
            ("/a/audit.jsonl", "/a/audit.000000001200.jsonl"),
            ("audit.jsonl", "audit.000000001200.jsonl"),
            ("/a/log", "/a/log.000000001200"),
            ("/a/.log", "/a/.log.000000001200"),
            ("/a/b.c.d", "/a/b.c.000000001200.d"),
        ] {
            let (log, name) = (Path::new(log), Path::new(name));
            assert_eq!(path(log, 1200), name);
            assert_eq!(last_line(log, name.file_name().unwrap()), Some(1200));
            assert_eq!(last_line(log, path(log, u64::MAX).file_name().unwrap()), Some(u64::MAX));
            assert_eq!(last_line(log, log.file_name().unwrap()), None);
        }
        for foreign in [
            "audit.jsonl.1",
            "audit.1200.jsonl",
            "audit.0000000001200.jsonl",
            "audit.00000000120a.jsonl",
            "audit.+00000001200.jsonl",
            "audit.000000001200.jsonl.before-restore-20261123-113644",
            "audit.99999999999999999999.jsonl",
            "audit.sign.key",
            "other.000000001200.jsonl",
        ] {
            assert_eq!(last_line(Path::new("audit.jsonl"), OsStr::new(foreign)), None, "{foreign}");
        }
    }

    #[test]
    fn what_is_surplus_is_the_oldest_of_this_log_and_not_too_much_at_once() {
        let segments = |numbers: std::ops::Range<u64>| {
            numbers.map(|last| Segment { last, path: path(Path::new("a"), last) }).collect::<Vec<_>>()
        };
        let surplus = |numbers, last, keep| -> Vec<u64> {
            surplus(segments(numbers), last, keep).iter().map(|segment| segment.last).collect()
        };
        assert_eq!(surplus(1..4, 4, 4), [0; 0]);
        assert_eq!(surplus(1..4, 4, 3), [1]);
        assert_eq!(surplus(1..4, 4, 1), [1, 2, 3]);
        assert_eq!(surplus(1..9, 3, 2), [1], "what is later is no part of this log");
        assert_eq!(surplus(1..100, 100, 1).len(), DELETED_AT_ONCE);
    }
}
