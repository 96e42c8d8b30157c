//! Reading the vault file at the start: every record is opened, in its place in the chain.
//!
//! What an interrupted write leaves is told apart from damage: the end of the file lacks its newline, or, behind the last
//! change that the audit log knows, there are bytes that were never written (zeros). Anything else that does not open is
//! damage, and the vault is not used. A copy that was torn while the audit log went on is an older vault, no damaged one.
//! An order of several changes that the audit log does not know is taken whole or, if the file ends in it, not at all.

use std::io::Read;
use std::sync::Arc;

use super::End;
use super::change::{Author, Change, Metadata};
use super::file::lines::{LONGEST_LINE, Lines, LoadError, PORTION, Portion, Record, open_both};
use super::header::{Header, VaultKey};
use super::record::{Link, NO_LINK, Sealed};
use crate::audit::{Entry, Event, VaultAt, VaultHead};
use crate::vault::seal::{NotAuthentic, SealingKey};
use crate::vault::state::State;

/// What a vault file holds.
pub struct Loaded {
    pub header: Header,
    pub key: Arc<VaultKey>,
    /// The state after all changes.
    pub state: State,
    /// Where the next record goes and what it is chained to.
    pub end: End,
    /// How they stand to what the audit log knows.
    pub history: History,
    /// The changes behind the one that the audit log knows: what, in words, of which secret, which version.
    pub unaudited: Vec<Unaudited>,
    /// The newest audit line that was surely on the disk when the last change was made.
    pub audited: u64,
    /// Bytes behind the end that an interrupted write left.
    pub unfinished_bytes: u64,
}

/// How a vault stands to the change that the audit log knows as its last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// It holds that change, and perhaps others behind it.
    Continues,
    /// The vault ends before that change.
    Older,
    /// It holds another change with that number.
    Another,
    /// It was compacted when it had changes behind it, of which the audit log had lines on the disk at that time.
    Beyond,
}

/// A change that the audit log does not know yet.
#[derive(Clone)]
pub struct Unaudited {
    /// Where the vault stands behind it.
    pub at: VaultAt,
    /// What kind of change, in a word.
    pub what: &'static str,
    /// The secret, where it is about one.
    pub name: Option<String>,
    /// The version, where it is one.
    pub kid: Option<String>,
    /// Who made it, where several daemons share the vault.
    pub by: Option<Author>,
}

/// Reads the header of a vault, and nothing else.
pub fn header(vault: impl Read) -> Result<Header, LoadError> {
    Lines::of(vault).header().map(|(header, _)| header)
}

/// What an audit log knows of a vault, and whose log that is.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The last change that it knows.
    pub at: VaultAt,
    /// Which of several daemons has this log; none: there is but one. It tells of no change that another daemon made.
    pub node: Option<&'a str>,
}

/// Reads a whole vault of `size` bytes, of which the audit log knows what `known` says.
pub fn load(vault: &mut dyn Read, size: u64, master: &SealingKey, known: Known<'_>) -> Result<Loaded, LoadError> {
    load_by(vault, size, known, |header| header.unwrap_key(master))
}

/// The same with the data key that `unwrap` finds by the header.
pub fn load_by(
    vault: &mut dyn Read,
    size: u64,
    known: Known<'_>,
    unwrap: impl FnOnce(&Header) -> Result<Arc<VaultKey>, NotAuthentic>,
) -> Result<Loaded, LoadError> {
    let mut lines = Lines::of(vault);
    let (header, length) = lines.header()?;
    let key = unwrap(&header).map_err(|NotAuthentic| LoadError::WrongKey)?;
    let end = End::behind_header(length);
    let head_at_known = key.at(0, &NO_LINK).head.filter(|_| known.at.seq == 0);
    let loaded = Loaded {
        header,
        key,
        state: State::default(),
        end,
        history: History::Continues,
        unaudited: Vec::new(),
        audited: 0,
        unfinished_bytes: 0,
    };
    let mut loading = Loading { loaded, known, head_at_known, end, snapshot: None, order: Vec::new() };
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
                let Err(why) = opened.and_then(|record| loading.take(record)) else { continue };
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
struct Loading<'a> {
    /// What was read, up to the end of the last order that is taken.
    loaded: Loaded,
    known: Known<'a>,
    /// What the vault's own history is up to that change; none: not yet read, or not known.
    head_at_known: Option<VaultHead>,
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

impl Loading<'_> {
    fn take(&mut self, record: Record) -> Result<(), String> {
        let Record { sealed, metadata: Metadata { audited, by, change, more } } = &record;
        let is_ours = by.as_ref().map(|by| by.node.as_str()) == self.known.node;
        let unaudited = match (change, &self.snapshot) {
            (Change::Snapshot { .. }, _) if self.end.records > 0 => {
                return Err("a snapshot stands only at the top".to_owned());
            }
            (Change::Snapshot { .. }, _) | (_, Some(_)) => false,
            (_, None) if sealed.seq != self.end.seq + 1 => {
                return Err(format!("record {} stands where record {} belongs", sealed.seq, self.end.seq + 1));
            }
            (_, None) => is_ours && sealed.seq > self.known.at.seq,
        };
        self.loaded.audited = match change {
            // That is the number of a line in another log.
            _ if !is_ours => self.loaded.audited,
            Change::Snapshot { .. } => *audited,
            // The audit log that was seen before it may have been another one.
            Change::Branch { .. } if !unaudited => *audited,
            // What is in a snapshot was seen before it, too.
            _ if self.snapshot.is_some() => self.loaded.audited,
            _ => self.loaded.audited.max(*audited),
        };
        self.end = self.end.after(sealed, change.is_overhead());
        if let Change::Snapshot { through, link, records } = *change {
            self.snapshot = Some(Snapshot { through, link, remaining: records });
        } else if let Some(snapshot) = &mut self.snapshot {
            snapshot.remaining = snapshot.remaining.saturating_sub(1);
        }
        if let Some(Snapshot { through, link, remaining: 0 }) = self.snapshot {
            self.end.seq = through;
            self.end.link = link;
            self.snapshot = None;
            self.head_at_known = None;
        }
        if self.snapshot.is_none() && self.end.seq == self.known.at.seq {
            self.head_at_known = self.end.at(&self.loaded.key).head;
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
        for Record { sealed, metadata: Metadata { change, by, .. } } in self.order.drain(..) {
            if unaudited {
                loaded.unaudited.push(Unaudited::of(loaded.key.at(sealed.seq, &sealed.link()), &change, by));
            }
            loaded.state.apply(change, Arc::new(sealed));
        }
        loaded.state.seq = self.end.seq;
        loaded.end = self.end;
    }

    /// What was read of a file of `size` bytes, the rest of which an interrupted write left.
    fn finish(mut self, size: u64) -> Loaded {
        self.loaded.unfinished_bytes = size - self.loaded.end.length;
        self.loaded.history = match (self.known.at.head, self.head_at_known) {
            _ if self.loaded.end.seq < self.known.at.seq => History::Older,
            (Some(_), None) => History::Beyond,
            (Some(known), Some(own)) if known != own => History::Another,
            _ => History::Continues,
        };
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
                Sealed::parse(record, self.end.link, &self.loaded.key).is_some_and(|sealed| sealed.open().is_ok())
            })
        };
        let never_written = line.contains(&0) && self.end.seq >= self.known.at.seq;
        self.snapshot.is_none() && (never_written || (torn && !whole_and_more()))
    }
}

impl Unaudited {
    pub fn of(at: VaultAt, change: &Change, by: Option<Author>) -> Self {
        let (name, kid) = change.subject();
        let kid = kid.map(|kid| kid.of(name));
        Self { at, what: change.kind(), name: Some(name.to_owned()).filter(|name| !name.is_empty()), kid, by }
    }

    /// Its audit line, which says where it was found.
    pub fn entry(self, found: &str) -> Entry {
        let detail = format!("{}: {found}, never acknowledged", self.what);
        self.told(detail)
    }

    /// Its audit line in the log of another daemon than the one that made it.
    pub fn entry_elsewhere(self) -> Entry {
        let node = self.by.as_ref().map_or("", |by| by.node.as_str());
        let detail = format!(
            "{}: made by node {node}, which is away or cannot audit it; its own log may tell of it, too",
            self.what
        );
        self.told(detail)
    }

    fn told(self, detail: String) -> Entry {
        let Self { at, name, kid, by, .. } = self;
        let Author { client, remote, request_id, .. } = by.unwrap_or_default();
        Entry {
            client,
            secret_name: name,
            kid,
            remote,
            request_id,
            detail: Some(detail),
            vault: Some(at),
            ..Entry::new(Event::Recovered)
        }
    }

    /// Whether a line with this detail is about a change that made a version the current one.
    pub fn is_told_to_make_a_version(detail: &str) -> bool {
        detail.starts_with("put: ")
    }
}
