//! The shared log in etcd: added to by comparing where it ends, read back in one consistent look.

use std::fmt::Display;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::answers::{added, asked, malformed, only, ranges};
use super::courtesy::Courtesy;
use super::head::{Head, known_by};
use super::keys::{KeySpace, just_behind};
use super::room::Room;
use super::standing::Standing;
use super::stats::Stats;
use crate::base::failure::Failure;
use crate::base::sync::lock;
use crate::etcd::{self, Condition, Etcd, KeyValue, Keys, Operation, Range, RangeAnswer, Txn};
use crate::vault::{
    Added, Addition, Fence, Position, Seen, SharedLog, SharedVault, Unavailable, lines_behind, position_behind,
};

/// How many additions one answer brings. Each has 1 MiB at most, which is a third more in JSON; an answer may have 64 MiB.
pub(super) const PAGE: u64 = 32;

/// The log that several daemons share, as one of them uses it.
pub struct EtcdLog {
    etcd: Etcd,
    keys: KeySpace,
    node: String,
    lease: Duration,
    time_limit: Duration,
    max_staleness: Duration,
    /// What is known of the head besides where the log ends.
    head: Mutex<Option<Head>>,
    /// What this daemon is among the others.
    standing: Standing,
    /// What this daemon has left of itself under `member/`, and what it may have; empty: nothing.
    left: Mutex<Vec<Vec<u8>>>,
    /// Held by whoever claims a secret or deletes a claim.
    claiming: Mutex<()>,
    courtesy: Courtesy,
    /// It came second, and etcd has noted that it wants to add something.
    wants: AtomicBool,
    /// Others had added nothing when it was asked last.
    is_quiet: AtomicBool,
    pub room: Room,
    pub stats: Stats,
}

type KeyAndValue = (Vec<u8>, Vec<u8>);

impl EtcdLog {
    pub fn new(
        etcd: Etcd,
        keys: KeySpace,
        node: String,
        lease: Duration,
        time_limit: Duration,
        max_staleness: Duration,
    ) -> Self {
        Self {
            etcd,
            keys,
            node,
            lease,
            time_limit,
            max_staleness,
            head: Mutex::default(),
            standing: Standing::default(),
            left: Mutex::default(),
            claiming: Mutex::default(),
            courtesy: Courtesy::default(),
            wants: AtomicBool::new(false),
            is_quiet: AtomicBool::new(false),
            room: Room::default(),
            stats: Stats::default(),
        }
    }

    pub fn etcd(&self) -> &Etcd {
        &self.etcd
    }

    pub fn keys(&self) -> &KeySpace {
        &self.keys
    }

    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The head, as far as this daemon has heard.
    pub fn head(&self) -> Option<Head> {
        lock(&self.head).clone()
    }

    /// Under `member/` there is one of these, by which this daemon knows an etcd that was set back.
    pub fn has_left(&self, values: impl IntoIterator<Item = Vec<u8>>) {
        *lock(&self.left) = values.into_iter().collect();
    }

    /// Makes sure that etcd still has what this daemon has left there.
    fn has_what_was_left(&self) -> Result<(), Unavailable> {
        let there = self.value_of(self.keys.member(&self.node), self.deadline()).map_err(asked)?;
        let left = lock(&self.left);
        match left.is_empty() || there.is_some_and(|there| left.contains(&there)) {
            true => Ok(()),
            false => Err(Unavailable::Mismatch(format!(
                "etcd was set back, or this daemon was forgotten there: what it has left under {}member/ is not there",
                self.keys.prefix()
            ))),
        }
    }

    pub fn claiming(&self) -> &Mutex<()> {
        &self.claiming
    }

    /// When a call that is made now must have ended.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.time_limit
    }

    /// Why something failed that was done there.
    pub(super) fn failure(&self, why: impl Display) -> Failure {
        Failure::new(format_args!("etcd, {}", self.keys.prefix()), why)
    }

    /// The vault's header line and the head; none: there is nothing under the prefix yet.
    ///
    /// # Errors
    /// If etcd does not answer, or has something else there.
    pub fn look(&self) -> Result<Option<(Vec<u8>, Head)>, Unavailable> {
        let [header, head] = [self.keys.header(), self.keys.head()].map(Operation::get);
        let txn = Txn { conditions: Vec::new(), then: vec![header, head], otherwise: Vec::new() };
        let answer = self.etcd.txn(&txn, self.deadline()).map_err(asked)?;
        let [header, head] = ranges(answer)?;
        match (only(header), only(head)) {
            (None, None) => Ok(None),
            (Some(header), Some(head)) => {
                let head = Head::parse(&head).map_err(Unavailable::Mismatch)?;
                if head.header != known_by(&header) {
                    return Err(Unavailable::Mismatch(
                        "its `header` is not the one that its `head` tells of".to_owned(),
                    ));
                }
                *lock(&self.head) = Some(head.clone());
                Ok(Some((header, head)))
            }
            _ => Err(Unavailable::Mismatch("of `header` and `head`, one is missing".to_owned())),
        }
    }

    /// Calls `take` with each of these pairs, in the order of their keys, of which a page is in memory at a time.
    ///
    /// # Errors
    /// The first of `take`'s, or if etcd does not answer.
    pub fn each(
        &self,
        keys: Keys,
        mut take: impl FnMut(KeyValue) -> Result<(), Unavailable>,
    ) -> Result<(), Unavailable> {
        self.each_page(keys, PAGE, |page| page.pairs.into_iter().try_for_each(&mut take))
    }

    /// Calls `take` with these pairs, in the order of their keys, so many at a time.
    ///
    /// # Errors
    /// The first of `take`'s, or if etcd does not answer.
    pub fn each_page(
        &self,
        mut keys: Keys,
        limit: u64,
        mut take: impl FnMut(RangeAnswer) -> Result<(), Unavailable>,
    ) -> Result<(), Unavailable> {
        loop {
            let range = Range { limit, ..Range::of(keys.clone()) };
            let page = self.etcd.range(&range, self.deadline()).map_err(asked)?;
            let next = page.pairs.last().filter(|_| page.more).map(|last| just_behind(&last.key));
            take(page)?;
            match (next, &mut keys) {
                (Some(next), Keys::From { first, .. }) => *first = next,
                _ => return Ok(()),
            }
        }
    }

    /// What is known of the head, as the log ends at `position`.
    fn head_at(&self, position: Position) -> Result<Head, Unavailable> {
        let head = lock(&self.head).as_ref().map(|head| head.at(position));
        head.ok_or_else(|| Unavailable::Unanswered("etcd was not looked at yet".to_owned()))
    }

    /// Takes the head from an answer, and checks that the log can have continued from `position`.
    pub fn heard(&self, head: RangeAnswer, position: Position) -> Result<Head, Unavailable> {
        let missing = || Unavailable::Mismatch(format!("the vault under {} is no longer there", self.keys.prefix()));
        let head = Head::parse(&only(head).ok_or_else(missing)?).map_err(Unavailable::Mismatch)?;
        let there = head.position();
        if there.seq < position.seq {
            let why = format!("it ends at change {}, and this daemon knows change {}", there.seq, position.seq);
            return Err(Unavailable::Mismatch(why));
        }
        if there.seq == position.seq && there.link != position.link {
            return Err(Unavailable::Mismatch(format!("it has another change with the number {}", position.seq)));
        }
        self.knows(head.clone());
        Ok(head)
    }

    /// Remembers the head. Of two answers that came at the same time, the later one may be the older one.
    fn knows(&self, head: Head) {
        let mut known = lock(&self.head);
        if known.as_ref().is_none_or(|known| known.position().seq <= head.position().seq) {
            *known = Some(head);
        }
    }

    /// The lines in `log`, which were asked for from `position` on.
    fn lines(&self, head: &Head, log: RangeAnswer, position: Position) -> Result<Vec<u8>, Unavailable> {
        let begins = log.pairs.first().is_some_and(|first| first.key == self.keys.log(position.seq + 1));
        if !begins && head.position().seq > position.seq {
            return Err(match head.snapshot > position.seq {
                true => Unavailable::Compacted(format!(
                    "this daemon was away for long: it knows change {}, and takes in a snapshot; try again",
                    position.seq
                )),
                false => Unavailable::Mismatch(format!("the lines behind change {} are missing", position.seq)),
            });
        }
        Ok(log.pairs.into_iter().flat_map(|pair| pair.value).collect())
    }

    /// Makes sure that the log has not another change at `position` than that one, as far as its lines are still there.
    ///
    /// # Errors
    /// [`Unavailable::Mismatch`] if it has, or ends before it.
    pub fn has(&self, position: Position) -> Result<(), Unavailable> {
        let head = Operation::get(self.keys.head());
        let before = Range { limit: 1, descending: true, ..Range::of(self.keys.log_before(position.seq + 1)) };
        let txn = Txn { then: vec![head, Operation::Range(before)], ..Txn::default() };
        let [head, before] = ranges(self.etcd.txn(&txn, self.deadline()).map_err(asked)?)?;
        self.heard(head, position)?;
        match only(before) {
            Some(lines) => lines_behind(&lines, position).map(drop),
            None => Ok(()),
        }
    }

    /// Takes back that this daemon wants to add something, if it came second and then had nothing to add: others would go on
    /// waiting for it.
    pub fn want_no_more(&self) {
        if self.wants.swap(false, Ordering::Relaxed) {
            // What fails now ends with the lease, or with the next addition.
            let _ = self.etcd.delete_range(Keys::One(self.keys.want(&self.node)), self.deadline());
        }
    }

    /// What must hold for an addition, and the key that tells whether it does.
    fn fence(&self, fence: &Fence<'_>) -> Result<Option<KeyAndValue>, Unavailable> {
        match fence {
            Fence::Nothing => Ok(None),
            Fence::Leads => match self.standing.leads_as() {
                Some(value) => Ok(Some((self.keys.leader(), value))),
                None => Err(Unavailable::Fenced("this daemon no longer leads".to_owned())),
            },
            Fence::Claimed(name) => match self.standing.claimed(name) {
                Some((key, value)) => Ok(Some((key, value))),
                None => Err(Unavailable::Fenced(format!("this daemon's claim of {name} has ended"))),
            },
        }
    }
}

impl SharedLog for EtcdLog {
    fn node(&self) -> &str {
        &self.node
    }

    fn leads(&self) -> bool {
        self.standing.leads()
    }

    fn lease(&self) -> Duration {
        self.lease
    }

    fn claim(&self, name: &str, hidden: &str) -> Result<bool, Unavailable> {
        self.put_claim(name, hidden)
    }

    fn has_claimed(&self, name: &str) -> bool {
        self.standing.claimed(name).is_some()
    }

    fn give_up(&self, name: &str) {
        self.drop_claim(name);
    }

    fn time_limit(&self) -> Duration {
        self.time_limit
    }

    fn max_staleness(&self) -> Duration {
        self.max_staleness
    }

    fn add(&self, addition: &Addition<'_>) -> Result<Added, Unavailable> {
        self.courtesy.wait();
        let Addition { behind, end, lines, fence, seen, header } = *addition;
        let fence = self.fence(&fence)?;
        let (deadline, mut lease) = (self.deadline(), self.standing.lease());
        let had_lease = lease.is_some();
        loop {
            let begun = Instant::now();
            let mut head = self.head_at(behind)?;
            if let Some((present, _)) = header {
                // The head is compared, and it tells of the header.
                head.header = known_by(present);
            }
            let mut next = head.behind(lines, end);
            if let Some((_, header)) = header {
                next.header = known_by(header);
            }
            let own = self.keys.log(behind.seq + 1);
            let (want, wants) = (self.keys.want(&self.node), Range { keys_only: true, ..Range::of(self.keys.wants()) });
            let mut txn = Txn {
                conditions: vec![Condition::ValueIs { key: self.keys.head(), value: head.bytes() }],
                then: vec![
                    Operation::put(self.keys.head(), next.bytes()),
                    Operation::put(own.clone(), lines.to_vec()),
                    Operation::Delete(Keys::One(want.clone())),
                    Operation::Range(wants),
                ],
                otherwise: vec![
                    Operation::get(self.keys.head()),
                    Operation::Range(Range { limit: PAGE, ..Range::of(self.keys.log_from(behind.seq + 1)) }),
                ],
            };
            txn.then.extend(header.map(|(_, header)| Operation::put(self.keys.header(), header.to_vec())));
            if let Some((key, value)) = &fence {
                txn.conditions.push(Condition::ValueIs { key: key.clone(), value: value.clone() });
                txn.otherwise.push(Operation::get(key.clone()));
            }
            if let Some(Seen { place, revision }) = seen {
                let (keys, revision) = (self.keys.reads_at(place), *revision);
                txn.conditions.push(Condition::UnchangedSince { keys: keys.clone(), revision });
                let more = Range { limit: 1, keys_only: true, min_mod_revision: revision + 1, ..Range::of(keys) };
                txn.otherwise.push(Operation::Range(more));
            }
            if let Some(lease) = lease {
                txn.otherwise.push(Operation::Put { key: want, value: Vec::new(), lease: Some(lease) });
            }
            let answer = match self.etcd.txn(&txn, deadline) {
                // Only the one that wants to be noted when it comes second needs it.
                Err(etcd::Error::LeaseGone) if lease.take().is_some() => continue,
                answer => {
                    self.room.note(answer.as_ref().err());
                    // An attempt with the lease that is gone may have been one of several, of which another was carried out.
                    let had_none = lease.is_none() && had_lease;
                    let failed = |why| match added(why) {
                        Unavailable::Full(why) | Unavailable::Unanswered(why) if had_none => {
                            Unavailable::Undecided(why)
                        }
                        why => why,
                    };
                    answer.map_err(failed).inspect_err(|why| self.stats.count_unknown(why))?
                }
            };
            let was_repeated = answer.was_repeated;
            self.wants.store(!answer.succeeded && lease.is_some(), Ordering::Relaxed);
            if answer.succeeded {
                self.stats.repeats_ours.fetch_add(u64::from(was_repeated), Ordering::Relaxed);
                let [wants] = ranges(answer)?;
                self.courtesy.was_added(begun, !wants.pairs.is_empty());
                self.knows(next);
                return Ok(Added::Done);
            }
            let mut answers = answer.ranges.into_iter();
            let (Some(head_there), Some(log)) = (answers.next(), answers.next()) else { return Err(malformed()) };
            if log.pairs.first().is_some_and(|first| first.key == own && first.value == lines) {
                // An earlier attempt got through, and its answer did not: no two records have the same bytes.
                self.stats.repeats_ours.fetch_add(1, Ordering::Relaxed);
                self.heard(head_there, end)?;
                self.courtesy.was_added(begun, false);
                return Ok(Added::Done);
            }
            let head_there = self.heard(head_there, behind)?;
            let lines = self.lines(&head_there, log, behind)?;
            if !lines.is_empty() {
                self.stats.conflicts.fetch_add(1, Ordering::Relaxed);
                self.stats.repeats_other.fetch_add(u64::from(was_repeated), Ordering::Relaxed);
                return Ok(Added::Behind(lines));
            }
            if let Some((_, value)) = &fence {
                let there = answers.next().and_then(only);
                if there.as_ref() != Some(value) {
                    match addition.fence {
                        Fence::Nothing => {}
                        Fence::Leads => self.standing.heard_leader(there),
                        Fence::Claimed(name) => self.standing.give_up(name),
                    }
                    return Err(Unavailable::Fenced("another daemon has taken over".to_owned()));
                }
            }
            if seen.is_some() && answers.next().is_some_and(|more| !more.pairs.is_empty()) {
                return Err(Unavailable::Overtaken("another client has read it meanwhile".to_owned()));
            }
            if header.is_some_and(|(present, _)| head_there.header != known_by(present)) {
                let why = "another daemon has put it under another master key; get that key from there first";
                return Err(Unavailable::Fenced(why.to_owned()));
            }
            // The log ends where it should, and only what else the head tells has changed.
            *lock(&self.head) = Some(head_there);
            if Instant::now() >= deadline {
                return Err(Unavailable::Unanswered("etcd's `head` kept changing".to_owned()));
            }
        }
    }

    fn behind(&self, position: Position) -> Result<Vec<u8>, Unavailable> {
        let (mut position, mut all) = (position, Vec::new());
        // The head alone costs etcd less, and mostly tells that nothing came.
        if self.is_quiet.load(Ordering::Relaxed) {
            let head = Range::of(Keys::One(self.keys.head()));
            let head = self.etcd.range(&head, self.deadline()).map_err(asked)?;
            if self.heard(head, position)?.position() == position {
                return Ok(all);
            }
        }
        loop {
            let head = Operation::get(self.keys.head());
            let log = Operation::Range(Range { limit: PAGE, ..Range::of(self.keys.log_from(position.seq + 1)) });
            let txn = Txn { conditions: Vec::new(), then: vec![head, log], otherwise: Vec::new() };
            // Each page may take as long as one answer: who has been away for long has much to fetch.
            let [head, log] = ranges(self.etcd.txn(&txn, self.deadline()).map_err(asked)?)?;
            let head = self.heard(head, position)?;
            let is_all = !log.more;
            let lines = self.lines(&head, log, position)?;
            if let Some(last) = lines.split_inclusive(|byte| *byte == b'\n').next_back() {
                position = position_behind(last).ok_or_else(malformed)?;
            }
            all.extend(lines);
            if is_all {
                self.is_quiet.store(all.is_empty(), Ordering::Relaxed);
                return Ok(all);
            }
        }
    }

    fn everything(&self) -> Result<Vec<u8>, Unavailable> {
        let lines = self.all()?;
        self.has_what_was_left()?;
        Ok(lines)
    }
}
