//! Reading the vault file at the start: every record is opened, in its place in the chain.
//!
//! What an interrupted write leaves is told apart from damage: the end of the file lacks its newline, or, behind the last
//! change that the audit log knows, there are bytes that were never written (zeros). Anything else that does not open is
//! damage, and the vault is not used. A copy that was torn while the audit log went on is an older vault, no damaged one.

use std::io::Read;
use std::sync::Arc;

use super::change::Change;
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
pub fn load(vault: impl Read, size: u64, master: &SealingKey, known: u64) -> Result<Loaded, LoadError> {
    let mut lines = Lines::of(vault);
    let (header, length) = lines.header()?;
    let key = header.unwrap_key(master).map_err(|NotAuthentic| LoadError::WrongKey)?;
    let mut loaded = Loaded {
        header,
        key,
        state: State::default(),
        end: End { seq: 0, link: NO_LINK, length, records: 0, overhead_bytes: length, overhead_records: 0 },
        unaudited: Vec::new(),
        audited: 0,
        unfinished_bytes: 0,
    };
    let mut snapshot = None;
    let mut portions = [Portion::default(), Portion::default()];
    loop {
        // The first record says where a snapshot ends. No portion goes beyond: what follows is chained to something else.
        let wanted = if loaded.end.records == 0 { [1, 0] } else { [PORTION; 2] };
        let mut after = Some(loaded.end.link);
        let mut left = snapshot.as_ref().map_or(u64::MAX, |snapshot: &Snapshot| snapshot.remaining);
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
        for (portion, opened) in portions.iter().zip(open_both(&portions, &loaded.key)) {
            for (line, opened) in portion.lines().zip(opened) {
                let taken = opened.and_then(|record| loaded.take(record, line.len() as u64, &mut snapshot, known));
                let Err(why) = taken else { continue };
                if snapshot.is_none() && loaded.was_never_finished(line, known) {
                    loaded.unfinished_bytes = size - loaded.end.length;
                    return Ok(loaded);
                }
                return Err(LoadError::Damaged { line: loaded.next_line(), why });
            }
        }
    }
    match snapshot {
        None => Ok(loaded),
        Some(_) => {
            Err(LoadError::Damaged { line: loaded.next_line(), why: "the file ends inside of its snapshot".to_owned() })
        }
    }
}

/// How much of a snapshot is still to come, and what follows it.
struct Snapshot {
    through: u64,
    link: Link,
    remaining: u64,
}

impl Loaded {
    fn take(
        &mut self,
        Record { sealed, audited, change }: Record,
        length: u64,
        snapshot: &mut Option<Snapshot>,
        known: u64,
    ) -> Result<(), String> {
        let first = self.end.records == 0;
        match (&change, &snapshot) {
            (Change::Snapshot { .. }, _) if !first => return Err("a snapshot stands only at the top".to_owned()),
            (Change::Snapshot { .. }, _) | (_, Some(_)) => {}
            (_, None) if sealed.seq != self.end.seq + 1 => {
                return Err(format!("record {} stands where record {} belongs", sealed.seq, self.end.seq + 1));
            }
            (_, None) if sealed.seq > known => self.unaudited.push(Unaudited::of(sealed.seq, &change)),
            _ => {}
        }
        self.audited = self.audited.max(audited);
        self.end.link = sealed.link();
        self.end.length += length;
        self.end.records += 1;
        if matches!(change, Change::Snapshot { .. } | Change::Spent { .. }) {
            self.end.overhead_bytes += length;
            self.end.overhead_records += 1;
        }
        if let Change::Snapshot { through, link, records } = change {
            *snapshot = Some(Snapshot { through, link, remaining: records });
        } else {
            self.end.seq = sealed.seq;
            if let Some(snapshot) = snapshot {
                snapshot.remaining = snapshot.remaining.saturating_sub(1);
            }
            self.state.apply(change, Arc::new(sealed));
        }
        if let Some(Snapshot { through, link, remaining: 0 }) = *snapshot {
            self.end.seq = through;
            self.end.link = link;
            self.state.seq = through;
            *snapshot = None;
        }
        Ok(())
    }

    /// The line behind those that were taken, from 1.
    fn next_line(&self) -> u64 {
        self.end.records + 2
    }

    /// Whether `line`, which is no good record, is what an interrupted write leaves behind the good ones.
    fn was_never_finished(&self, line: &[u8], known: u64) -> bool {
        let torn = !line.ends_with(b"\n") && (line.len() as u64) < LONGEST_LINE;
        // A newline that was changed leaves a whole record and one byte more; a torn write never does.
        let whole_and_more = || {
            line.split_last().is_some_and(|(_, record)| {
                Sealed::parse(record, self.end.link).is_some_and(|sealed| sealed.open(&self.key).is_ok())
            })
        };
        let never_written = line.contains(&0) && self.end.seq >= known;
        never_written || (torn && !whole_and_more())
    }
}

impl Unaudited {
    fn of(seq: u64, change: &Change) -> Self {
        let (name, kid) = change.subject();
        Self { seq, what: change.kind(), name: name.to_owned(), kid: kid.map(|kid| kid.of(name)) }
    }
}
