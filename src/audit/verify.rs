//! Checking a whole log, offline, with nothing but its public key.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::thread;

use ed25519_dalek::VerifyingKey;

use super::chain::{self, Fault, Tip};
use super::checkpoint::Checkpoint;
use super::entry::Line;
use super::keys;
use super::report::Report;
use super::segment::{self, Segment};
use super::signatures::{Checks, FirstWrong};
use super::tail::is_torn;
use crate::base::failure::Failure;
use crate::base::hex::hex;
use crate::base::object::{self, object};
use crate::base::progress::{Counted, Progress};

/// The longest line that is accepted, in bytes.
const LONGEST_LINE: u64 = 1 << 20;

/// Checks the log in `files`, which are in the order in which they were written. One file stands for itself and the closed
/// segments beside it.
///
/// `public_key` is by default the one beside the first file. With a checkpoint, the log must also hold the line that the
/// checkpoint names: without one, nobody can tell a log whose last lines were cut off from one that ended there.
///
/// # Errors
/// Names the file, the first line at which something is wrong, and what.
pub fn verify(files: &[PathBuf], public_key: Option<&Path>, checkpoint: Option<&Path>) -> Result<Report, Failure> {
    verify_watched(files, public_key, checkpoint, &|_| {})
}

/// The same, while `watch` is shown line after line. Whether they are good is known only when all were seen.
///
/// # Errors
/// As [`verify`].
pub fn verify_watched(
    files: &[PathBuf],
    public_key: Option<&Path>,
    checkpoint: Option<&Path>,
    watch: &(dyn Fn(&Line) + Sync),
) -> Result<Report, Failure> {
    let first = files.first().ok_or_else(|| Failure::new("audit verify", "no file was given"))?;
    for file in files {
        let why = match file.metadata() {
            Err(why) if why.kind() == ErrorKind::NotFound => "is missing",
            Ok(there) if there.is_dir() => "is a directory; name the log in it",
            _ => continue,
        };
        return Err(Failure::new(file.display(), why));
    }
    let key_path = public_key.map_or_else(|| keys::public_key_path(first), Path::to_owned);
    let key = keys::read_public_key(&key_path)?
        .ok_or_else(|| Failure::new(key_path.display(), "there is no public key; name one with --public-key FILE"))?;
    let checkpoint = checkpoint.map(|path| Checkpoint::read(path, &key)).transpose()?;
    let mut verifier = Verifier { watch, ..Verifier::new(&key, checkpoint) };
    // It is opened before its segments are looked for: a daemon at work may close it at any moment.
    let (last, earlier) = files.split_last().expect("there is a first one");
    let in_file = |path: &Path, why: std::io::Error| Failure::new(path.display(), why);
    let newest = File::open(last).map_err(|why| in_file(last, why))?;
    let closed = match earlier {
        [] => segment::before(&newest, last).map_err(|why| in_file(last, why))?,
        _ => Vec::new(),
    };
    let paths = closed.iter().map(|segment| &segment.path).chain(files);
    let size = paths.filter_map(|path| path.metadata().ok()).map(|there| there.len()).sum();
    let _progress = Progress::begin("checking the audit log", size);
    for Segment { path, .. } in closed {
        match File::open(&path) {
            // The daemon has deleted it meanwhile, as one of the oldest.
            Err(why) if why.kind() == ErrorKind::NotFound && verifier.report.lines == 0 => {}
            file => verifier.read_file(&file.map_err(|why| in_file(&path, why))?, &path, false)?,
        }
    }
    for path in earlier {
        let file = File::open(path).map_err(|why| in_file(path, why))?;
        verifier.read_file(&file, path, false)?;
    }
    verifier.read_file(&newest, last, true)?;
    verifier.finish().map_err(|why| Failure::new(last.display(), why))
}

/// Checks a log, or a later file of one, that ends with a whole line, and tells its last one too.
///
/// # Errors
/// Names the first line at which something is wrong, and what. With `holds`, that line must be in it.
pub fn check(log: impl BufRead, key: &VerifyingKey, holds: Option<&Tip>) -> Result<(Report, Tip), String> {
    let mut verifier = Verifier::new(key, holds.map(Checkpoint::of));
    verifier.read(log, false).map_err(|Wrong { line, why }| format!("line {line}: {why}"))?;
    let tip = verifier.tip.unwrap_or(Tip::START);
    verifier.finish().map(|report| (report, tip))
}

#[derive(Debug)]
pub struct Wrong {
    /// The line's place in its file, from 1.
    pub line: u64,
    pub why: String,
}

/// A check under way. It remembers the last line, and nothing else of what it read.
#[derive(Clone)]
pub struct Verifier<'a> {
    key: &'a VerifyingKey,
    checkpoint: Option<Checkpoint>,
    watch: &'a (dyn Fn(&Line) + Sync),
    tip: Option<Tip>,
    /// The first line behind the last signed one: which it is, and where.
    unsigned: Option<(u64, u64)>,
    report: Report,
}

impl<'a> Verifier<'a> {
    pub fn new(key: &'a VerifyingKey, checkpoint: Option<Checkpoint>) -> Self {
        let start = Tip::START.timestamp;
        let report = Report { lines: 0, files: 0, first_seq: 0, last_seq: 0, from: start, to: start, torn_bytes: 0 };
        Self { key, checkpoint, watch: &|_| {}, tip: None, unsigned: None, report }
    }

    fn read_file(&mut self, file: &File, path: &Path, is_last: bool) -> Result<(), Failure> {
        self.report.files += 1;
        let reader = BufReader::with_capacity(1 << 16, Counted(file));
        let place = |line: u64| object([("file", object::path(path)), ("line", line.into())]);
        let wrong =
            |Wrong { line, why }| Failure::new(format_args!("{}:{line}", path.display()), why).with(place(line));
        self.read(reader, is_last).map_err(wrong)
    }

    /// Reads one file of the log. Only the last one may end with an interrupted write.
    pub fn read(&mut self, reader: impl BufRead, is_last: bool) -> Result<(), Wrong> {
        let (key, wrong) = (self.key, FirstWrong::new());
        let read = thread::scope(|scope| {
            let mut checks = Checks::new(scope, key, &wrong);
            let read = self.read_lines(reader, is_last, &mut checks);
            checks.finish();
            read
        });
        // A line is looked at before its signature is, and those behind it after that.
        match (read, wrong.line()) {
            (read, FirstWrong::ALL_HOLD) => read,
            (Err(wrong), line) if wrong.line < line => Err(wrong),
            (_, line) => Err(Wrong { line, why: Fault::Signature.to_string() }),
        }
    }

    fn read_lines(&mut self, mut reader: impl BufRead, is_last: bool, checks: &mut Checks) -> Result<(), Wrong> {
        let mut bytes = Vec::new();
        for line in 1.. {
            if checks.have_failed() {
                return Ok(());
            }
            let wrong = |why: &dyn fmt::Display| Wrong { line, why: why.to_string() };
            bytes.clear();
            let read = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes).map_err(|why| wrong(&why))?;
            if read == 0 {
                break;
            }
            match bytes.strip_suffix(b"\n") {
                Some(text) => self.line(text, line, checks)?,
                None if is_last && is_torn(&bytes) => self.report.torn_bytes = bytes.len() as u64,
                None => return Err(wrong(&"the line was changed: it does not end where a line ends")),
            }
        }
        match self.unsigned {
            Some((seq, line)) => {
                let why = format!(
                    "line number {seq} and the lines after it are covered by no signature: forged, or left by an \
                     interrupted write; the daemon removes such lines at its next start"
                );
                Err(Wrong { line, why })
            }
            None => Ok(()),
        }
    }

    fn line(&mut self, text: &[u8], number: u64, checks: &mut Checks) -> Result<(), Wrong> {
        let wrong = |why: String| Wrong { line: number, why };
        let (line, tip) = match self.tip {
            None => self.first(text).map_err(|fault| wrong(fault.to_string()))?,
            Some(mut tip) => {
                let line = tip.follow(text).map_err(|fault| self.blame(fault, number))?;
                (line, tip)
            }
        };
        match &line.signature {
            Some(signature) => {
                checks.add(number, text, signature);
                self.unsigned = None;
            }
            None => _ = self.unsigned.get_or_insert((line.seq, number)),
        }
        if let Some(checkpoint) = &self.checkpoint
            && checkpoint.seq == line.seq
        {
            if checkpoint.hash != hex(&tip.hash) {
                return Err(wrong("this is not the line that the checkpoint names: the log was rewritten".to_owned()));
            }
            self.checkpoint = None;
        }
        if self.report.lines == 0 {
            self.report.first_seq = line.seq;
            self.report.from = line.timestamp;
        }
        (self.watch)(&line);
        self.report.lines += 1;
        self.report.last_seq = line.seq;
        self.report.to = line.timestamp;
        self.tip = Some(tip);
        Ok(())
    }

    /// The first line that was given: the log's first, or the first of a later file.
    fn first(&self, text: &[u8]) -> Result<(Line, Tip), Fault> {
        let line = chain::read(text)?;
        if line.seq <= 1 {
            let mut tip = Tip::START;
            return tip.follow(text).map(|line| (line, tip));
        }
        let tip = Tip::of(&line, text);
        Ok((line, tip))
    }

    /// Names the line that does not fit. A line whose signature held is not to blame for what follows it; an unsigned one
    /// may be the one that was changed.
    fn blame(&self, fault: Fault, number: u64) -> Wrong {
        match (fault, self.unsigned) {
            (Fault::Chain, Some(_)) => {
                let why = "the line was changed, or the line after it was: the next one does not hold its hash";
                Wrong { line: number - 1, why: why.to_owned() }
            }
            (fault, _) => Wrong { line: number, why: fault.to_string() },
        }
    }

    pub fn finish(self) -> Result<Report, String> {
        match self.checkpoint {
            Some(checkpoint) if checkpoint.seq < self.report.first_seq => {
                Err(format!("the checkpoint's line {} is in an earlier file, which was not given", checkpoint.seq))
            }
            Some(checkpoint) => Err(format!(
                "lines were cut off: the log ends with line number {}, the checkpoint of {} names line {}",
                self.report.last_seq, checkpoint.timestamp, checkpoint.seq
            )),
            None => Ok(self.report),
        }
    }
}
