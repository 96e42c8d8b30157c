//! The lines of a vault file, read and opened a portion at a time.

use std::io::{BufRead, BufReader, Read};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::{iter, thread};

use crate::vault::log::change::{Change, Metadata};
use crate::vault::log::header::{Header, VaultKey};
use crate::vault::log::record::{self, Link, Sealed};
use crate::vault::seal::NotAuthentic;

/// No line of a vault is longer: the largest value, or the ids of a snapshot record, in base64.
pub const LONGEST_LINE: u64 = 1 << 18;

/// How many bytes of lines one thread opens at a time.
pub const PORTION: usize = 1 << 18;

/// Why a vault cannot be used. Prints as a reason.
#[derive(Debug, PartialEq, Eq)]
pub enum LoadError {
    Io(String),
    /// The header is not one, or not of this version.
    Header(String),
    /// The master key does not open it.
    WrongKey,
    /// A line was changed, moved, dropped or brought in.
    Damaged {
        /// The line, from 1.
        line: u64,
        why: String,
    },
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(why) | Self::Header(why) => f.write_str(why),
            Self::WrongKey => f.write_str(
                "the master key does not open this vault: it is another vault's key, or line 1 was changed; \
                 put back the right key or the right file",
            ),
            Self::Damaged { line, why } => {
                write!(f, "damaged at line {line}: {why}; nothing was changed, restore the file from a backup")
            }
        }
    }
}

/// Some lines of the file, and what the first of them is chained to.
#[derive(Default)]
pub struct Portion {
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
    after: Link,
}

impl Portion {
    /// The lines, each with its newline.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let begins = iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.bytes[begin..*end])
    }

    pub fn count(&self) -> u64 {
        self.ends.len() as u64
    }

    /// What a line behind these is chained to; none if the last of these is no record.
    pub fn link(&self) -> Option<Link> {
        match self.lines().last() {
            Some(line) => record::place(line.strip_suffix(b"\n")?).map(|(_, link)| link),
            None => Some(self.after),
        }
    }

    /// Opens the records, until one does not open.
    fn open(&self, key: &Arc<VaultKey>) -> Vec<Result<Record, String>> {
        let mut opened = Vec::with_capacity(self.ends.len());
        let mut after = self.after;
        for line in self.lines() {
            let record = Record::open(line, after, key);
            let link = record.as_ref().ok().map(|record| record.sealed.link());
            opened.push(record);
            let Some(link) = link else { break };
            after = link;
        }
        opened
    }
}

/// A vault file, read line by line.
pub struct Lines<R>(BufReader<R>);

impl<R: Read> Lines<R> {
    pub fn of(vault: R) -> Self {
        Self(BufReader::with_capacity(1 << 16, vault))
    }

    /// The first line, and its length.
    pub fn header(&mut self) -> Result<(Header, u64), LoadError> {
        let mut line = Vec::new();
        if !self.read(&mut line)? {
            return Err(LoadError::Header("the file is empty, a vault has at least a header line".to_owned()));
        }
        let header = Header::parse(line.strip_suffix(b"\n").unwrap_or(&line)).map_err(LoadError::Header)?;
        match line.ends_with(b"\n") {
            true => Ok((header, line.len() as u64)),
            false => Err(LoadError::Header("the header line is not whole".to_owned())),
        }
    }

    /// Makes `portion` the next lines, `wanted` bytes or a little more, but at most `at_most` lines; none at the end.
    pub fn fill(&mut self, portion: &mut Portion, after: Link, wanted: usize, at_most: u64) -> Result<(), LoadError> {
        portion.after = after;
        portion.bytes.clear();
        portion.ends.clear();
        while portion.bytes.len() < wanted && portion.count() < at_most && self.read(&mut portion.bytes)? {
            portion.ends.push(portion.bytes.len());
        }
        Ok(())
    }

    /// Appends the next line with its newline to `bytes`; without it if it is the last and not whole, or longer than any
    /// record. Returns whether there was one.
    fn read(&mut self, bytes: &mut Vec<u8>) -> Result<bool, LoadError> {
        let mut limited = self.0.by_ref().take(LONGEST_LINE);
        limited.read_until(b'\n', bytes).map(|read| read > 0).map_err(|why| LoadError::Io(why.to_string()))
    }
}

/// A record that is authentic in its place.
pub struct Record {
    pub sealed: Sealed,
    /// What it holds besides a value.
    pub metadata: Metadata<Change>,
}

impl Record {
    /// Opens the record in `line`, which ends with a newline, behind the one that `after` is the link of.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn open(line: &[u8], after: Link, key: &Arc<VaultKey>) -> Result<Self, String> {
        let whole = line.strip_suffix(b"\n").ok_or("the last line is not whole")?;
        let sealed = Sealed::parse(whole, after, key).ok_or("this is not a record")?;
        let opened = sealed.open().map_err(|NotAuthentic| {
            format!("record {} was changed, or does not follow the record before it", sealed.seq)
        })?;
        let metadata = opened.metadata().map_err(|why| {
            format!("record {} is authentic but unknown to this version of the program ({why})", sealed.seq)
        })?;
        Ok(Self { sealed, metadata })
    }
}

/// Opens two portions at a time: that is most of the work, and what a record is chained to is known without opening it.
pub fn open_both(portions: &[Portion; 2], key: &Arc<VaultKey>) -> [Vec<Result<Record, String>>; 2] {
    let [here, there] = portions;
    if there.count() == 0 {
        return [here.open(key), Vec::new()];
    }
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("load".to_owned()).spawn_scoped(scope, || there.open(key));
        let opened = here.open(key);
        let other = match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => there.open(key),
        };
        [opened, other]
    })
}
