//! The daemons that are there, as one of them sees them, and what it tells the others of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::answers::{asked, ranges};
use super::keys::KeySpace;
use super::standing;
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::base::hex::hex;
use crate::base::sync::lock;
use crate::etcd::{self, Condition, Etcd, KeyValue, Keys, LeaseId, Operation, Range, RangeAnswer, Txn};
use crate::vault::Unavailable;

/// What a daemon tells of itself, under its lease. Later versions may tell more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// This run of it, 32 hex digits.
    pub incarnation: String,
    pub version: String,
    pub policy_sha256: String,
    /// The last change that it has taken in.
    pub seq: u64,
    /// When it was started.
    pub since: Timestamp,
    /// How old what it serves may be.
    pub max_staleness_secs: u64,
    /// It has made changes whose audit lines it could not write yet.
    #[serde(default)]
    pub owes_lines: bool,
}

impl Alive {
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it is plain strings and numbers")
    }
}

#[cfg(test)]
impl Alive {
    pub fn example() -> Self {
        Self {
            incarnation: "0".to_owned(),
            version: "1.0.0".to_owned(),
            policy_sha256: "p".to_owned(),
            seq: 7,
            since: Timestamp::from_nanos(0),
            max_staleness_secs: 0,
            owes_lines: false,
        }
    }
}

/// Which daemons there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The one that leads.
    pub leader: Option<String>,
    pub alive: AllAlive,
}

/// The daemons that are there, by their names; none of one that tells what cannot be read.
pub type AllAlive = BTreeMap<String, Option<Alive>>;

/// Who is there, by what is under [`KeySpace::all_alive`].
pub fn all_alive(keys: &KeySpace, alive: &RangeAnswer) -> AllAlive {
    let told = |pair: &KeyValue| Some((keys.node(&pair.key)?, serde_json::from_slice(&pair.value).ok()));
    alive.pairs.iter().filter_map(told).collect()
}

impl Seen {
    /// What is under these keys.
    pub fn of(keys: &KeySpace, leader: &RangeAnswer, alive: &RangeAnswer) -> Self {
        let leader = leader.pairs.first().map(|leader| standing::name(&leader.value));
        Self { leader, alive: all_alive(keys, alive) }
    }

    /// The others whose policy is not `policy_sha256`, with theirs.
    pub fn other_policies(&self, policy_sha256: &str) -> BTreeSet<(&str, &str)> {
        let told = self.alive.iter().filter_map(|(node, alive)| Some((node.as_str(), &*alive.as_ref()?.policy_sha256)));
        told.filter(|(_, policy)| *policy != policy_sha256).collect()
    }
}

/// The keys that tell who is there, to be read with [`Seen::of`].
pub fn range_of_leader_and_alive(keys: &KeySpace) -> [Operation; 2] {
    [Keys::One(keys.leader()), keys.all_alive()].map(|keys| Operation::Range(Range::of(keys)))
}

/// The daemons, as one of them knows them.
pub struct Members {
    node: String,
    seen: Mutex<Option<(Seen, Instant)>>,
    /// What this daemon has told the others, as far as it knows, and under which lease. Held while etcd is asked.
    told: Mutex<Option<(LeaseId, Vec<u8>)>>,
    /// What is wrong if another daemon has told something under this one's name.
    namesake: Mutex<Option<String>>,
    /// The last one that was seen to lead.
    last_leader: Mutex<Option<String>>,
    leader_changes: AtomicU64,
    /// What was said of others' policies, and of this one.
    policies_said: Mutex<String>,
}

impl Members {
    pub fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            seen: Mutex::default(),
            told: Mutex::default(),
            namesake: Mutex::default(),
            last_leader: Mutex::default(),
            leader_changes: AtomicU64::new(0),
            policies_said: Mutex::default(),
        }
    }

    /// Who was there when that was last looked at, at most `max_age` ago.
    pub fn seen(&self, max_age: Duration) -> Seen {
        let seen = lock(&self.seen);
        seen.as_ref().filter(|(_, at)| at.elapsed() <= max_age).map_or_else(Seen::default, |(seen, _)| seen.clone())
    }

    /// This is there under this daemon's name, and under this lease.
    pub fn has_told(&self, lease: LeaseId, value: Vec<u8>) {
        *lock(&self.told) = Some((lease, value));
        self.note_namesake(false);
    }

    /// Times that another daemon than before was seen to lead.
    pub fn leader_changes(&self) -> u64 {
        self.leader_changes.load(Ordering::Relaxed)
    }

    /// Whether another daemon had another policy, when that was last looked at.
    pub fn policies_differ(&self) -> bool {
        !lock(&self.policies_said).is_empty()
    }

    /// Why this daemon is not well among the others; none if it is.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.namesake).clone()
    }

    /// Looks who is there, and tells `alive` of this daemon under `lease` unless that is there already.
    ///
    /// # Errors
    /// If etcd does not answer.
    pub fn look(
        &self,
        etcd: &Etcd,
        keys: &KeySpace,
        lease: Option<LeaseId>,
        alive: &Alive,
        deadline: Instant,
    ) -> Result<(), Unavailable> {
        let mut told = lock(&self.told);
        let new = lease.map(|lease| (lease, alive.bytes())).filter(|new| told.as_ref() != Some(new));
        let look = Txn { then: range_of_leader_and_alive(keys).into(), ..Txn::default() };
        let tell = new.as_ref().map(|new| self.telling(keys, new, told.as_ref(), &look));
        let (answer, is_told) = match tell.map(|tell| etcd.txn(&tell, deadline)) {
            // Without a lease, or without space for what is new, it can look all the same.
            None | Some(Err(etcd::Error::LeaseGone | etcd::Error::NoSpace)) => (etcd.txn(&look, deadline), None),
            Some(answer) => {
                let succeeded = answer.as_ref().is_ok_and(|answer| answer.succeeded);
                (answer, Some(succeeded))
            }
        };
        let [leader, all] = ranges(answer.map_err(asked)?)?;
        match is_told {
            Some(true) => {
                *told = new;
                self.note_namesake(false);
            }
            // The next look puts it in place of what is there now.
            Some(false) => {
                let there = all.pairs.iter().find(|pair| pair.key == keys.alive(&self.node));
                *told = self.taken_in(there, &alive.incarnation);
            }
            None => {}
        }
        drop(told);
        let seen = Seen::of(keys, &leader, &all);
        self.note_leader(seen.leader.as_deref());
        self.note_policies(&seen, &alive.policy_sha256);
        *lock(&self.seen) = Some((seen, Instant::now()));
        Ok(())
    }

    /// The same look, which puts `new` in place of what is `there`.
    fn telling(
        &self,
        keys: &KeySpace,
        (lease, value): &(LeaseId, Vec<u8>),
        there: Option<&(LeaseId, Vec<u8>)>,
        look: &Txn,
    ) -> Txn {
        let key = keys.alive(&self.node);
        let condition = Condition::is(key.clone(), there.map(|(_, value)| value.clone()));
        let put = Operation::Put { key, value: value.clone(), lease: Some(*lease) };
        let then = std::iter::once(put).chain(look.then.iter().cloned()).collect();
        Txn { conditions: vec![condition], then, otherwise: look.then.clone() }
    }

    /// Takes in what is there under this daemon's name, where that is not what it has put last. Returns it if this run of the
    /// daemon has put it, without an answer.
    fn taken_in(&self, there: Option<&KeyValue>, incarnation: &str) -> Option<(LeaseId, Vec<u8>)> {
        let own = there.and_then(|there| {
            let alive: Alive = serde_json::from_slice(&there.value).ok()?;
            let lease = there.lease.filter(|_| alive.incarnation == incarnation)?;
            Some((lease, there.value.clone()))
        });
        self.note_namesake(there.is_some() && own.is_none());
        own
    }

    /// Notes whether another daemon has told something under this one's name.
    fn note_namesake(&self, is_there: bool) {
        let why = || format!("another daemon is called {} too; set `node` to another name at one of them", self.node);
        let mut namesake = lock(&self.namesake);
        if is_there && namesake.is_none() {
            log::error!("{}", why());
        }
        *namesake = is_there.then(why);
    }

    fn note_leader(&self, leader: Option<&str>) {
        let Some(leader) = leader else { return };
        let mut last = lock(&self.last_leader);
        if last.as_deref() != Some(leader) && last.replace(leader.to_owned()).is_some() {
            self.leader_changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn note_policies(&self, seen: &Seen, policy_sha256: &str) {
        let others: Vec<_> = seen
            .other_policies(policy_sha256)
            .into_iter()
            .filter(|(node, _)| *node != self.node)
            .map(|(node, policy)| format!("{node} has sha256 {policy}"))
            .collect();
        let now = match others.is_empty() {
            true => String::new(),
            false => format!("Policies differ: {}, and this daemon has {policy_sha256}", others.join(", ")),
        };
        let mut said = lock(&self.policies_said);
        if *said != now {
            match now.is_empty() {
                true => log::info!("All daemons that share the vault have the same policy again"),
                false => log::warn!("{now}"),
            }
            *said = now;
        }
    }
}

/// What tells one run of a daemon from all others.
///
/// # Errors
/// If there are no random bytes.
pub fn new_incarnation() -> Result<String, Failure> {
    crate::vault::random::<16>().map(|bytes| hex(&*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive(incarnation: &str, policy: &str) -> Alive {
        Alive { incarnation: incarnation.to_owned(), policy_sha256: policy.to_owned(), ..Alive::example() }
    }

    fn pair(key: Vec<u8>, value: Vec<u8>, lease: i64) -> KeyValue {
        KeyValue { key, value, mod_revision: 1, create_revision: 1, lease: Some(LeaseId::of(lease)) }
    }

    fn answer(pairs: Vec<KeyValue>) -> RangeAnswer {
        RangeAnswer { pairs, more: false, revision: 1 }
    }

    #[test]
    fn who_is_there_and_leads_is_told_by_their_keys() {
        let keys = KeySpace::new("/v/");
        let told = alive("1", "p");
        let there = [pair(keys.alive("a"), told.bytes(), 1), pair(keys.alive("b"), b"from the future".to_vec(), 2)];
        let leader = answer(vec![pair(keys.leader(), b"b 0123".to_vec(), 2)]);
        let seen = Seen::of(&keys, &leader, &answer(there.to_vec()));
        assert_eq!(seen.leader.as_deref(), Some("b"));
        assert_eq!(seen.alive, BTreeMap::from([("a".to_owned(), Some(told)), ("b".to_owned(), None)]));
        assert_eq!(Seen::of(&keys, &answer(Vec::new()), &answer(there.to_vec())).leader, None);
    }

    #[test]
    fn policies_differ_while_another_daemon_has_another_one() {
        let members = Members::new("a");
        let seen = |policy: &str| Seen {
            leader: None,
            alive: [("a", "old"), ("b", policy)]
                .map(|(node, policy)| (node.to_owned(), Some(alive("1", policy))))
                .into(),
        };
        for (own, other, differ) in [("p", "p", false), ("p", "q", true), ("q", "q", false)] {
            members.note_policies(&seen(other), own);
            assert_eq!(members.policies_differ(), differ, "{own} {other}");
        }
    }

    #[test]
    fn what_stands_under_the_own_name_is_an_earlier_attempt_or_another_daemons() {
        let own = pair(b"/v/alive/a".to_vec(), alive("1", "p").bytes(), 3);
        let members = Members::new("a");
        assert_eq!(members.taken_in(Some(&own), "1"), Some((LeaseId::of(3), own.value.clone())));
        assert_eq!(members.trouble(), None);
        assert_eq!(members.taken_in(Some(&own), "2"), None);
        assert!(members.trouble().unwrap().contains("another daemon is called a too"));
        assert_eq!(members.taken_in(None, "2"), None);
        assert_eq!(members.trouble(), None);
    }

    #[test]
    fn only_another_leader_than_before_is_a_change() {
        let members = Members::new("a");
        for (leader, changes) in [(Some("a"), 0), (None, 0), (Some("a"), 0), (Some("b"), 1), (Some("a"), 2)] {
            members.note_leader(leader);
            assert_eq!(members.leader_changes(), changes, "{leader:?}");
        }
    }
}
