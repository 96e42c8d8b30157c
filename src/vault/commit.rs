//! Changing the vault: planned under the lock, durable outside of it, audited, then visible and acknowledged.
//!
//! One append and one sync of the vault, and one of the audit log, serve all changes that wait ([`GroupCommit`]).
//! A crash in between leaves records that the audit log does not know; the next start audits them as recovered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::kid::Kid;
use super::record::{Change, Link, Rotation, Sealed, Version};
use super::seal::MAX_SEALS;
use super::state::State;
use super::{Log, Vault};
use crate::audit::{AuditFailure, Entry};
use crate::clock::Timestamp;
use crate::failure::Failure;
use crate::generator::Generator;
use crate::secret::Plaintext;
use crate::sync::lock;

/// How many changes a vault takes. Half of what its data key may seal: compactions seal what is live once more.
const MAX_CHANGES: u64 = MAX_SEALS / 2;

/// A change that somebody asks for.
pub struct Order {
    /// What is to be done.
    pub wish: Wish,
    /// What must hold for it.
    pub condition: Condition,
    /// The audit line to write if it is done, but for the secret, the kid and the vault's number, which the vault fills in.
    pub entry: Entry,
}

/// What is to be done.
pub enum Wish {
    /// Make a new version of a secret, and the secret if it is not there.
    Put {
        /// The secret.
        name: String,
        /// Its new value.
        value: Plaintext,
        /// Whether the schedule may replace that value.
        rotation: Rotation,
        /// How the next value is made; none: the default way.
        generator: Option<Generator>,
    },
    /// Destroy a secret with all its versions.
    Delete {
        /// The secret.
        name: String,
    },
    /// Make a new version, with a generated value, of each of these secrets, or of none if one does not exist.
    Rotate {
        /// The secrets, each once.
        names: Vec<String>,
        /// For the schedule: pass over what is meanwhile no longer due, or no longer the schedule's to replace.
        only_due: bool,
    },
    /// Destroy these versions if their grace is over, and that of all older ones of the same secret.
    Destroy {
        /// Secret and version, of one secret the oldest first, as [`Vault::expired_versions`] lists them.
        versions: Vec<(String, Version)>,
    },
}

/// What must hold when the change is made: `If-Match` and `If-None-Match` of RFC 9110, kids being the entity tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The current kid must be one of these (an empty list: there must be one, whichever).
    pub if_match: Option<Vec<String>>,
    /// The current kid must be none of these (an empty list: there must not be any).
    pub if_none_match: Option<Vec<String>>,
}

impl Condition {
    fn holds(&self, current: Option<&str>) -> bool {
        let among = |kids: &Vec<String>, kid: &str| kids.is_empty() || kids.iter().any(|k| k == kid);
        let matches = |kids: &Vec<String>| current.is_some_and(|kid| among(kids, kid));
        self.if_match.as_ref().is_none_or(matches) && !self.if_none_match.as_ref().is_some_and(matches)
    }
}

/// A change that was made.
#[derive(Clone, Debug)]
pub struct Done {
    /// The secret.
    pub name: String,
    /// The new version; none if the change was a destruction.
    pub version: Option<Version>,
    /// How many versions were destroyed.
    pub destroyed: usize,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// This secret does not exist.
    NotFound(String),
    /// The condition does not hold.
    PreconditionFailed,
    /// The vault's file cannot be written; nothing was changed.
    Storage(String),
    /// The audit log cannot be written; nothing was changed, unless `applied`.
    Audit {
        /// The change is in the vault and its audit line is written, but the disk would not confirm the line.
        applied: bool,
        /// Why.
        why: String,
    },
}

impl Refused {
    /// Whether the change was made all the same.
    pub fn was_applied(&self) -> bool {
        matches!(self, Self::Audit { applied: true, .. })
    }
}

/// What an order came to: what was changed, or why nothing was.
pub type Answer = Result<Vec<Done>, Refused>;

/// A change that is planned: numbered, not yet sealed.
struct Planned {
    order: usize,
    change: Change,
    value: Value,
    destroys: usize,
}

enum Value {
    None,
    Given(Plaintext),
    Generated(Generator),
}

/// What a secret will be once the changes planned so far are made.
struct Outlook {
    current: Option<Version>,
    versions: usize,
    newest: Option<Kid>,
    /// The versions that may be destroyed, the oldest first; none: nobody asked yet.
    destroyable: Option<VecDeque<Kid>>,
}

impl Vault {
    /// Makes a change, durably and audited, before it returns.
    ///
    /// # Errors
    /// Says why nothing was changed; only [`Refused::Audit`] with `applied` means that it was.
    pub fn commit(self: &Arc<Self>, order: Order) -> Answer {
        let answer = self.commits.submit(order, |orders| self.commit_batch(orders));
        self.compact_if_worthwhile();
        answer
    }

    /// Makes the changes of one batch, and answers each.
    pub(super) fn commit_batch(&self, orders: Vec<Order>) -> Vec<Answer> {
        let count = orders.len();
        self.try_commit(orders).unwrap_or_else(|refused| vec![Err(refused); count])
    }

    /// All orders of a batch share its fate: an error is one for all of them.
    fn try_commit(&self, orders: Vec<Order>) -> Result<Vec<Answer>, Refused> {
        let mut log = lock(&self.log);
        if let Some(why) = self.audit.trouble() {
            return Err(Refused::Audit { applied: false, why });
        }
        let (mut answers, entries, plans) = self.plan(orders);
        let before = log.end;
        let batch = self.seal(&log, &entries, plans).map_err(|why| Refused::Storage(why.to_string()))?;
        if batch.records.is_empty() {
            return Ok(answers);
        }
        self.append(&mut log, &batch.lines)?;
        let audited = self.audit.write_synced(batch.entries);
        if let Err(AuditFailure::NotWritten(why)) = audited {
            // Nothing of it is in the audit log, so nothing of it may stay in the vault.
            self.note_storage(log.store.cut(before.length));
            return Err(Refused::Audit { applied: false, why });
        }
        log.end.seq += batch.records.len() as u64;
        log.end.records += batch.records.len() as u64;
        log.end.link = batch.link;
        log.end.length = log.store.length();
        for (order, done) in batch.done {
            if let Ok(answer) = &mut answers[order] {
                answer.push(done);
            }
        }
        let garbage: Vec<_> = {
            let mut state = lock(&self.state);
            let garbage = batch.records.into_iter().map(|(change, record)| state.apply(change, record)).collect();
            self.stats.publish(&log.end, &state);
            garbage
        };
        drop(garbage);
        match audited {
            Err(AuditFailure::NotSynced(why)) => Err(Refused::Audit { applied: true, why }),
            _ => Ok(answers),
        }
    }

    fn append(&self, log: &mut Log, lines: &[u8]) -> Result<(), Refused> {
        // Lines of a commit that panicked before it was done: nobody was told of them, and nothing is chained to them.
        let cut = if log.store.length() > log.end.length { log.store.cut(log.end.length) } else { Ok(()) };
        let appended = cut.and_then(|()| log.store.append(lines));
        if appended.as_ref().is_err_and(|why| why.kind() == std::io::ErrorKind::NotFound) {
            self.file_lost.store(true, Ordering::SeqCst);
        }
        let why = appended.as_ref().err().map(ToString::to_string);
        self.note_storage(appended);
        why.map_or(Ok(()), |why| Err(Refused::Storage(why)))
    }

    /// Remembers whether the vault's file could be written, and logs when that changes.
    pub(super) fn note_storage(&self, outcome: std::io::Result<()>) {
        let mut trouble = lock(&self.trouble);
        match (outcome, &trouble.storage) {
            (Ok(()), Some(_)) => {
                log::info!("Vault file can be written again");
                trouble.storage = None;
            }
            (Err(why), None) => {
                log::error!("Vault file cannot be written: {why}; secrets are still served, changes are refused");
                trouble.storage = Some(format!("the vault file cannot be written: {why}"));
            }
            _ => {}
        }
    }

    /// Decides under the lock, in the order in which they came, which orders are carried out.
    fn plan(&self, orders: Vec<Order>) -> (Vec<Answer>, Vec<Entry>, Vec<Planned>) {
        let now = self.clock.now();
        let state = lock(&self.state);
        let mut planner = Planner { vault: self, state: &state, now, outlooks: HashMap::new(), planned: Vec::new() };
        let (mut answers, mut entries) = (Vec::new(), Vec::new());
        for (index, order) in orders.into_iter().enumerate() {
            answers.push(planner.plan(index, order.wish, &order.condition).map(|()| Vec::new()));
            entries.push(order.entry);
        }
        (answers, entries, planner.planned)
    }

    fn seal(&self, log: &Log, entries: &[Entry], plans: Vec<Planned>) -> Result<Batch, Failure> {
        if log.end.seq + plans.len() as u64 > MAX_CHANGES {
            let why = format!("its data key is used up after {MAX_CHANGES} changes; move the secrets to a new vault");
            return Err(Failure::new("vault", why));
        }
        let audited = self.audit.synced_seq();
        let mut batch = Batch { link: log.end.link, ..Batch::default() };
        for (seq, Planned { order, change, value, destroys }) in (log.end.seq + 1..).zip(plans) {
            let value = match value {
                Value::None => Plaintext::new(String::new()),
                Value::Given(value) => value,
                Value::Generated(generator) => generator.generate()?,
            };
            let record = Sealed::seal(&self.key, (seq, batch.link), audited, &change, value.expose())?;
            let (name, kid) = change.subject();
            let kid = kid.map(|kid| kid.of(name));
            batch.entries.push(Entry {
                secret_name: Some(name.to_owned()),
                kid,
                vault_seq: Some(seq),
                ..entries[order].clone()
            });
            let version = match &change {
                Change::Put { version, .. } => Some(version.clone()),
                _ => None,
            };
            batch.done.push((order, Done { name: name.to_owned(), version, destroyed: destroys }));
            batch.link = record.link();
            record.write_line(&mut batch.lines);
            batch.records.push((change, Arc::new(record)));
        }
        Ok(batch)
    }

    /// Asks for a compaction when more than half of the file is dead and it is large enough to matter, or when the file was
    /// deleted: a compaction makes a whole new one.
    fn compact_if_worthwhile(self: &Arc<Self>) {
        if self.compaction_wanted.load(Ordering::Relaxed) {
            return;
        }
        let lost = self.file_lost.swap(false, Ordering::SeqCst);
        if (lost || self.is_compaction_worthwhile()) && !self.compaction_wanted.swap(true, Ordering::SeqCst) {
            self.compact_in_background();
        }
    }
}

#[derive(Default)]
struct Batch {
    lines: Vec<u8>,
    link: Link,
    records: Vec<(Change, Arc<Sealed>)>,
    entries: Vec<Entry>,
    done: Vec<(usize, Done)>,
}

struct Planner<'a> {
    vault: &'a Vault,
    state: &'a State,
    now: Timestamp,
    outlooks: HashMap<String, Outlook>,
    planned: Vec<Planned>,
}

impl Planner<'_> {
    fn plan(&mut self, order: usize, wish: Wish, condition: &Condition) -> Result<(), Refused> {
        match wish {
            Wish::Put { name, value, rotation, generator } => {
                self.check(&name, condition)?;
                self.put(order, name, Value::Given(value), rotation, generator);
            }
            Wish::Delete { name } => {
                self.check(&name, condition)?;
                let outlook = self.outlook(&name);
                if outlook.current.take().is_none() {
                    return Err(Refused::NotFound(name));
                }
                let destroys = std::mem::take(&mut outlook.versions);
                outlook.destroyable = Some(VecDeque::new());
                self.planned.push(Planned { order, change: Change::Delete { name }, value: Value::None, destroys });
            }
            Wish::Rotate { names, only_due } => {
                if !only_due && let Some(unknown) = names.iter().find(|name| self.outlook(name).current.is_none()) {
                    return Err(Refused::NotFound(unknown.clone()));
                }
                for name in names {
                    self.rotate(order, name, only_due);
                }
            }
            Wish::Destroy { versions } => {
                for (name, version) in versions {
                    self.destroy(order, name, version.kid);
                }
            }
        }
        Ok(())
    }

    fn check(&mut self, name: &str, condition: &Condition) -> Result<(), Refused> {
        let current = self.outlook(name).current.as_ref().map(|version| version.kid.of(name));
        if condition.holds(current.as_deref()) { Ok(()) } else { Err(Refused::PreconditionFailed) }
    }

    fn rotate(&mut self, order: usize, name: String, only_due: bool) {
        let now = self.now;
        let Some(current) = &self.outlook(&name).current else { return };
        if only_due && (current.rotation == Rotation::Manual || current.expires_at > now) {
            return;
        }
        let (rotation, generator) = (current.rotation, current.generator.clone());
        let value = Value::Generated(generator.clone().unwrap_or_default());
        self.put(order, name, value, rotation, generator);
    }

    fn put(&mut self, order: usize, name: String, value: Value, rotation: Rotation, generator: Option<Generator>) {
        let (now, lifetimes, state) = (self.now, self.vault.lifetimes, self.state);
        let outlook = self.outlook(&name);
        let kid = match outlook.newest {
            Some(newest) => newest.next(),
            None => state.unused_kid(&name, now),
        };
        let expires_at = now.plus_days(lifetimes.rotation_days);
        let version = Version { kid, created_at: now, expires_at, rotation, generator };
        outlook.newest = Some(kid);
        outlook.current = Some(version.clone());
        outlook.versions += 1;
        let previous_until = now.plus_days(lifetimes.grace_days);
        let change = Change::Put { name, version, previous_until };
        self.planned.push(Planned { order, change, value, destroys: 0 });
    }

    fn destroy(&mut self, order: usize, name: String, kid: Kid) {
        let (now, state) = (self.now, self.state);
        let outlook = self.outlook(&name);
        let destroyable = outlook.destroyable.get_or_insert_with(|| state.destroyable_of(&name, now).collect());
        // Who came first may have destroyed it already, or the whole secret.
        if destroyable.front() == Some(&kid) {
            destroyable.pop_front();
            outlook.versions -= 1;
            self.planned.push(Planned {
                order,
                change: Change::Destroy { name, kid },
                value: Value::None,
                destroys: 1,
            });
        }
    }

    fn outlook(&mut self, name: &str) -> &mut Outlook {
        if !self.outlooks.contains_key(name) {
            let current = self.state.current(name).map(|kept| kept.version.clone());
            let versions = self.state.version_count_of(name);
            self.outlooks.insert(name.to_owned(), Outlook { current, versions, newest: None, destroyable: None });
        }
        self.outlooks.get_mut(name).expect("inserted above")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_check_and_set() {
        let kids = |list: &[&str]| Some(list.iter().map(|kid| (*kid).to_owned()).collect::<Vec<_>>());
        let if_match = |list| Condition { if_match: kids(list), if_none_match: None };
        let if_none_match = |list| Condition { if_match: None, if_none_match: kids(list) };
        assert!(Condition::default().holds(None) && Condition::default().holds(Some("a")));
        assert!(if_match(&["a", "b"]).holds(Some("b")));
        assert!(!if_match(&["a"]).holds(Some("b")));
        assert!(!if_match(&["a"]).holds(None));
        assert!(if_match(&[]).holds(Some("b")) && !if_match(&[]).holds(None));
        assert!(if_none_match(&[]).holds(None) && !if_none_match(&[]).holds(Some("a")));
        assert!(if_none_match(&["a"]).holds(Some("b")) && !if_none_match(&["a"]).holds(Some("a")));
    }
}
