//! A log in memory that orders the changes of several daemons, and loses answers as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::base::sync::lock;
use crate::vault::copy::{SharedVault, Tail, behind};
use crate::vault::shared_log::{Added, Addition, Fence, Position, SharedLog, Unavailable};

/// What becomes of an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is answered.
    Answered,
    /// It is done, and nobody hears of it.
    Unheard,
    /// It never arrives.
    Lost,
    /// It arrives only when the next one comes.
    Late,
    /// There is no room for it.
    Refused,
}

/// The log that all share.
pub struct Ordered {
    pub header: Mutex<Vec<u8>>,
    pub content: Mutex<Content>,
}

pub struct Content {
    pub end: Position,
    /// The number of the last change that is in the snapshot, and its lines.
    pub snapshot: (u64, Vec<u8>),
    /// What was added and not yet removed, each with the position that it stands behind.
    pub additions: Vec<(Position, Vec<u8>)>,
    /// One that arrives late, with its ends.
    pub late: Option<(Position, Position, Vec<u8>)>,
    pub fates: VecDeque<Fate>,
    /// How many questions are not answered.
    pub unanswered: u64,
    /// The daemon that leads.
    pub leader: &'static str,
    /// Of each secret that is claimed, by its hidden name, the daemon that has claimed it.
    pub claims: BTreeMap<String, &'static str>,
}

impl Content {
    fn put(&mut self, behind: Position, end: Position, lines: &[u8]) -> bool {
        let fits = self.end == behind;
        if fits {
            self.additions.push((behind, lines.to_vec()));
            self.end = end;
        }
        fits
    }

    fn lines_behind(&self, position: Position) -> Result<Vec<u8>, Unavailable> {
        let mismatch = || Unavailable::Mismatch("another history".to_owned());
        if self.end == position {
            return Ok(Vec::new());
        }
        let first = self.additions.iter().position(|(behind, _)| *behind == position);
        let first = first.ok_or_else(|| match position.seq < self.snapshot.0 {
            true => Unavailable::Compacted("compacted".to_owned()),
            false => mismatch(),
        })?;
        Ok(self.additions[first..].iter().flat_map(|(_, lines)| lines.clone()).collect())
    }
}

/// The log as one daemon uses it.
pub struct Node {
    pub log: Arc<Ordered>,
    pub name: &'static str,
    /// Of each secret that this daemon has claimed, its hidden name.
    pub claimed: Mutex<BTreeMap<String, String>>,
}

impl Node {
    fn holds(&self, fence: Fence<'_>, content: &Content) -> bool {
        match fence {
            Fence::Nothing => true,
            Fence::Leads => content.leader == self.name,
            Fence::Claimed(name) => {
                let hidden = lock(&self.claimed).get(name).cloned();
                hidden.is_some_and(|hidden| content.claims.get(&hidden) == Some(&self.name))
            }
        }
    }
}

impl SharedLog for Node {
    fn node(&self) -> &str {
        self.name
    }

    fn leads(&self) -> bool {
        self.holds(Fence::Leads, &lock(&self.log.content))
    }

    fn lease(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn claim(&self, name: &str, hidden: &str) -> Result<bool, Unavailable> {
        assert_ne!(name, hidden);
        let mut content = lock(&self.log.content);
        let is_ours = *content.claims.entry(hidden.to_owned()).or_insert(self.name) == self.name;
        if is_ours {
            lock(&self.claimed).insert(name.to_owned(), hidden.to_owned());
        }
        Ok(is_ours)
    }

    fn has_claimed(&self, name: &str) -> bool {
        self.holds(Fence::Claimed(name), &lock(&self.log.content))
    }

    fn give_up(&self, name: &str) {
        let mut content = lock(&self.log.content);
        if self.holds(Fence::Claimed(name), &content) {
            content.claims.remove(&lock(&self.claimed)[name]);
        }
        lock(&self.claimed).remove(name);
    }

    fn time_limit(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn max_staleness(&self) -> Duration {
        Duration::ZERO
    }

    fn add(&self, addition: &Addition<'_>) -> Result<Added, Unavailable> {
        let Addition { behind, end, lines, fence, header, .. } = *addition;
        let mut content = lock(&self.log.content);
        if let Some((behind, end, lines)) = content.late.take() {
            content.put(behind, end, &lines);
        }
        if !self.holds(fence, &content) {
            return Err(Unavailable::Fenced("fenced".to_owned()));
        }
        let undecided = || Unavailable::Undecided("unheard".to_owned());
        match content.fates.pop_front().unwrap_or(Fate::Answered) {
            Fate::Answered => match content.put(behind, end, lines) {
                true => {
                    if let Some((_, header)) = header {
                        *lock(&self.log.header) = header.to_vec();
                    }
                    Ok(Added::Done)
                }
                false => content.lines_behind(behind).map(Added::Behind),
            },
            Fate::Unheard => {
                content.put(behind, end, lines);
                Err(undecided())
            }
            Fate::Lost => Err(undecided()),
            Fate::Late => {
                content.late = Some((behind, end, lines.to_vec()));
                Err(undecided())
            }
            Fate::Refused => Err(Unavailable::Full("no room".to_owned())),
        }
    }

    fn everything(&self) -> Result<Vec<u8>, Unavailable> {
        self.all()
    }

    fn behind(&self, position: Position) -> Result<Vec<u8>, Unavailable> {
        let mut content = lock(&self.log.content);
        if content.unanswered > 0 {
            content.unanswered -= 1;
            return Err(Unavailable::Unanswered("silence".to_owned()));
        }
        content.lines_behind(position)
    }
}

impl Node {
    pub fn header(&self) -> Vec<u8> {
        lock(&self.log.header).clone()
    }
}

impl SharedVault for Node {
    fn node(&self) -> &str {
        self.name
    }

    fn from(&self, position: Position) -> Result<Tail, Unavailable> {
        let content = lock(&self.log.content);
        if position.seq > content.end.seq {
            return Err(Unavailable::Mismatch("it ends before that".to_owned()));
        }
        if content.additions.first().is_some_and(|(behind, _)| position.seq < behind.seq) {
            return Ok(Tail::Compacted);
        }
        let all: Vec<u8> = content.additions.iter().flat_map(|(_, lines)| lines.clone()).collect();
        behind(&all, position).map(|lines| Tail::Lines(lines.to_vec()))
    }

    fn all(&self) -> Result<Vec<u8>, Unavailable> {
        let content = lock(&self.log.content);
        let (through, snapshot) = &content.snapshot;
        let rest = content.additions.iter().filter(|(behind, _)| behind.seq >= *through);
        Ok(rest.fold(snapshot.clone(), |all, (_, lines)| [all, lines.clone()].concat()))
    }
}
