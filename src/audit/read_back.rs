//! Reading a log back: its files, the newest first, as far as somebody wants to know.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::entry::Line;
use super::segment;
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;

/// How much of a file is read at a time.
const CHUNK: usize = 64 * 1024;

/// The longest line that is kept to be looked at. The daemon writes none that has a tenth of it.
const MAX_LINE: usize = 256 * 1024;

/// A log that is read back. Lines are read, not verified; those that somebody appends meanwhile may be missed.
pub struct ReadBack {
    log: PathBuf,
    /// The next file; none: there is none before those that were read.
    next: Option<PathBuf>,
    /// A line could not be read, or is missing.
    has_gap: bool,
    since: Option<Timestamp>,
}

impl ReadBack {
    /// Begins with the file at `log`.
    pub fn begin(log: &Path) -> Self {
        Self { log: log.to_owned(), next: Some(log.to_owned()), has_gap: false, since: None }
    }

    /// Reads the next older file from its beginning to its end, and shows `look` its lines. A line that cannot be read is left
    /// out. False if there is no such file, or `look` has broken off.
    ///
    /// # Errors
    /// If a file that should be there is not, or it cannot be read. What was read counts all the same.
    pub fn read_file(&mut self, look: &mut dyn FnMut(&Line) -> ControlFlow<()>) -> Result<bool, Failure> {
        let Some(path) = self.next.take() else { return Ok(false) };
        self.read(&path, look).map_err(|why| Failure::new(path.display(), why))
    }

    fn read(&mut self, path: &Path, look: &mut dyn FnMut(&Line) -> ControlFlow<()>) -> io::Result<bool> {
        let file = File::open(path)?;
        // It goes on growing.
        let size = file.metadata()?.len();
        let mut extent = Extent::default();
        let read = read_lines(BufReader::with_capacity(CHUNK, file.take(size)), &mut |text| match text
            .and_then(|text| serde_json::from_slice::<Line>(text).ok())
        {
            Some(line) => {
                extent.line(&line);
                look(&line)
            }
            None => {
                extent.gap();
                ControlFlow::Continue(())
            }
        });
        if read.is_err() {
            extent.gap();
        }
        if !self.has_gap {
            self.since = extent.since.or(self.since);
        }
        self.has_gap |= extent.has_gap;
        self.next = extent.first.filter(|first| *first > 1).map(|first| segment::path(&self.log, first - 1));
        Ok(read?.is_continue())
    }

    /// The time of the first line behind which none is missing; none if no line was read.
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// Whether a line is missing, or was left out.
    pub fn has_gap(&self) -> bool {
        self.has_gap
    }
}

/// What is known of a file's lines.
#[derive(Default)]
struct Extent {
    first: Option<u64>,
    /// That of the one before.
    last: Option<u64>,
    has_gap: bool,
    /// The time of the first line, or of the first one behind the last gap.
    since: Option<Timestamp>,
}

impl Extent {
    fn line(&mut self, line: &Line) {
        if self.last.is_some_and(|last| last.checked_add(1) != Some(line.seq)) {
            self.gap();
        }
        if !self.has_gap {
            self.first = self.first.or(Some(line.seq));
        }
        self.last = Some(line.seq);
        self.since = self.since.or(Some(line.timestamp));
    }

    fn gap(&mut self) {
        self.has_gap = true;
        self.since = None;
    }
}

/// Shows `look` each line of `file` without its newline; none for one that is too long. What has no newline at the end is none.
fn read_lines(
    mut file: impl BufRead,
    look: &mut dyn FnMut(Option<&[u8]>) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let (mut line, mut is_too_long) = (Vec::new(), false);
    loop {
        let chunk = file.fill_buf()?;
        if chunk.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let newline = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..newline.unwrap_or(chunk.len())];
        is_too_long |= line.len() + part.len() > MAX_LINE;
        if !is_too_long {
            line.extend_from_slice(part);
        }
        let used = newline.map_or(part.len(), |newline| newline + 1);
        file.consume(used);
        if newline.is_some() {
            if look(Some(&line[..]).filter(|_| !is_too_long)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            line.clear();
            is_too_long = false;
        }
    }
}
