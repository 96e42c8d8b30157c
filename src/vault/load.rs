//! Reading the vault file at the start: every record is opened, in its place in the chain.
//!
//! What an interrupted write leaves is told apart from damage: the end of the file lacks its newline, or, behind the last
//! change that the audit log knows, there are bytes that were never written (zeros). Anything else that does not open is
//! damage, and the vault is not used. A copy that was torn while the audit log went on is an older vault, no damaged one.
//! An order of several changes that the audit log does not know is taken whole or, if the file ends in it, not at all.

use std::io::Read;
use std::sync::Arc;

use super::change::{Change, Metadata};
use super::header::{Header, VaultKey};
use super::lines::{LONGEST_LINE, Lines, PORTION, Portion, Record, open_both};
use super::record::{Link, NO_LINK, Sealed};
use super::seal::{NotAuthentic, SealingKey};
use super::state::State;

/// What a vault file holds.
pub struct Loaded {
    /// Its first line.
    pub header: Header,
    /// The key that opens its records.
    pub key: VaultKey,
    /// All changes, made.
    pub state: State,
    /// Where the next record goes and what it is chained to.
    pub end: End,
    /// The changes behind the one that the audit log knows: what, in words, of which secret, which version.
    pub unaudited: Vec<Unaudited>,
    /// The newest audit line that was surely on the disk when the last change was made.
    pub audited: u64,
    /// Bytes behind the end that an interrupted write left.
    pub unfinished_bytes: u64,
}

/// The end of the log, where the next record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The number of the last record.
    pub seq: u64,
    /// What the next record is chained to.
    pub link: Link,
    /// How many bytes the log has.
    pub length: u64,
    /// How many records.
    pub records: u64,
    /// Bytes that are neither a version nor dead: the header, and what a compaction keeps besides the versions.
    pub overhead_bytes: u64,
    /// Records that are neither a version nor dead.
    pub overhead_records: u64,
}

/// A change that the audit log does not know yet.
pub struct Unaudited {
    /// The change's number.
    pub seq: u64,
    /// What kind of change, in a word.
    pub what: &'static str,
    /// The secret.
    pub name: String,
    /// The version, where it is one.
    pub kid: Option<String>,
}

/// Why a vault cannot be used. Prints as a reason.
#[derive(Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The file cannot be read.
    Io(String),
    /// The header is not one, or not of this version.
    Header(String),
    /// The master key does not open it.
    WrongKey,
    /// A line was changed, moved, dropped or brought in.
    Damaged {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
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

/// Reads the header of a vault, and nothing else.
pub fn header(vault: impl Read) -> Result<Header, LoadError> {
    Lines::of(vault).header().map(|(header, _)| header)
}

/// Reads a whole vault of `size` bytes, which the audit log knows up to change number `known`.
pub fn load(vault: &mut dyn Read, size: u64, master: &SealingKey, known: u64) -> Result<Loaded, LoadError> {
    let mut lines = Lines::of(vault);
    let (header, length) = lines.header()?;
    let key = header.unwrap_key(master).map_err(|NotAuthentic| LoadError::WrongKey)?;
    let end = End { seq: 0, link: NO_LINK, length, records: 0, overhead_bytes: length, overhead_records: 0 };
    let loaded =
        Loaded { header, key, state: State::default(), end, unaudited: Vec::new(), audited: 0, unfinished_bytes: 0 };
    let mut loading = Loading { loaded, known, end, snapshot: None, order: Vec::new() };
    let mut portions = [Portion::default(), Portion::default()];
    loop {
        // The first record says where a snapshot ends. No portion goes beyond: what follows is chained to something else.
        let wanted = if loading.end.records == 0 { [1, 0] } else { [PORTION; 2] };
        let mut after = Some(loading.end.link);
        let mut left = loading.snapshot.as_ref().map_or(u64::MAX, |snapshot| snapshot.remaining);
        for (portion, wanted) in portions.iter_mut().zip(wanted) {
            // What stands behind no record does not open, and would be counted as if somebody had changed it.
            let (after_it, wanted) = after.map_or((NO_LINK, 0), |link| (link, wanted));
            lines.fill(portion, after_it, wanted, left)?;
            after = portion.link();
            left -= portion.count();
        }
        if portions[0].count() == 0 {
            break;
        }
        for (portion, opened) in portions.iter().zip(open_both(&portions, &loading.loaded.key)) {
            for (line, opened) in portion.lines().zip(opened) {
                let Err(why) = opened.and_then(|record| loading.take(record, line.len() as u64)) else { continue };
                if loading.was_never_finished(line) {
                    return Ok(loading.finish(size));
                }
                return Err(loading.damaged(why));
            }
        }
    }
    match loading.snapshot {
        None => Ok(loading.finish(size)),
        Some(_) => Err(loading.damaged("the file ends inside of its snapshot".to_owned())),
    }
}

/// A vault while it is read.
struct Loading {
    /// What was read, up to the end of the last order that is taken.
    loaded: Loaded,
    /// The number of the last change that the audit log knows.
    known: u64,
    /// The end of all that was read.
    end: End,
    snapshot: Option<Snapshot>,
    /// The records behind `loaded.end`: of an order whose last one was not read yet.
    order: Vec<Record>,
}

/// How much of a snapshot is still to come, and what follows it.
struct Snapshot {
    through: u64,
    link: Link,
    remaining: u64,
}

impl Loading {
    fn take(&mut self, record: Record, length: u64) -> Result<(), String> {
        let Record { sealed, metadata: Metadata { change, more, .. } } = &record;
        let unaudited = match (change, &self.snapshot) {
            (Change::Snapshot { .. }, _) if self.end.records > 0 => {
                return Err("a snapshot stands only at the top".to_owned());
            }
            (Change::Snapshot { .. }, _) | (_, Some(_)) => false,
            (_, None) if sealed.seq != self.end.seq + 1 => {
                return Err(format!("record {} stands where record {} belongs", sealed.seq, self.end.seq + 1));
            }
            (_, None) => sealed.seq > self.known,
        };
        self.end.link = sealed.link();
        self.end.length += length;
        self.end.records += 1;
        if matches!(change, Change::Snapshot { .. } | Change::UsedKids { .. }) {
            self.end.overhead_bytes += length;
            self.end.overhead_records += 1;
        }
        if let Change::Snapshot { through, link, records } = *change {
            self.snapshot = Some(Snapshot { through, link, remaining: records });
        } else {
            self.end.seq = sealed.seq;
            if let Some(snapshot) = &mut self.snapshot {
                snapshot.remaining = snapshot.remaining.saturating_sub(1);
            }
        }
        if let Some(Snapshot { through, link, remaining: 0 }) = self.snapshot {
            self.end.seq = through;
            self.end.link = link;
            self.snapshot = None;
        }
        // What the audit log knows is in force, also if a rollback has left part of its order.
        let is_held_back = unaudited && *more;
        self.order.push(record);
        if !is_held_back {
            self.apply(unaudited);
        }
        Ok(())
    }

    /// Makes the changes that were held back.
    fn apply(&mut self, unaudited: bool) {
        let loaded = &mut self.loaded;
        for Record { sealed, metadata: Metadata { audited, change, .. } } in self.order.drain(..) {
            if unaudited {
                loaded.unaudited.push(Unaudited::of(sealed.seq, &change));
            }
            loaded.audited = loaded.audited.max(audited);
            loaded.state.apply(change, Arc::new(sealed));
        }
        loaded.state.seq = self.end.seq;
        loaded.end = self.end;
    }

    /// What was read of a file of `size` bytes, the rest of which an interrupted write left.
    fn finish(mut self, size: u64) -> Loaded {
        self.loaded.unfinished_bytes = size - self.loaded.end.length;
        self.loaded
    }

    /// What is wrong with the line behind those that were taken.
    fn damaged(&self, why: String) -> LoadError {
        LoadError::Damaged { line: self.end.records + 2, why }
    }

    /// Whether `line`, which is no good record, is what an interrupted write leaves behind the good ones.
    fn was_never_finished(&self, line: &[u8]) -> bool {
        let torn = !line.ends_with(b"\n") && (line.len() as u64) < LONGEST_LINE;
        // A newline that was changed leaves a whole record and one byte more; a torn write never does.
        let whole_and_more = || {
            line.split_last().is_some_and(|(_, record)| {
                Sealed::parse(record, self.end.link).is_some_and(|sealed| sealed.open(&self.loaded.key).is_ok())
            })
        };
        let never_written = line.contains(&0) && self.end.seq >= self.known;
        self.snapshot.is_none() && (never_written || (torn && !whole_and_more()))
    }
}

impl Unaudited {
    fn of(seq: u64, change: &Change) -> Self {
        let (name, kid) = change.subject();
        Self { seq, what: change.kind(), name: name.to_owned(), kid: kid.map(|kid| kid.of(name)) }
    }

    /// What its audit line says of it.
    pub fn detail(&self) -> String {
        format!("{}: found in the vault at the start, never acknowledged", self.what)
    }

    /// Whether a line with this detail is about a change that made a version the current one.
    pub fn is_told_to_make_a_version(detail: &str) -> bool {
        detail.starts_with("put: ")
    }
}
