//! Snapshots of the log in etcd, by which it stays short: the daemon that leads puts one there, and removes what it replaces.
//!
//! A snapshot is what a compaction of the leader's copy has made, in parts. Nobody sees them before the head names them, in one
//! step. The lines behind the snapshot before stay there until the next one, so that a daemon that lags less than that goes
//! on from them. Whatever is interrupted, the log can be read; what it leaves behind is removed by the next attempt.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::answers::{added, asked, malformed, only, ranges};
use super::head::Head;
use super::log::{EtcdLog, PAGE};
use super::members::{Alive, all_alive};
use crate::base::failure::Failure;
use crate::etcd::{Condition, Keys, Operation, Range, Txn};
use crate::vault::{LastAdditions, Position, SharedLog, Snapshot, Unavailable, Vault, position_behind};

/// How many bytes one part of a snapshot has, and perhaps a line more.
const PART: usize = 512 * 1024;

/// Below this size the log is replaced only once a day.
const SMALL: u64 = 4 << 20;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an attempt that failed is not repeated.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(60);

/// How long a part waits for the one before, so that changes come in between.
const BETWEEN_PARTS: Duration = Duration::from_millis(50);

/// For how long it is tried to have the head name a snapshot, while others add to the log.
const UNTIL_NAMED: Duration = Duration::from_secs(60);

/// When a snapshot is due, and whether one is under way.
#[derive(Default)]
pub struct Snapshots {
    is_under_way: Arc<AtomicBool>,
    /// When the last attempt began.
    begun: Option<Instant>,
    /// The present snapshot, and since when this daemon has known it.
    present: Option<(u64, Instant)>,
}

impl Snapshots {
    /// Puts a snapshot there, on a thread of its own, if this daemon leads and one is due.
    pub fn tend(&mut self, log: &Arc<EtcdLog>, vault: &Arc<Vault>) {
        let Some(head) = log.head() else { return };
        let now = Instant::now();
        let since = match self.present {
            Some((through, since)) if through == head.snapshot => since,
            _ => now,
        };
        self.present = Some((head.snapshot, since));
        let is_early = self.begun.is_some_and(|begun| now - begun < BETWEEN_ATTEMPTS);
        if is_early || !is_due(&head, now - since) {
            return;
        }
        let Some(leader) = log.standing().leads_as() else { return };
        if self.is_under_way.swap(true, Ordering::SeqCst) {
            return;
        }
        self.begun = Some(now);
        let (log, vault, is_under_way) = (log.clone(), vault.clone(), self.is_under_way.clone());
        let started = Builder::new().name("snapshot".to_owned()).spawn(move || {
            let _ended = Ended(is_under_way);
            if let Err(why) = log.put_snapshot(&vault, &leader, BETWEEN_PARTS) {
                log::warn!("The log in etcd was not replaced by a snapshot, and stays as it is: {why}");
            }
        });
        if let Err(why) = started {
            log::error!("A snapshot for etcd could not be begun: {why}");
            self.is_under_way.store(false, Ordering::SeqCst);
        }
    }
}

/// Says that a snapshot is no longer under way, however it ended.
struct Ended(Arc<AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Whether the log is to be replaced, the last snapshot of which is so old.
fn is_due(head: &Head, age: Duration) -> bool {
    let is_any_new = head.position().seq > head.snapshot;
    let is_long = head.log_bytes > SMALL.max(head.parts * PART as u64);
    is_any_new && (is_long || age >= DAY)
}

impl EtcdLog {
    /// Puts a snapshot of the vault in place of the log up to where `vault` stands, and removes what the one before has made
    /// superfluous. `leader` is what this daemon leads by; `pause` is made between two parts.
    ///
    /// # Errors
    /// Says what went wrong. The log can be read as before.
    pub fn put_snapshot(&self, vault: &Vault, leader: &[u8], pause: Duration) -> Result<(), Failure> {
        let failed = |why: Unavailable| Failure::new("etcd", why);
        // Asked for while it leads: nobody else changes which snapshot there is.
        let missing = || failed(Unavailable::Mismatch("there is no vault".to_owned()));
        let (_, before) = self.look().map_err(failed)?.ok_or_else(missing)?;
        self.remove_leftovers(leader, &before).map_err(failed)?;
        let Snapshot { through, lines } = vault.snapshot()?;
        if through.seq <= before.snapshot {
            return Ok(());
        }
        let (mut lines, mut parts) = (BufReader::new(lines), 0);
        while let Some(part) = next_part(&mut lines).map_err(|why| Failure::new("the vault's copy", why))? {
            if parts > 0 {
                std::thread::sleep(pause);
            }
            self.put_part(leader, (through.seq, parts), part).map_err(failed)?;
            parts += 1;
        }
        self.name_snapshot(leader, through, parts).map_err(failed)?;
        log::info!("The log in etcd up to change {} was replaced by a snapshot of {parts} parts", through.seq);
        let replaced = self.look_at_replaced(vault, &before).map_err(failed)?;
        vault.audit_snapshot(through.seq, replaced.open).map_err(|why| Failure::new("audit log", why))?;
        self.remove(replaced.keys).map_err(failed)
    }

    /// Removes parts of snapshots that were interrupted.
    fn remove_leftovers(&self, leader: &[u8], head: &Head) -> Result<(), Unavailable> {
        let keys = self.keys().other_snapshots(head.snapshot);
        let look = keys.clone().map(|keys| Operation::Range(Range { keys_only: true, limit: 1, ..Range::of(keys) }));
        let found = self.etcd().txn(&Txn { then: look.into(), ..Txn::default() }, self.deadline()).map_err(asked)?;
        let revision = found.revision;
        if found.ranges.iter().all(|range| range.pairs.is_empty()) {
            return Ok(());
        }
        // What is written later, by this leader or another one, must not be taken for such parts: not even by an attempt that
        // arrives late.
        let unchanged = keys.clone().map(|keys| Condition::UnchangedSince { keys, revision });
        let conditions = [self.still_leads(leader)].into_iter().chain(unchanged).collect();
        let txn = Txn { conditions, then: keys.map(Operation::Delete).into(), otherwise: Vec::new() };
        let answer = self.etcd().txn(&txn, self.deadline()).map_err(added)?;
        answer.succeeded.then_some(()).ok_or_else(no_longer_leads)
    }

    fn put_part(&self, leader: &[u8], (through, part): (u64, u64), lines: Vec<u8>) -> Result<(), Unavailable> {
        let key = self.keys().snapshot_part(through, part);
        let there = Operation::get(key.clone());
        let txn = Txn {
            // One that an earlier attempt sent in vain may arrive late, and must not take the place of this one.
            conditions: vec![self.still_leads(leader), Condition::IsAbsent { key: key.clone() }],
            then: vec![Operation::put(key, lines.clone())],
            otherwise: vec![there],
        };
        let answer = self.etcd().txn(&txn, self.deadline()).map_err(added)?;
        if answer.succeeded {
            return Ok(());
        }
        let [there] = ranges(answer)?;
        match only(there) {
            // A repeat finds what the first attempt has put.
            Some(there) if there == lines => Ok(()),
            Some(_) => Err(Unavailable::Unanswered("a part of an earlier attempt has arrived late".to_owned())),
            None => Err(no_longer_leads()),
        }
    }

    /// Has the head name the snapshot through a change, which has so many parts.
    fn name_snapshot(&self, leader: &[u8], through: Position, parts: u64) -> Result<(), Unavailable> {
        let until = Instant::now() + UNTIL_NAMED;
        let (mut at, mut log_bytes, mut named) = (through, 0, None::<(Head, Head)>);
        loop {
            let log = Range { limit: PAGE, ..Range::of(self.keys().log_from(at.seq + 1)) };
            let keys = [self.keys().head(), self.keys().leader()].map(|key| Range::of(Keys::One(key)));
            let look: Vec<_> = keys.into_iter().chain([log]).map(Operation::Range).collect();
            let is_try = named.is_some();
            let txn = match named.take() {
                None => Txn { then: look, ..Txn::default() },
                Some((head, next)) => {
                    let (key, value) = (self.keys().head(), next.bytes());
                    let ends_there = Condition::ValueIs { key: key.clone(), value: head.bytes() };
                    Txn {
                        conditions: vec![ends_there, self.still_leads(leader)],
                        then: vec![Operation::put(key, value)],
                        otherwise: look,
                    }
                }
            };
            let answer = self.etcd().txn(&txn, self.deadline()).map_err(added)?;
            if is_try && answer.succeeded {
                return Ok(());
            }
            let [head, leads, log] = ranges(answer)?;
            let head = self.heard(head, at)?;
            if head.snapshot == through.seq {
                // An earlier attempt got through, and its answer did not.
                return Ok(());
            }
            if only(leads).as_deref() != Some(leader) {
                return Err(no_longer_leads());
            }
            for pair in log.pairs {
                at = end_of(&pair.value, at)?;
                log_bytes += pair.value.len() as u64;
            }
            if head.position() == at {
                let next = head.with_snapshot(through.seq, parts, log_bytes);
                named = Some((head, next));
            }
            if Instant::now() >= until {
                return Err(Unavailable::Unanswered("etcd's `head` kept changing".to_owned()));
            }
        }
    }

    /// The snapshot before and the log that it had replaced, and what is lost with them unless it is audited now.
    fn look_at_replaced(&self, vault: &Vault, before: &Head) -> Result<Replaced, Unavailable> {
        let mut keys = vec![self.keys().snapshot(before.snapshot, 0)];
        let (mut last, mut open) = (None, LastAdditions::default());
        self.each(self.keys().log_before(before.snapshot + 1), |pair| {
            last = Some(pair.key);
            vault.note_addition(&mut open, &pair.value)
        })?;
        // The last addition stays: the one behind it can be opened only if that is there.
        keys.extend(last.map(|key| self.keys().log_before_key(&key)));
        let alive = self.etcd().range(&Range::of(self.keys().all_alive()), self.deadline()).map_err(asked)?;
        let alive = all_alive(self.keys(), &alive);
        let audits = |told: &Option<Alive>| told.as_ref().is_none_or(|told| !told.owes_lines);
        open.retain(|node| node != self.node() && !alive.get(node).is_some_and(audits));
        if !open.is_empty() {
            let mut behind = open.behind();
            let later = self.keys().log_from(before.snapshot + 1);
            self.each(later, |pair| vault.note_addition(&mut behind, &pair.value))?;
            open = open.without(&behind);
        }
        Ok(Replaced { keys, open })
    }

    fn remove(&self, keys: Vec<Keys>) -> Result<(), Unavailable> {
        // Deletions that stand alone are carried out also where etcd has no space left.
        keys.into_iter().try_for_each(|keys| self.etcd().delete_range(keys, self.deadline()).map_err(asked))
    }

    fn still_leads(&self, leader: &[u8]) -> Condition {
        Condition::ValueIs { key: self.keys().leader(), value: leader.to_vec() }
    }
}

/// What a snapshot has made superfluous.
struct Replaced {
    keys: Vec<Keys>,
    /// Changes that nothing shows to be audited.
    open: LastAdditions,
}

fn no_longer_leads() -> Unavailable {
    Unavailable::Fenced("this daemon no longer leads".to_owned())
}

/// Where the log stands behind these lines, which stand behind `position`.
fn end_of(lines: &[u8], position: Position) -> Result<Position, Unavailable> {
    match lines.split_inclusive(|byte| *byte == b'\n').next_back() {
        Some(last) => position_behind(last).ok_or_else(malformed),
        None => Ok(position),
    }
}

/// The next lines of a snapshot, as many as make a part; none at the end.
///
/// # Errors
/// If they cannot be read.
pub fn next_part(lines: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut part = Vec::new();
    lines.take(PART as u64).read_to_end(&mut part)?;
    if !part.is_empty() && !part.ends_with(b"\n") {
        lines.read_until(b'\n', &mut part)?;
    }
    Ok(Some(part).filter(|part| !part.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_with_a_line_and_none_is_lost() {
        let line = |n: usize| format!("{n} {}\n", "x".repeat(n * 7 % 90_000)).into_bytes();
        for count in [0, 1, 2, 50, 500] {
            let lines: Vec<u8> = (0..count).flat_map(line).collect();
            let mut rest = lines.as_slice();
            let parts: Vec<_> = std::iter::from_fn(|| next_part(&mut rest).unwrap()).collect();
            assert!(parts.iter().all(|part| part.ends_with(b"\n") && part.len() <= PART + 90_010));
            assert_eq!(parts.concat(), lines);
        }
        let one: Vec<u8> = [vec![b'x'; PART - 1], vec![b'\n']].concat();
        assert_eq!(next_part(&mut one.as_slice()).unwrap().unwrap().len(), PART);
    }

    #[test]
    fn a_snapshot_is_due_when_the_log_is_long_and_longer_than_the_last_one_or_that_is_a_day_old() {
        let head = |seq: u64, snapshot, parts, log_bytes| {
            Head::first(b"h\n").at(Position { seq, link: [1; 16] }).with_snapshot(snapshot, parts, log_bytes)
        };
        let hour = DAY / 24;
        assert!(!is_due(&head(9, 0, 0, SMALL), hour));
        assert!(is_due(&head(9, 0, 0, SMALL + 1), hour));
        assert!(!is_due(&head(9, 3, 20, 20 * PART as u64), hour));
        assert!(is_due(&head(9, 3, 20, 20 * PART as u64 + 1), hour));
        assert!(is_due(&head(9, 8, 20, 1), DAY));
        assert!(!is_due(&head(9, 9, 20, 0), DAY), "nothing came");
    }
}
