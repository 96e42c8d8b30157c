//! A daemon's copy of a vault that others change too, brought to the end of the log that they share.
//!
//! The copy is not synced with each change: after a power cut it may be short, torn or worse. What is missing comes from the
//! shared log; a copy that is no good is set aside, and a new one is made of what the shared log has.

use std::io::{Cursor, Read};
use std::path::Path;

use super::copy_file::{CopyFile, Unfit};
use super::found::{Found, VaultFile};
use super::log::file::lines::LoadError;
use super::log::file::store::FileStore;
use super::log::header::Header;
use super::log::record;
use super::log::replay::{self, Known};
use super::seal::{KeyBytes, SealingKey};
use super::shared_log::{Position, Unavailable};
use crate::audit::VaultAt;
use crate::base::failure::Failure;
use crate::base::files;

/// No daemon is called so.
const NOBODY: &str = "";

/// What is asked of a shared log at the start.
pub trait SharedVault {
    /// This daemon's name among those that share it.
    fn node(&self) -> &str;

    /// The lines behind `position`, wherever between two additions that is.
    ///
    /// # Errors
    /// [`Unavailable::Mismatch`], if the log has another history than what ends there, or ends before it.
    fn from(&self, position: Position) -> Result<Tail, Unavailable>;

    /// All lines behind the header.
    ///
    /// # Errors
    /// If it does not answer, or has no vault.
    fn all(&self) -> Result<Vec<u8>, Unavailable>;
}

/// What a shared log has behind a position.
pub enum Tail {
    Lines(Vec<u8>),
    /// A snapshot has taken the place of the lines behind it.
    Compacted,
}

impl Found {
    /// Reads the copy at `path`, and what `shared` has behind it. `line` is the header line that it has there, and `known` is the
    /// last change that the audit log knows.
    /// `takes_another_history`: a copy from which the shared log does not continue is set aside, as one is that cannot be read.
    ///
    /// # Errors
    /// If the shared log does not answer, the key is another one, or one of the two was changed.
    pub fn look_shared(
        path: &Path,
        line: &[u8],
        master: &KeyBytes,
        known: VaultAt,
        shared: &dyn SharedVault,
        takes_another_history: bool,
    ) -> Result<Self, Failure> {
        let master = SealingKey::new(master);
        // A log that says nothing yet knows of no change: what a daemon of this name has made before is not in it.
        let node = if known == VaultAt::START { NOBODY } else { shared.node() };
        let known = Known { at: known, node: Some(node) };
        let fail = |why: &dyn std::fmt::Display| Failure::new("etcd", why);
        let header = Header::parse(line.trim_ascii_end()).map_err(|why| fail(&why))?;
        let mut unfit = None;
        if !files::is_missing(path) {
            match Self::continued(path, &master, known, shared, &header)? {
                Continued::Yes(found) => return Ok(*found),
                Continued::No(Unfit::Elsewhere(why)) if !takes_another_history => {
                    return Err(another_history(path, why));
                }
                Continued::No(why) => unfit = Some(why),
            }
        }
        let mut whole = line.to_vec();
        whole.extend(shared.all().map_err(|why| fail(&why))?);
        let loaded =
            replay::load(&mut whole.as_slice(), whole.len() as u64, &master, known).map_err(|why| fail(&why))?;
        if loaded.unfinished_bytes > 0 {
            return Err(fail(&"the vault in it ends in a line that is not whole; restore etcd from a snapshot"));
        }
        let copy = CopyFile { path: path.to_owned(), kept: None, rest: whole, unfit };
        Ok(Self { loaded, file: VaultFile::Copy(copy) })
    }

    fn continued(
        path: &Path,
        master: &SealingKey,
        known: Known<'_>,
        shared: &dyn SharedVault,
        whose: &Header,
    ) -> Result<Continued, Failure> {
        let fail = |why: &dyn std::fmt::Display| Failure::new(path.display(), why);
        let store = FileStore::open(path).map_err(|why| fail(&why))?;
        let header = match replay::header(store.reader(0)) {
            Ok(header) => header,
            Err(why @ LoadError::Io(_)) => return Err(fail(&why)),
            Err(why) => return Ok(unreadable(why.to_string())),
        };
        if header.vault_id() != whose.vault_id() {
            return Ok(elsewhere("it is a copy of another vault".to_owned()));
        }
        // The vault may have been put under another master key meanwhile.
        let (before, line) = (header.line(), whose.line());
        let begun = |until: u64| {
            let rest = store.reader(before.len() as u64).take(until - before.len() as u64);
            Cursor::new(line.clone()).chain(rest)
        };
        // What the audit log knows beyond it is no rollback of a copy: it may come from the shared log.
        let all = Known { at: VaultAt { seq: 0, head: None }, ..known };
        let copy = match replay::load(&mut begun(store.length()), store.length(), master, all) {
            Ok(copy) => copy,
            Err(why @ (LoadError::WrongKey | LoadError::Io(_))) => return Err(fail(&why)),
            Err(why) => return Ok(unreadable(why.to_string())),
        };
        let rest = match shared.from(Position::from(&copy.end)) {
            Ok(Tail::Lines(lines)) => lines,
            Ok(Tail::Compacted) => return Ok(unreadable("etcd has gone on too far behind it".to_owned())),
            Err(Unavailable::Mismatch(why)) => return Ok(elsewhere(why)),
            Err(why) => return Err(Failure::new("etcd", why)),
        };
        let length = copy.end.length;
        let mut whole = begun(length).chain(Cursor::new(&rest));
        let loaded = match replay::load(&mut whole, length + rest.len() as u64, master, known) {
            Ok(loaded) if loaded.unfinished_bytes == 0 => loaded,
            Ok(_) => return Ok(elsewhere("what etcd has behind it does not continue it".to_owned())),
            Err(why) => {
                return Ok(elsewhere(format!("what etcd has behind it does not continue it: {why}")));
            }
        };
        let (kept, rest) = match before == line {
            true => (Some((store, length)), rest),
            false => {
                let mut whole = Vec::new();
                begun(length).chain(Cursor::new(rest)).read_to_end(&mut whole).map_err(|why| fail(&why))?;
                (None, whole)
            }
        };
        let copy = CopyFile { path: path.to_owned(), kept, rest, unfit: None };
        Ok(Continued::Yes(Box::new(Self { loaded, file: VaultFile::Copy(copy) })))
    }

    /// Why the copy that is there is not of the same history; none: it is, or cannot be read.
    pub fn other_history(&self) -> Option<&str> {
        match &self.file {
            VaultFile::Copy(CopyFile { unfit: Some(Unfit::Elsewhere(why)), .. }) => Some(why),
            _ => None,
        }
    }
}

enum Continued {
    Yes(Box<Found>),
    No(Unfit),
}

fn unreadable(why: impl Into<String>) -> Continued {
    Continued::No(Unfit::Unreadable(why.into()))
}

fn elsewhere(why: impl Into<String>) -> Continued {
    Continued::No(Unfit::Elsewhere(why.into()))
}

fn another_history(path: &Path, why: String) -> Failure {
    let remedy = "etcd was perhaps restored from an older snapshot; bring back the newer one, or start once with \
                  --accept-rollback, which is audited and sets this copy aside";
    Failure::new(path.display(), format_args!("etcd has another history than this daemon's copy: {why}: {remedy}"))
}

/// Of `lines`, which begin somewhere before `position`, those behind it.
///
/// # Errors
/// If they do not have the record at that position as its link says.
pub fn behind(lines: &[u8], position: Position) -> Result<&[u8], Unavailable> {
    let mismatch = || Unavailable::Mismatch(format!("it has another change with the number {}", position.seq));
    let mut length = 0;
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        if record::seq(line).ok_or_else(mismatch)? > position.seq {
            break;
        }
        length += line.len();
        let (seq, link) = record::place(line.trim_ascii_end()).ok_or_else(mismatch)?;
        if seq == position.seq && link != position.link {
            return Err(mismatch());
        }
    }
    Ok(&lines[length..])
}

/// Where a log ends whose last line is this one.
pub fn position_behind(line: &[u8]) -> Option<Position> {
    let (seq, link) = record::place(line.trim_ascii_end())?;
    Some(Position { seq, link })
}
