//! How a daemon is among those that share its vault, for `/healthz` and `/metrics`.

use std::time::Duration;

use super::members::Alive;
use super::start::Cluster;
use super::stats::Figures;
use crate::audit::AuditLog;
use crate::base::clock::Timestamp;
use crate::metrics::Page;
use crate::vault::{Unavailable, Vault};

/// How a daemon is among the others.
pub struct State {
    pub node: String,
    /// The one that leads; none that this daemon knows of.
    pub leader: Option<String>,
    /// The last change that it has taken in.
    pub seq: u64,
    /// How long ago etcd has confirmed that this is all.
    pub confirmed_ago: Duration,
}

impl Cluster {
    /// Looks who else is there, and tells the others of this daemon.
    ///
    /// # Errors
    /// If etcd does not answer.
    pub(super) fn look_around(&self, vault: &Vault, policy_sha256: String) -> Result<(), Unavailable> {
        let alive = Alive { owes_lines: vault.owes_lines(), ..self.alive(vault.seq(), policy_sha256) };
        let log = &self.log;
        self.members.look(log.etcd(), log.keys(), log.standing().lease(), &alive, log.deadline())?;
        log.room.look(log.etcd(), log.deadline());
        self.tend_anchor(vault);
        Ok(())
    }

    /// What this daemon tells of itself.
    pub(super) fn alive(&self, seq: u64, policy_sha256: String) -> Alive {
        Alive {
            incarnation: self.incarnation.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            policy_sha256,
            seq,
            since: self.since,
            max_staleness_secs: self.config().max_staleness.as_secs(),
            owes_lines: false,
        }
    }

    pub fn state(&self, vault: &Vault) -> State {
        State {
            node: self.config().node.clone(),
            leader: self.members.seen(self.longest_unseen()).leader,
            seq: vault.seq(),
            confirmed_ago: self.confirmed_ago(vault),
        }
    }

    /// None when this daemon can do all that is asked of it; else why not. A history that differs is the vault's trouble.
    pub fn trouble(&self, vault: &Vault) -> Option<String> {
        let longest = self.config().request_timeout.max(self.config().poll * 2);
        let ago = self.confirmed_ago(vault);
        let unconfirmed = || {
            (ago > longest).then(|| {
                format!(
                    "etcd has confirmed nothing for {} s: see whether it has a quorum, and can be reached",
                    ago.as_secs()
                )
            })
        };
        let full = || self.log.room.is_full().then(super::answers::no_space);
        unconfirmed().or_else(full).or_else(|| self.members.trouble()).or_else(|| self.anchors.trouble())
    }

    pub fn write_metrics(&self, vault: &Vault, audit: &AuditLog, page: &mut Page) {
        let seen = self.members.seen(self.longest_unseen());
        let ago = self.confirmed_ago(vault).as_nanos();
        let (log_bytes, snapshot_seq) = self.log.head().map_or((0, 0), |head| (head.log_bytes, head.snapshot));
        let figures = Figures {
            members: seen.alive.len() as u64,
            has_leader: seen.leader.is_some(),
            is_leader: self.log.standing().leads(),
            leader_changes: self.members.leader_changes(),
            confirmed_at: Timestamp::from_nanos(
                vault.now().nanos().saturating_sub(u64::try_from(ago).unwrap_or(u64::MAX)),
            ),
            vault: vault.shared_stats(),
            log: &self.log.stats,
            owed_lines: audit.owed(),
            policies_differ: self.members.policies_differ(),
            histories_differ: vault.has_other_history(),
            log_bytes,
            snapshot_seq,
            etcd_is_full: self.log.room.is_full(),
            etcd_database_bytes: self.log.room.database_bytes(),
        };
        figures.write(page);
        self.log.etcd().stats().write(page);
    }

    /// How old what was seen of the others may be: that is looked at once in each poll, which may be longer than a lease.
    fn longest_unseen(&self) -> Duration {
        self.config().lease.max(self.config().poll * 2)
    }

    /// The start has confirmed what it has read.
    pub(super) fn confirmed_ago(&self, vault: &Vault) -> Duration {
        vault.confirmed_ago().unwrap_or_else(|| self.begun.elapsed())
    }
}
