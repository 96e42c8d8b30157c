//! Changing the vault: planned under the lock, durable outside of it, audited, then visible and acknowledged.
//!
//! One append and one sync of the vault, and one of the audit log, serve all changes that wait
//! ([`GroupCommit`](crate::base::sync::GroupCommit)), but for an order of many, which has its own.

use std::sync::Arc;

use super::Vault;
use super::log::Log;
use super::log::batch::Batch;
use super::log::change::{Change, Metadata};
use super::order::{AT_A_TIME, Answer, Condition, Done, Duty, Operation, Order, Refused};
use super::plan::{Plan, Planned, Value};
use super::seal::MAX_SEALS;
use super::shared_log::{Fence, Seen, Unavailable};
use super::version::Version;
use super::write::{Terms, Written};
use crate::audit::{Entry, Event};
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::base::sync::lock;

/// How many changes a vault takes. Half of what its data key may seal: compactions seal what is live once more.
const MAX_CHANGES: u64 = MAX_SEALS / 2;

/// How many, where several daemons share it: each of them compacts its copy, and seals a change again that came too late.
const MAX_SHARED_CHANGES: u64 = MAX_SEALS / 32;

/// How many bytes of records are added to a shared log at once: with what surrounds them, less than etcd takes.
const MOST_AT_ONCE: usize = 1 << 20;

impl Vault {
    /// Makes a change, durably and audited, before it returns.
    ///
    /// # Errors
    /// Says why nothing was changed; only [`Refused::Audit`] with `applied` means that it was, and [`Refused::Unsettled`] that it
    /// may be after a restart.
    pub fn commit(self: &Arc<Self>, order: Order) -> Answer {
        let flush = |orders| self.commit_batch(orders);
        // A duty that this daemon has lost must fail no one else's change, and neither must what somebody has not seen.
        let has_terms = order.duty != Duty::None || order.operation.seen().is_some();
        let is_apart = order.operation.count() >= AT_A_TIME || (self.shared.is_some() && has_terms);
        let answer = match is_apart {
            true => self.commits.submit_apart(order, flush),
            false => self.commits.submit(order, flush),
        };
        self.compact_if_worthwhile();
        answer
    }

    /// What would be done for an operation if it came now: the versions that would take the place of others.
    ///
    /// # Errors
    /// If it would be refused.
    pub fn foresee(&self, operation: Operation, condition: Condition) -> Result<Vec<Foreseen>, Refused> {
        // The entry is for nobody: nothing is written.
        let orders = [Order { operation, condition, duty: Duty::None, entry: Entry::new(Event::Rotate) }];
        let Plan { mut answers, changes } = Plan::make(&self.state, self.time_of_change(), self.lifetimes, &orders);
        answers.pop().expect("an order has an answer")?;
        let made = changes.into_iter().filter_map(|planned| match (planned.change, planned.replaces) {
            (Change::Put { name, version, previous_until, .. }, Some(previous)) => {
                Some(Foreseen { name, version, previous, previous_until })
            }
            _ => None,
        });
        Ok(made.collect())
    }

    /// Makes the changes of one batch, and answers each.
    pub(super) fn commit_batch(&self, orders: Vec<Order>) -> Vec<Answer> {
        if self.shared.is_none() {
            return self.commit_together(&orders);
        }
        let mut answers = Vec::with_capacity(orders.len());
        for part in parts_that_fit(orders) {
            answers.extend(self.commit_together(&part));
        }
        answers
    }

    /// All orders of a batch share its fate: an error is one for all of them.
    fn commit_together(&self, orders: &[Order]) -> Vec<Answer> {
        let answers = match self.try_commit(orders) {
            // This daemon was away for long, and the first to ask it for anything since wants a change.
            Err(Refused::Shared(Unavailable::Compacted(_))) => {
                self.confirm_now().map_err(Refused::Shared).and_then(|()| self.try_commit(orders))
            }
            answers => answers,
        };
        answers.unwrap_or_else(|refused| vec![Err(refused); orders.len()])
    }

    fn try_commit(&self, orders: &[Order]) -> Result<Vec<Answer>, Refused> {
        let mut log = lock(&self.log);
        if let Some(why) = self.audit.trouble() {
            return Err(Refused::Audit { applied: false, why });
        }
        let terms = Terms { fence: fence(orders), seen: seen(orders), header: None };
        let turn = self.turn();
        loop {
            let Plan { mut answers, changes } = Plan::make(&self.state, self.time_of_change(), self.lifetimes, orders);
            let SealedOrders { batch, entries, done } =
                self.seal(&log, orders, changes).map_err(|why| Refused::Storage(why.to_string()))?;
            let changed = done.iter().map(|(_, done)| done.name.as_str());
            let written = match batch.records.is_empty() {
                true => self.take_in_others(&mut log)?,
                false => self.write(&mut log, batch, entries, terms, changed)?,
            };
            if written == Written::OthersFirst {
                turn.still_waits()?;
                continue;
            }
            for (order, done) in done {
                if let Ok(answer) = &mut answers[order] {
                    answer.push(done);
                }
            }
            return Ok(answers);
        }
    }

    /// The time at which a change is made.
    fn time_of_change(&self) -> Timestamp {
        lock(&self.state).not_before_last(self.clock.now())
    }

    fn seal(&self, log: &Log, orders: &[Order], changes: Vec<Planned>) -> Result<SealedOrders, Failure> {
        let most = if self.shared.is_some() { MAX_SHARED_CHANGES } else { MAX_CHANGES };
        if log.end.seq + changes.len() as u64 > most {
            let why = format!("its data key is used up after {most} changes; move the secrets to a new vault");
            return Err(Failure::new("vault", why));
        }
        let (key, audited) = (self.key(), self.audit.synced_seq());
        let mut prepared = SealedOrders { batch: Batch::behind(log.end), entries: Vec::new(), done: Vec::new() };
        let mut changes = changes.into_iter().peekable();
        while let Some(Planned { order, change, value, destroys, replaces, event }) = changes.next() {
            let (generated, opened);
            let value = match value {
                Value::None => "",
                Value::Given(value) => value.expose(),
                Value::Generated(generator) => {
                    generated = generator.generate()?;
                    generated.expose()
                }
                Value::Kept(record) => {
                    opened = self.record_value(&record)?;
                    opened.value()
                }
            };
            let entry = &orders[order].entry;
            let more = changes.peek().is_some_and(|next| next.order == order);
            let metadata = Metadata { audited, by: self.author(entry), more, change };
            let (change, at) = prepared.batch.seal(&key, metadata, value)?;
            let (name, id) = change.subject();
            let kid = id.map(|kid| kid.of(name));
            prepared.entries.push(Entry {
                event: event.unwrap_or(entry.event),
                secret_name: Some(name.to_owned()),
                kid,
                vault: Some(at),
                ..entry.clone()
            });
            let version = match change {
                Change::Put { version, .. } | Change::Prepare { version, .. } => Some(version.clone()),
                _ => None,
            };
            let previous = match change {
                Change::Put { previous_until, .. } => replaces.map(|previous| (previous.kid, *previous_until)),
                _ => None,
            };
            let done = Done { name: name.to_owned(), number: at.seq, kid: id, version, previous, destroyed: destroys };
            prepared.done.push((order, done));
        }
        Ok(prepared)
    }
}

/// What must hold for these orders: one with a duty comes alone.
fn fence(orders: &[Order]) -> Fence<'_> {
    let [Order { operation, duty, .. }] = orders else { return Fence::Nothing };
    match (duty, operation.name()) {
        (Duty::None, _) | (Duty::Claim, None) => Fence::Nothing,
        (Duty::Leader, _) => Fence::Leads,
        (Duty::Claim, Some(name)) => Fence::Claimed(name),
    }
}

/// What must not have become more, for the order that goes by it: it comes alone.
fn seen(orders: &[Order]) -> Option<&Seen> {
    match orders {
        [order] => order.operation.seen(),
        _ => None,
    }
}

/// The same orders in parts that a shared log takes at once; one that is larger than that comes alone.
fn parts_that_fit(orders: Vec<Order>) -> Vec<Vec<Order>> {
    let (mut parts, mut size) = (Vec::<Vec<Order>>::new(), usize::MAX);
    for order in orders {
        let its = order.operation.size();
        match parts.last_mut() {
            Some(part) if size + its <= MOST_AT_ONCE => {
                size += its;
                part.push(order);
            }
            _ => {
                size = its;
                parts.push(vec![order]);
            }
        }
    }
    parts
}

/// A version that would take the place of another one.
pub struct Foreseen {
    pub name: String,
    pub version: Version,
    /// The one that it would replace.
    pub previous: Version,
    /// Until when that one would be readable.
    pub previous_until: Timestamp,
}

/// Orders that are sealed, and not yet carried out.
struct SealedOrders {
    batch: Batch,
    entries: Vec<Entry>,
    /// What each change does, and to which order it belongs.
    done: Vec<(usize, Done)>,
}
