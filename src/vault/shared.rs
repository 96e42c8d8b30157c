//! The vault's side of a log that several daemons share: changes are put in its order, and others' changes are taken in.
//!
//! A read is confirmed before it is answered: this daemon asks whether anything came behind what it knows. So a client sees, at
//! whatever daemon, all that was acknowledged before it asked. One question serves all who wait for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Vault;
use super::log::batch::Batch;
use super::log::change::{Author, Change};
use super::log::file::lines::Record;
use super::log::record;
use super::log::replay::Unaudited;
use super::log::{Log, Undecided};
use super::order::Refused;
use super::shared_log::{Added, Addition, Position, SharedLog, Unavailable};
use super::write::{Terms, Written};
use crate::audit::{AuditFailure, Entry, Tip};
use crate::base::moment::Moment;
use crate::base::sync::{GroupCommit, Unconfirmed, lock};

/// How many additions may be without an answer: what etcd makes of each must be kept in mind.
const MOST_UNDECIDED: usize = 16;

/// How old an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It has all that was acknowledged before it was asked for.
    Confirmed,
    /// It has all that was acknowledged so long ago.
    Stale(Duration),
}

/// What is counted of a vault that several daemons share, since the start.
#[derive(Default)]
pub struct SharedStats {
    /// Records that came into force here, of this daemon and of the others.
    pub applied_own: AtomicU64,
    pub applied_others: AtomicU64,
    /// Answers that were given although nothing was confirmed.
    pub stale_reads: AtomicU64,
}

/// Where a vault stands, and its audit log, both durably.
pub struct Marks {
    pub position: Position,
    pub audit: Tip,
    /// That of the audit log.
    pub public_key: [u8; 32],
}

/// What was read behind the end of the log.
struct Read {
    batch: Batch,
    /// The audit lines of records that this daemon made before its start, and that arrived only now.
    recovered: Vec<Entry>,
    /// How many records are this daemon's.
    own: u64,
}

/// An order that waits for its turn among those of other daemons.
pub(super) struct Turn {
    until: Option<Instant>,
}

impl Turn {
    /// # Errors
    /// If it has waited as long as a caller does.
    pub fn still_waits(&self) -> Result<(), Refused> {
        match self.until {
            Some(until) if Instant::now() >= until => {
                let why = "other daemons' changes came first, again and again; nothing was changed";
                Err(Refused::Shared(Unavailable::Unanswered(why.to_owned())))
            }
            _ => Ok(()),
        }
    }
}

impl Vault {
    /// The same vault, whose changes `shared` orders.
    pub fn sharing(mut self, shared: Arc<dyn SharedLog>) -> Self {
        self.shared = Some(shared);
        self.commits = GroupCommit::gathering();
        self
    }

    /// Whether the work of the schedule is this daemon's, as far as it knows: always, where it has the vault for itself.
    pub fn leads(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.leads())
    }

    /// Whether several daemons share the vault.
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    pub(super) fn turn(&self) -> Turn {
        Turn { until: self.shared.as_ref().map(|shared| Instant::now() + shared.time_limit()) }
    }

    /// Who makes the change that is audited as `entry`; none where nobody else could.
    pub(super) fn author(&self, entry: &Entry) -> Option<Author> {
        self.shared.as_ref().map(|shared| Author::new(shared.node(), entry))
    }

    /// Makes sure that what is read from here on is not older than this call, or as old at most as may be served.
    ///
    /// # Errors
    /// If the shared log does not answer in time, and what is known is older than that.
    pub fn confirm(&self) -> Result<Freshness, Refused> {
        let Some(shared) = &self.shared else { return Ok(Freshness::Confirmed) };
        // While nothing is confirmed, nobody waits for what is only tried.
        if self.confirmations.is_failing()
            && let Some(age) = self.servable_age(&**shared)
        {
            return Ok(Freshness::Stale(age));
        }
        match self.confirm_now() {
            Ok(()) => Ok(Freshness::Confirmed),
            Err(why @ Unavailable::Mismatch(_)) => Err(Refused::Shared(why)),
            Err(why) => self.servable_age(&**shared).map(Freshness::Stale).ok_or(Refused::Shared(why)),
        }
    }

    /// Takes in all that other daemons have changed before this call.
    ///
    /// # Errors
    /// If the shared log does not answer in time.
    pub fn confirm_now(&self) -> Result<(), Unavailable> {
        let Some(shared) = &self.shared else { return Ok(()) };
        if let Some(why) = self.mismatch() {
            return Err(why);
        }
        let confirmed = self.confirmations.confirm(shared.time_limit(), || self.take_in(&**shared));
        confirmed.map_err(|why| match why {
            Unconfirmed::Refused(why) => why,
            Unconfirmed::Late => Unavailable::Unanswered("etcd did not answer in time".to_owned()),
        })
    }

    /// How long ago all changes were known for certain; none: never.
    pub fn confirmed_ago(&self) -> Option<Duration> {
        self.confirmations.last().map(|at| Moment::now().since(at))
    }

    /// How old what is known is, if it may be served all the same.
    fn servable_age(&self, shared: &dyn SharedLog) -> Option<Duration> {
        let may_be = lock(&self.trouble).history.is_none();
        self.confirmed_ago().filter(|age| may_be && *age <= shared.max_staleness())
    }

    fn take_in(&self, shared: &dyn SharedLog) -> Result<(), Unavailable> {
        let place = *lock(&self.visible);
        let lines = match shared.behind(place) {
            // This daemon was away for long: what is behind it is no longer there change by change.
            Err(Unavailable::Compacted(_)) => return self.reload(shared),
            lines => lines.inspect_err(|why| self.note_mismatch(why))?,
        };
        if lines.is_empty() {
            return Ok(());
        }
        // A commit of this daemon's may be under way: what came may be its own, and it is audited there.
        let mut log = lock(&self.log);
        self.follow(&mut log, &lines)
    }

    /// Takes in what others have put behind the end of the log. Returns that nothing was there, or that something came first.
    pub(super) fn take_in_others(&self, log: &mut Log) -> Result<Written, Refused> {
        let Some(shared) = &self.shared else { return Ok(Written::Done) };
        let lines = shared.behind(Position::from(&log.end)).inspect_err(|why| self.note_mismatch(why));
        let lines = lines.map_err(Refused::Shared)?;
        if lines.is_empty() {
            return Ok(Written::Done);
        }
        self.follow(log, &lines).map_err(Refused::Shared)?;
        Ok(Written::OthersFirst)
    }

    /// Puts the records of `batch` behind the end of the shared log and of the copy.
    pub(super) fn add_to_shared(
        &self,
        shared: &dyn SharedLog,
        log: &mut Log,
        batch: &Batch,
        entries: &[Entry],
        terms: Terms<'_>,
    ) -> Result<Written, Refused> {
        if let Some(why) = self.mismatch() {
            return Err(Refused::Shared(why));
        }
        if !log.undecided.is_empty() {
            if self.take_in_others(log)? == Written::OthersFirst {
                return Ok(Written::OthersFirst);
            }
            if log.undecided.len() >= MOST_UNDECIDED {
                let why = format!("etcd has not answered {MOST_UNDECIDED} changes, and must first answer one");
                return Err(Refused::Shared(Unavailable::Unanswered(why)));
            }
        }
        let lines = batch.lines();
        let Terms { fence, seen, header } = terms;
        let (behind, end) = (Position::from(&log.end), Position::from(&batch.end));
        let added = shared.add(&Addition { behind, end, lines: &lines, fence, seen, header });
        match added {
            Ok(Added::Done) => {
                // What stands there now, another addition that was not answered cannot be.
                log.undecided.clear();
                self.append_to_copy(log, &lines);
                Ok(Written::Done)
            }
            Ok(Added::Behind(others)) => {
                self.follow(log, &others).map_err(Refused::Shared)?;
                Ok(Written::OthersFirst)
            }
            Err(why) => {
                self.note_mismatch(&why);
                if matches!(why, Unavailable::Undecided(_)) {
                    log.undecided.push(Undecided { lines, entries: entries.to_vec() });
                }
                Err(Refused::Shared(why))
            }
        }
    }

    /// Takes in `lines`, which stand behind some earlier end of the log: what is in it already is passed over.
    fn follow(&self, log: &mut Log, lines: &[u8]) -> Result<(), Unavailable> {
        let lines = behind(lines, log.end.seq);
        if lines.is_empty() {
            return Ok(());
        }
        let Read { batch, recovered, own } = self.opened(log, lines).map_err(|why| {
            let why = Unavailable::Mismatch(format!(
                "etcd does not continue this daemon's copy behind change {}: {why}",
                log.end.seq
            ));
            self.note_mismatch(&why);
            why
        })?;
        // The first line behind the end shows what has become of an addition that was not answered.
        let undecided = log.undecided.drain(..).find(|undecided| lines.starts_with(&undecided.lines));
        if let Some(Undecided { entries, .. }) = undecided {
            log::warn!("Change {} took effect, although it was not acknowledged", log.end.seq + 1);
            let detail = "took effect after it was answered that it may".to_owned();
            let entries = entries.into_iter().map(|entry| Entry { detail: Some(detail.clone()), ..entry });
            // If they cannot be written now, they come before anything else.
            let _ = self.audit_or_owe(entries.collect());
        }
        if !recovered.is_empty() {
            log::warn!("A change took effect that this daemon made before its start, without an answer");
            let _ = self.audit_or_owe(recovered);
        }
        self.append_to_copy(log, lines);
        self.shared_stats.applied_own.fetch_add(own, Ordering::Relaxed);
        self.shared_stats.applied_others.fetch_add(batch.records.len() as u64 - own, Ordering::Relaxed);
        let changed: BTreeSet<String> = batch.records.iter().map(|(change, _)| change.subject().0.to_owned()).collect();
        self.make_visible(log, batch, changed.iter().map(String::as_str));
        Ok(())
    }

    /// The records in `lines`, if they are authentic behind the end of the log.
    fn opened(&self, log: &Log, lines: &[u8]) -> Result<Read, String> {
        let undecided = log.undecided.iter().find(|undecided| lines.starts_with(&undecided.lines));
        let ours = undecided.map_or(0, |undecided| undecided.lines.len());
        let node = self.shared.as_ref().map(|shared| shared.node());
        let key = self.key();
        let (mut all, mut read) = (Read { batch: Batch::behind(log.end), recovered: Vec::new(), own: 0 }, 0);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let end = all.batch.end;
            let Record { sealed, metadata } = Record::open(line, end.link, &key)?;
            if sealed.seq != end.seq + 1 {
                return Err(format!("record {} stands where record {} belongs", sealed.seq, end.seq + 1));
            }
            if matches!(metadata.change, Change::Snapshot { .. }) {
                return Err("a snapshot stands only at the top".to_owned());
            }
            read += line.len();
            if metadata.by.as_ref().map(|by| by.node.as_str()) == node {
                all.own += 1;
                if read > ours {
                    let at = key.at(sealed.seq, &sealed.link());
                    let found = "took effect after the daemon had ended";
                    all.recovered.push(Unaudited::of(at, &metadata.change, metadata.by).entry(found));
                }
            }
            all.batch.push(metadata.change, sealed);
        }
        Ok(all)
    }

    fn append_to_copy(&self, log: &mut Log, lines: &[u8]) {
        let appended = log.append_to_copy(lines);
        self.note_storage(appended);
    }

    /// Writes these lines, or has them come before whatever is written next: what they tell of is in force already.
    pub(super) fn audit_or_owe(&self, entries: Vec<Entry>) -> Result<(), AuditFailure> {
        let written = self.audit.write_synced(entries.clone());
        if let Err(AuditFailure::NotWritten(_)) = &written {
            self.audit.owe(entries);
        }
        written
    }

    /// Where the vault and its audit log stand.
    ///
    /// # Errors
    /// If the disk does not confirm that the audit log will stay so.
    pub fn marks(&self) -> Result<Marks, AuditFailure> {
        let position = *lock(&self.visible);
        let audit = self.audit.tip();
        self.audit.sync_all()?;
        Ok(Marks { position, audit, public_key: self.audit.public_key() })
    }

    /// The vault's id, 32 hex digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What was counted of the other daemons that share this vault.
    pub fn shared_stats(&self) -> &SharedStats {
        &self.shared_stats
    }

    /// Why nothing can be written to the audit log; none: it can be.
    pub fn audit_trouble(&self) -> Option<String> {
        self.audit.trouble()
    }

    /// Whether changes are in force whose lines could not be written to the audit log yet.
    pub fn owes_lines(&self) -> bool {
        self.audit.owed() > 0
    }

    /// Whether the others have another history, so that nothing is served.
    pub fn has_other_history(&self) -> bool {
        lock(&self.trouble).history.is_some()
    }

    fn mismatch(&self) -> Option<Unavailable> {
        lock(&self.trouble).history.clone().map(Unavailable::Mismatch)
    }

    pub(super) fn note_mismatch(&self, why: &Unavailable) {
        let Unavailable::Mismatch(why) = why else { return };
        let mut trouble = lock(&self.trouble);
        if trouble.history.is_none() {
            log::error!("Nothing is served or changed any more: {why}");
            trouble.history = Some(why.clone());
        }
    }
}

/// Of `lines`, those of records behind number `seq`.
fn behind(lines: &[u8], seq: u64) -> &[u8] {
    let known =
        lines.split_inclusive(|byte| *byte == b'\n').take_while(|line| record::seq(line).is_some_and(|its| its <= seq));
    &lines[known.map(<[u8]>::len).sum()..]
}
