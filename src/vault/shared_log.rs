//! What orders the changes of several daemons that share a vault. Each of them has the log in a file of its own, its copy.
//!
//! A change is made by putting its records behind the end of the shared log: whoever comes second is told what came before,
//! takes that in, and plans its change again. So all daemons see the same changes in the same order.

use std::time::Duration;

use super::log::End;
use super::log::record::Link;

/// Where a log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The number of the last record.
    pub seq: u64,
    /// What the next record is chained to.
    pub link: Link,
}

impl From<&End> for Position {
    fn from(end: &End) -> Self {
        Self { seq: end.seq, link: end.link }
    }
}

/// Records that are to come behind a place of the log.
pub struct Addition<'a> {
    /// Where the log must stand.
    pub behind: Position,
    /// Where it then stands.
    pub end: Position,
    /// The records' lines, as in a file.
    pub lines: &'a [u8],
    /// What must hold besides.
    pub fence: Fence<'a>,
    /// What was read besides the log, and must not have become more since.
    pub seen: Option<&'a Seen>,
    /// The header line that must be the present one, and the one that takes its place, if the vault is put under another master
    /// key with this.
    pub header: Option<(&'a [u8], &'a [u8])>,
}

/// What must hold when a change takes effect, besides what it was planned on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fence<'a> {
    #[default]
    Nothing,
    /// This daemon leads: what is done by the schedule is done once.
    Leads,
    /// This daemon has claimed this secret.
    Claimed(&'a str),
}

/// What a change goes by that does not stand in the log: the notes at one place, as they were once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The place, as whoever keeps the notes calls it.
    pub place: String,
    /// Notes that were made after this one are not seen.
    pub revision: u64,
}

/// What became of an addition.
pub enum Added {
    /// It is part of the log, durably.
    Done,
    /// It is not: these lines came before it.
    Behind(Vec<u8>),
}

/// Why the shared log could not be changed or asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// It does not answer. Nothing was changed.
    Unanswered(String),
    /// It did not answer, and what was sent may yet take effect.
    Undecided(String),
    /// It has no room.
    Full(String),
    /// It takes nothing that is so large at once.
    TooLarge(String),
    /// It has another history than this daemon's copy, or this copy cannot continue from it.
    Mismatch(String),
    /// What must hold besides does not.
    Fenced(String),
    /// More was noted than what was [seen](Seen).
    Overtaken(String),
    /// It continues from this daemon's copy only by a snapshot, which has to be taken in first. Nothing was changed.
    Compacted(String),
}

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unanswered(why) | Self::Undecided(why) | Self::Full(why) | Self::TooLarge(why) => f.write_str(why),
            Self::Mismatch(why) | Self::Fenced(why) => f.write_str(why),
            Self::Overtaken(why) | Self::Compacted(why) => f.write_str(why),
        }
    }
}

/// The log of a vault that several daemons share.
pub trait SharedLog: Send + Sync {
    /// This daemon's name among them.
    fn node(&self) -> &str;

    /// Whether this daemon leads, as far as it knows: one at a time destroys what is past its grace.
    fn leads(&self) -> bool;

    /// How long a lease of a daemon lasts after it was kept for the last time, and with it what it has claimed.
    fn lease(&self) -> Duration;

    /// Claims the secret `name` for this daemon; who does not have the vault's key knows it as `hidden`. Returns false if
    /// another daemon has claimed it.
    ///
    /// # Errors
    /// If there is no answer in time. Then it is not claimed.
    fn claim(&self, name: &str, hidden: &str) -> Result<bool, Unavailable>;

    /// Whether this daemon's claim of a secret lasts still, by its own clock.
    fn has_claimed(&self, name: &str) -> bool;

    /// Lets other daemons claim the secret.
    fn give_up(&self, name: &str);

    /// How long a caller waits for an answer.
    fn time_limit(&self) -> Duration;

    /// How old what is served may be while the log does not answer.
    fn max_staleness(&self) -> Duration;

    /// Puts records behind the end of the log. An attempt that is not answered is repeated: however often it arrives, it takes
    /// effect at most once.
    ///
    /// # Errors
    /// Only after [`Unavailable::Undecided`] may the records become part of the log.
    fn add(&self, addition: &Addition<'_>) -> Result<Added, Unavailable>;

    /// The lines behind `place`, all that were there when this was called.
    ///
    /// # Errors
    /// If there is no answer in time, or the log does not continue from there.
    fn behind(&self, place: Position) -> Result<Vec<u8>, Unavailable>;

    /// All lines of the vault behind its header, from the snapshot on if there is one.
    ///
    /// # Errors
    /// If there is no answer in time, or the log was set back since this daemon has shared it.
    fn everything(&self) -> Result<Vec<u8>, Unavailable>;
}
