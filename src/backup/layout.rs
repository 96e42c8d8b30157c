//! How a backup is laid out, to the byte: the entries of a tar archive, in one order, each with the header that we write.
//!
//! Such an archive needs no long names, no extended headers and no sparse files, and a reader that knows these can be made
//! to read, and hold, what a header only announces. So the only headers that are known here are our own.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;

use tar::Header;

use super::part::Part;
use super::{AUDIT, MANIFEST, POLICY, PUBLIC_KEY, SIGNING_KEY, VAULT};
use crate::base::failure::printable;

/// No manifest, key or policy is larger.
pub const LARGEST_TEXT: u64 = 1 << 20;

/// The entries, and how large each may be.
const ENTRIES: [(&str, u64); 6] = [
    (MANIFEST, LARGEST_TEXT),
    (SIGNING_KEY, LARGEST_TEXT),
    (PUBLIC_KEY, LARGEST_TEXT),
    (POLICY, LARGEST_TEXT),
    (VAULT, u64::MAX),
    (AUDIT, u64::MAX),
];

/// A header, and what a content is filled up to with zeros.
const BLOCK: u64 = 512;

/// The end of the archive: two blocks of zeros.
const END: u64 = 2 * BLOCK;

/// Where an entry's content stands in the file.
pub struct Section {
    pub name: &'static str,
    pub start: u64,
    pub bytes: u64,
}

/// Where the entries of the backup in `file` stand. Of what they hold, nothing was read.
///
/// # Errors
/// Says where the file is not laid out as a backup is, and what is there instead.
pub fn sections(file: &File) -> io::Result<Vec<Section>> {
    let wrong = |why: String| Err(io::Error::other(why));
    let length = file.metadata()?.len();
    let mut sections = Vec::new();
    let mut position = 0;
    for (name, most) in ENTRIES {
        let found = read_header(file, position).map_err(|why| match why.kind() {
            ErrorKind::UnexpectedEof => io::Error::other(format!("it ends before {name}")),
            _ => why,
        })?;
        let (Ok(bytes), Ok(mtime)) = (found.entry_size(), found.mtime()) else {
            return wrong(format!("there is no tar header where {name} begins (byte {position})"));
        };
        if found.as_bytes() != header(name, bytes, mtime)?.as_bytes() {
            let there = match &*found.path_bytes() {
                there if there == name.as_bytes() => format!("`{name}` with another header than ours"),
                there => format!("`{}`", printable(&String::from_utf8_lossy(there))),
            };
            return wrong(format!(
                "it has {there} where {name} begins (byte {position}); use a file as `jarvis-secretsd backup` has written it"
            ));
        }
        if bytes > most {
            return wrong(format!("{name} has {bytes} bytes, too many"));
        }
        let start = position + BLOCK;
        let fits = |end: &u64| end.checked_next_multiple_of(BLOCK).is_some_and(|filled| filled <= length);
        let Some(end) = start.checked_add(bytes).filter(fits) else {
            return wrong(format!("it ends within {name}"));
        };
        sections.push(Section { name, start, bytes });
        position = end.next_multiple_of(BLOCK);
        if !is_zero(file, end, position)? {
            return wrong(format!("there is something between {name} and what follows it"));
        }
    }
    if length < position + END {
        return wrong("its end is missing".to_owned());
    }
    if length > position + END || !is_zero(file, position, length)? {
        return wrong(format!("there is something after its end (byte {position})"));
    }
    Ok(sections)
}

fn read_header(file: &File, position: u64) -> io::Result<Header> {
    let mut header = Header::new_gnu();
    file.read_exact_at(header.as_mut_bytes(), position)?;
    Ok(header)
}

/// Whether the few bytes from `start` to `end` are zeros.
fn is_zero(file: &File, start: u64, end: u64) -> io::Result<bool> {
    let mut bytes = Vec::new();
    Part::new(file, start, end - start).read_to_end(&mut bytes)?;
    Ok(bytes.iter().all(|byte| *byte == 0))
}

/// The header of an entry, as we write it.
fn header(name: &str, bytes: u64, mtime: u64) -> io::Result<Header> {
    let mut header = Header::new_gnu();
    header.set_path(name)?;
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(mtime);
    header.set_cksum();
    Ok(header)
}

/// An archive that is being written, entry by entry.
pub struct ArchiveWriter<'a> {
    builder: tar::Builder<&'a File>,
    mtime: u64,
}

impl<'a> ArchiveWriter<'a> {
    pub fn new(file: &'a File, mtime: u64) -> Self {
        Self { builder: tar::Builder::new(file), mtime }
    }

    pub fn put(&mut self, name: &str, size: u64, content: impl Read) -> io::Result<()> {
        self.builder.append(&header(name, size, self.mtime)?, content)
    }

    pub fn finish(self) -> io::Result<()> {
        self.builder.into_inner().map(|_| ())
    }
}
