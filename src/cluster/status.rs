//! What etcd knows of the daemons that share a vault, for `cluster status`. No key of the vault is needed for it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::answers::{added, asked, only, ranges};
use super::log::EtcdLog;
use super::members::{Alive, Seen, range_of_leader_and_alive};
use crate::etcd::{Condition, Keys, Operation, Range, Txn};
use crate::vault::Unavailable;

/// The daemons on one vault, and its log.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    pub prefix: String,
    /// The one that leads.
    pub leader: Option<String>,
    /// The number of the last change.
    pub seq: u64,
    /// The change through which there is a snapshot; 0: there is none.
    pub snapshot_seq: u64,
    /// How long the log behind that is.
    pub log_bytes: u64,
    pub daemons: Vec<DaemonStatus>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct DaemonStatus {
    pub node: String,
    pub state: DaemonState,
    /// What it tells of itself; none: it is away, or tells what this program cannot read.
    #[serde(flatten)]
    pub alive: Option<Alive>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DaemonState {
    Leads,
    Follows,
    /// It has been there, and is not now.
    Away,
}

impl Status {
    /// What is not as it should be, in words.
    pub fn warnings(&self) -> Vec<String> {
        let told = || self.daemons.iter().filter_map(|daemon| Some((daemon.node.as_str(), daemon.alive.as_ref()?)));
        let policies = differing(told().map(|(node, alive)| (node, alive.policy_sha256.as_str())));
        let versions = differing(told().map(|(node, alive)| (node, alive.version.as_str())));
        let away: Vec<_> = self.daemons.iter().filter(|daemon| daemon.state == DaemonState::Away).collect();
        let mut warnings = Vec::new();
        if self.leader.is_none() {
            warnings.push("no daemon leads: nothing is rotated by the schedule, destroyed or compacted".to_owned());
        }
        if !policies.is_empty() {
            warnings.push(format!("policies differ: {}", policies.join("; ")));
        }
        if !versions.is_empty() {
            warnings.push(format!("versions differ: {}", versions.join("; ")));
        }
        for DaemonStatus { node, .. } in away {
            warnings
                .push(format!("{node} is away; if it does not come back, run `jarvis-secretsd cluster forget {node}`"));
        }
        warnings
    }
}

/// Who has what, where not all have the same.
fn differing<'a>(told: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let mut who = BTreeMap::<&str, Vec<&str>>::new();
    for (node, what) in told {
        who.entry(what).or_default().push(node);
    }
    match who.len() {
        0 | 1 => Vec::new(),
        _ => who.into_iter().map(|(what, nodes)| format!("{what} at {}", nodes.join(", "))).collect(),
    }
}

/// What became of a daemon that is to be forgotten.
pub enum Forgotten {
    Yes,
    /// It is not: it is there.
    IsThere,
    /// There was nothing of it.
    Unknown,
}

impl EtcdLog {
    /// Forgets that a daemon has shared the vault, unless it is there.
    ///
    /// # Errors
    /// If etcd does not answer; it may be forgotten then.
    pub fn forget(&self, node: &str) -> Result<Forgotten, Unavailable> {
        let [alive, member] = [self.keys().alive(node), self.keys().member(node)];
        let count = Range { keys_only: true, ..Range::of(Keys::One(member.clone())) };
        let txn = Txn {
            conditions: vec![Condition::IsAbsent { key: alive }],
            then: vec![
                Operation::Range(count),
                Operation::Delete(Keys::One(member)),
                // It serves nothing any more, so that nobody need wait to hear what it has served.
                Operation::Delete(Keys::One(self.keys().stale(node))),
            ],
            otherwise: Vec::new(),
        };
        let answer = self.etcd().txn(&txn, self.deadline()).map_err(added)?;
        // An earlier attempt may have got through.
        let was_repeated = answer.was_repeated;
        if !answer.succeeded {
            return Ok(Forgotten::IsThere);
        }
        let [found] = ranges(answer)?;
        Ok(if found.pairs.is_empty() && !was_repeated { Forgotten::Unknown } else { Forgotten::Yes })
    }

    /// What is known of the daemons and of the log.
    ///
    /// # Errors
    /// If there is no vault, or etcd does not answer.
    pub fn status(&self) -> Result<Status, Unavailable> {
        let keys = self.keys();
        let head = Operation::get(keys.head());
        let members = Operation::Range(Range { keys_only: true, ..Range::of(keys.members()) });
        let [leader, alive] = range_of_leader_and_alive(keys);
        let txn = Txn { then: vec![head, leader, alive, members], ..Txn::default() };
        let [head, leader, alive, members] = ranges(self.etcd().txn(&txn, self.deadline()).map_err(asked)?)?;
        let missing = || Unavailable::Mismatch(format!("there is no vault under {}", keys.prefix()));
        let head = super::head::Head::parse(&only(head).ok_or_else(missing)?).map_err(Unavailable::Mismatch)?;
        let Seen { leader, alive } = Seen::of(keys, &leader, &alive);
        let mut daemons: BTreeMap<String, DaemonStatus> = members
            .pairs
            .iter()
            .filter_map(|pair| keys.node(&pair.key))
            .map(|node| (node.clone(), DaemonStatus { node, state: DaemonState::Away, alive: None }))
            .collect();
        for (node, alive) in alive {
            let state = if leader.as_ref() == Some(&node) { DaemonState::Leads } else { DaemonState::Follows };
            daemons.insert(node.clone(), DaemonStatus { node, state, alive });
        }
        Ok(Status {
            prefix: keys.prefix().to_owned(),
            leader,
            seq: head.position().seq,
            snapshot_seq: head.snapshot,
            log_bytes: head.log_bytes,
            daemons: daemons.into_values().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(node: &str, state: DaemonState, policy: &str) -> DaemonStatus {
        let alive = Alive { policy_sha256: policy.to_owned(), ..Alive::example() };
        DaemonStatus { node: node.to_owned(), state, alive: Some(alive).filter(|_| state != DaemonState::Away) }
    }

    #[test]
    fn what_is_not_as_it_should_be_is_told_with_who_it_is() {
        let status = |leader: Option<&str>, daemons: Vec<DaemonStatus>| Status {
            prefix: "/v/".to_owned(),
            leader: leader.map(str::to_owned),
            seq: 7,
            snapshot_seq: 0,
            log_bytes: 0,
            daemons,
        };
        let well = vec![daemon("a", DaemonState::Leads, "p"), daemon("b", DaemonState::Follows, "p")];
        assert_eq!(status(Some("a"), well).warnings(), Vec::<String>::new());
        let unwell = vec![
            daemon("a", DaemonState::Follows, "p"),
            daemon("b", DaemonState::Follows, "q"),
            daemon("c", DaemonState::Away, "p"),
        ];
        let warnings = status(None, unwell).warnings();
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert!(warnings[0].starts_with("no daemon leads"));
        assert_eq!(warnings[1], "policies differ: p at a; q at b");
        assert!(warnings[2].starts_with("c is away") && warnings[2].ends_with("cluster forget c`"));
    }

    #[test]
    fn a_daemon_that_is_away_tells_nothing_but_its_name() {
        let told = serde_json::to_value(daemon("c", DaemonState::Away, "p")).unwrap();
        assert_eq!(told, serde_json::json!({"node": "c", "state": "away"}));
        let told = serde_json::to_value(daemon("a", DaemonState::Leads, "p")).unwrap();
        assert_eq!((&told["state"], &told["seq"]), (&serde_json::json!("leads"), &serde_json::json!(7)));
    }
}
