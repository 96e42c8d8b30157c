//! Which client has read which version, in etcd: put there before the client has the value, so that a retirement at any daemon
//! goes by the reads of all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::answers::{asked, ranges};
use super::keys::just_behind;
use super::log::EtcdLog;
use super::reads_begin;
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::base::sync::{GroupCommit, lock};
use crate::consumers::{Consumers, SharedRead, SharedReads};
use crate::etcd::{Keys, Operation, Range, RangeAnswer, Txn};
use crate::vault::{Seen, Unavailable, Vault};

/// How many reads are put, or deleted, at once. etcd takes 128 operations.
const AT_ONCE: usize = 100;

/// How many reads one answer brings.
const PAGE: u64 = 512;

/// How many answers are asked for in one turn of work that nobody waits for.
const PAGES_A_TURN: usize = 8;

/// How often a daemon takes in what clients have read at the others.
const TAKES_IN_EVERY: Duration = Duration::from_secs(60);

/// How often the daemon that leads deletes what is known of versions that are gone.
const CLEARS_EVERY: Duration = Duration::from_secs(60 * 60);

/// The reads of all daemons, as one of them notes and finds them.
pub struct EtcdReads {
    log: Arc<EtcdLog>,
    vault: Arc<Vault>,
    since: Timestamp,
    notes: GroupCommit<Note, Result<(), Unavailable>>,
    /// Those that nobody waits for, by their keys.
    later: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    rounds: Mutex<Rounds>,
}

/// A key of etcd's, and what is put there.
struct Note {
    key: Vec<u8>,
    value: Vec<u8>,
}

/// What is done again and again.
#[derive(Default)]
struct Rounds {
    taking_in: Walk,
    clearing: Walk,
    /// The reads that were put up to this revision are taken in.
    taken_in: u64,
}

/// A walk over all keys, in several turns.
#[derive(Default)]
struct Walk {
    ended: Option<Instant>,
    /// Where it goes on, and the revision at which it began; none: none is under way.
    next: Option<(Vec<u8>, u64)>,
}

impl Walk {
    fn is_due(&self, every: Duration) -> bool {
        self.next.is_some() || self.ended.is_none_or(|ended| ended.elapsed() >= every)
    }

    /// Makes one turn: has `ask` ask for one page after the other, from a key on. Returns the revision at which the walk began,
    /// once it has ended.
    fn turn(
        &mut self,
        mut ask: impl FnMut(Option<Vec<u8>>) -> Result<RangeAnswer, Unavailable>,
    ) -> Result<Option<u64>, Unavailable> {
        for _ in 0..PAGES_A_TURN {
            let from = self.next.as_ref().map(|(key, _)| key.clone());
            let page = ask(from)?;
            let begun = self.next.as_ref().map_or(page.revision, |(_, begun)| *begun);
            match page.pairs.last().filter(|_| page.more) {
                Some(last) => self.next = Some((just_behind(&last.key), begun)),
                None => {
                    *self = Self { ended: Some(Instant::now()), next: None };
                    return Ok(Some(begun));
                }
            }
        }
        Ok(None)
    }
}

impl EtcdReads {
    /// Begins to note what is read at this daemon, which must not have served anything before.
    ///
    /// # Errors
    /// If etcd does not answer, or what it has is not of this vault.
    pub fn begin(log: Arc<EtcdLog>, vault: Arc<Vault>) -> Result<Self, Failure> {
        let since = reads_begin::since(&log, &vault)?;
        reads_begin::tell_staleness(&log)?;
        let (notes, later, rounds) = (GroupCommit::default(), Mutex::default(), Mutex::default());
        Ok(Self { log, vault, since, notes, later, rounds })
    }

    /// What is to be done at regular intervals: tells `consumers` what was read at the other daemons, and, if this one `leads`,
    /// clears away what is of no use.
    ///
    /// # Errors
    /// If etcd does not answer. The rest is done the next time.
    pub fn turn(&self, consumers: &Consumers, leads: bool) -> Result<(), Unavailable> {
        let mut rounds = lock(&self.rounds);
        if rounds.taking_in.is_due(TAKES_IN_EVERY) {
            let from = rounds.taken_in + 1;
            let ended = rounds.taking_in.turn(|key| {
                let page = self.page(key, from)?;
                // Of a version that this daemon does not know yet, it would take in nothing.
                self.vault.confirm_now()?;
                consumers.take_in(&self.opened(&page)?);
                Ok(page)
            })?;
            rounds.taken_in = ended.unwrap_or(rounds.taken_in);
        }
        if leads && rounds.clearing.is_due(CLEARS_EVERY) {
            rounds.clearing.turn(|key| {
                let page = self.page(key, 0)?;
                self.clear(&page)?;
                Ok(page)
            })?;
        }
        Ok(())
    }

    /// Deletes what is known of versions that do not exist. Those whose reads are in `page` did exist before.
    fn clear(&self, page: &RangeAnswer) -> Result<(), Unavailable> {
        self.vault.confirm_now()?;
        let reads = self.opened(page)?;
        let gone = reads.iter().zip(&page.pairs).filter(|(read, _)| !self.vault.has_version(&read.name, read.kid));
        let gone: Vec<_> = gone.map(|(_, pair)| Operation::Delete(Keys::One(pair.key.clone()))).collect();
        for gone in gone.chunks(AT_ONCE) {
            let txn = Txn { then: gone.to_vec(), ..Txn::default() };
            self.log.etcd().txn(&txn, self.log.deadline()).map_err(asked)?;
        }
        Ok(())
    }

    /// One page of all reads that were put from a revision on.
    fn page(&self, from: Option<Vec<u8>>, min_mod_revision: u64) -> Result<RangeAnswer, Unavailable> {
        let keys = self.log.keys().reads_from(from);
        let range = Range { limit: PAGE, min_mod_revision, ..Range::of(keys) };
        self.log.etcd().range(&range, self.log.deadline()).map_err(asked)
    }

    /// The reads in an answer, in its order.
    fn opened(&self, page: &RangeAnswer) -> Result<Vec<SharedRead>, Unavailable> {
        let opened = page.pairs.iter().map(|pair| {
            let read = self.vault.opened_note(&self.place(&pair.key), &pair.value);
            let read = read.and_then(|read| serde_json::from_slice(&read).ok());
            let why = || format!("a read under {}reads/ was changed, or is of another vault", self.log.keys().prefix());
            read.ok_or_else(|| Unavailable::Unanswered(why()))
        });
        opened.collect()
    }

    /// The place of a note, as it is bound to it: its key, without what all keys begin with, which an operator may change.
    fn place(&self, key: &[u8]) -> String {
        let prefix = self.log.keys().prefix().as_bytes();
        String::from_utf8_lossy(key.strip_prefix(prefix).unwrap_or(key)).into_owned()
    }

    /// What hides a name in a key. There may be many keys: half of it is enough to tell all names apart.
    fn hidden(&self, label: &str, name: &str) -> String {
        let mut hidden = self.vault.hidden(label, name);
        hidden.truncate(32);
        hidden
    }

    fn secret(&self, name: &str) -> String {
        self.hidden("reads of secret", name)
    }

    fn sealed(&self, read: &SharedRead) -> Result<Note, Unavailable> {
        let version = self.hidden("reads of version", &read.kid.of(&read.name));
        let client = self.hidden("reads by client", &read.client);
        let key = self.log.keys().read([&self.secret(&read.name), &version, &client]);
        let text = serde_json::to_vec(read).expect("a read is plain strings and numbers");
        let value = self.vault.sealed_note(&self.place(&key), &text);
        let value = value.map_err(|why| Unavailable::Unanswered(why.to_string()))?;
        Ok(Note { key, value })
    }

    /// Puts what was to be put later: what this daemon has served while etcd was away, and when clients have read last.
    ///
    /// # Errors
    /// If etcd does not answer. The rest is put the next time.
    pub fn put_later(&self) -> Result<(), Unavailable> {
        loop {
            let some: BTreeMap<_, _> = {
                let mut later = lock(&self.later);
                std::iter::from_fn(|| later.pop_first()).take(AT_ONCE).collect()
            };
            if some.is_empty() {
                return Ok(());
            }
            let put = self.put(some.clone());
            if put.is_err() {
                let mut later = lock(&self.later);
                some.into_iter().for_each(|(key, value)| _ = later.entry(key).or_insert(value));
                return put;
            }
        }
    }

    /// Puts these, all or none.
    fn put(&self, notes: BTreeMap<Vec<u8>, Vec<u8>>) -> Result<(), Unavailable> {
        let puts = notes.into_iter().map(|(key, value)| Operation::put(key, value));
        let txn = Txn { then: puts.collect(), ..Txn::default() };
        self.log.etcd().txn(&txn, self.log.deadline()).map(drop).map_err(asked)
    }

    /// Puts the notes of all who wait, and answers each.
    fn put_together(&self, notes: Vec<Note>) -> Vec<Result<(), Unavailable>> {
        let mut answers = Vec::with_capacity(notes.len());
        let mut notes = notes.into_iter().peekable();
        while notes.peek().is_some() {
            // etcd refuses to put a key twice at once, as when a client has sent a request twice.
            let some: Vec<_> = notes.by_ref().take(AT_ONCE).collect();
            let count = some.len();
            let put = self.put(some.into_iter().map(|Note { key, value }| (key, value)).collect());
            answers.extend(std::iter::repeat_n(put, count));
        }
        answers
    }
}

impl SharedReads for EtcdReads {
    fn since(&self) -> Timestamp {
        self.since
    }

    fn note(&self, read: SharedRead) -> Result<(), Unavailable> {
        self.notes.submit(self.sealed(&read)?, |notes| self.put_together(notes))
    }

    fn note_later(&self, read: SharedRead) {
        match self.sealed(&read) {
            Ok(Note { key, value }) => _ = lock(&self.later).insert(key, value),
            Err(why) => log::warn!("Read not noted for the other daemons: {why}"),
        }
    }

    fn of(&self, name: &str) -> Result<(Vec<SharedRead>, Seen), Unavailable> {
        let place = self.secret(name);
        let (mut reads, mut revision) = (Vec::new(), None);
        self.log.each_page(self.log.keys().reads_at(&place), PAGE, |page| {
            // What comes before the first page is seen; what comes later may be on another page that was asked for before.
            revision.get_or_insert(page.revision);
            reads.extend(self.opened(&page)?);
            Ok(())
        })?;
        Ok((reads, Seen { place, revision: revision.unwrap_or_default() }))
    }

    fn unheard(&self) -> Result<Vec<String>, Unavailable> {
        let keys = self.log.keys();
        let [stale, alive] =
            [keys.all_stale(), keys.all_alive()].map(|keys| Range { keys_only: true, ..Range::of(keys) });
        let txn = Txn { then: vec![Operation::Range(stale), Operation::Range(alive)], ..Txn::default() };
        let [stale, alive] = ranges(self.log.etcd().txn(&txn, self.log.deadline()).map_err(asked)?)?;
        let nodes = stale.pairs.iter().filter_map(|pair| keys.node(&pair.key));
        Ok(nodes.filter(|node| !alive.pairs.iter().any(|pair| pair.key == keys.alive(node))).collect())
    }
}
