//! The daemons that share a vault, as one of them, or a command, sees them: what a start needs of etcd, and what `storage copy` and
//! `cluster` do there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::keys::KeySpace;
use super::left::Anchors;
use super::log::EtcdLog;
use super::members::{Members, new_incarnation};
use super::status::{Forgotten, Status};
use crate::base::clock::{Clock, Timestamp};
use crate::base::failure::Failure;
use crate::config::StorageConfig;
use crate::etcd::Etcd;
use crate::vault::{Position, Unavailable};

/// How often a start that waits for etcd says so.
const SAYS_SO: Duration = Duration::from_secs(10);

/// How long it waits between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// The daemons that share a vault, as one of them sees them.
pub struct Cluster {
    pub log: Arc<EtcdLog>,
    pub(super) members: Members,
    pub(super) anchors: Anchors,
    /// This run of the daemon.
    pub(super) incarnation: String,
    /// When it began.
    pub(super) since: Timestamp,
    pub(super) begun: Instant,
    config: StorageConfig,
}

impl Cluster {
    /// A daemon of the cluster that `config` describes. It reads the files that are named there, and connects when it asks for something.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn new(config: &StorageConfig) -> Result<Self, Failure> {
        // Not all begin with the same member.
        let first = config.node.bytes().map(usize::from).sum();
        let etcd = Etcd::new(&config.etcd, first)?;
        let keys = KeySpace::new(&config.prefix);
        let StorageConfig { node, lease, request_timeout, max_staleness, .. } = config.clone();
        let log = EtcdLog::new(etcd, keys, node, lease, request_timeout, max_staleness);
        Ok(Self {
            log: Arc::new(log),
            members: Members::new(&config.node),
            anchors: Anchors::default(),
            incarnation: new_incarnation()?,
            since: Clock::system().now(),
            begun: Instant::now(),
            config: config.clone(),
        })
    }

    pub fn config(&self) -> &StorageConfig {
        &self.config
    }

    /// The header line of the vault in etcd; none: there is none. It waits until etcd answers, and says that it does.
    ///
    /// # Errors
    /// If what is there is no vault.
    pub fn header(&self) -> Result<Option<Vec<u8>>, Failure> {
        let mut said = None::<Instant>;
        loop {
            match self.log.look() {
                Ok(found) => return Ok(found.map(|(header, _)| header)),
                Err(why @ (Unavailable::Mismatch(_) | Unavailable::Full(_))) => {
                    return Err(self.failure(why));
                }
                Err(why) => {
                    if said.is_none_or(|at| at.elapsed() >= SAYS_SO) {
                        log::warn!("Waiting for etcd: {why}");
                        said = Some(Instant::now());
                    }
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Warns of a version of etcd whose members can come to differ after a crash.
    pub fn warn_of_unfit_etcd(&self) {
        // Where it cannot be asked, other questions will say so.
        if let Ok(version) = self.log.etcd().member_version(self.log.deadline())
            && is_unfit(&version)
        {
            log::warn!("etcd {version} can lose changes after a crash; use 3.4, or 3.5.6 and newer");
        }
    }

    /// Makes a new vault in etcd with this header line, unless another daemon has just made one. Returns the line of the one
    /// that is there.
    ///
    /// # Errors
    /// If etcd does not answer.
    pub fn create(&self, header: &[u8]) -> Result<Vec<u8>, Failure> {
        self.log.create(header).map_err(|why| self.failure(why))?;
        let missing = || Failure::new("etcd", "the vault that was made is not there; start again");
        self.header()?.ok_or_else(missing)
    }

    /// Nobody works with the vault in etcd.
    ///
    /// # Errors
    /// If a daemon does, or etcd does not answer.
    pub fn refuse_if_anybody_is_there(&self) -> Result<(), Failure> {
        let alive = self.log.alive().map_err(|why| self.failure(why))?;
        if alive.is_empty() {
            return Ok(());
        }
        let why = format!(
            "these daemons work with it: {}; stop them, or, if they were killed, wait {} seconds",
            alive.join(", "),
            self.config.lease.as_secs()
        );
        Err(Failure::new(&self.config.prefix, why))
    }

    /// Who shares the vault, and how they are.
    ///
    /// # Errors
    /// If there is none, or etcd does not answer.
    pub fn status(&self) -> Result<Status, Failure> {
        self.log.status().map_err(|why| self.failure(why))
    }

    /// Forgets a daemon that is away and does not come back.
    ///
    /// # Errors
    /// If it is there, nobody knows it, or etcd does not answer.
    pub fn forget(&self, node: &str) -> Result<(), Failure> {
        let why = match self.log.forget(node).map_err(|why| self.failure(why))? {
            Forgotten::Yes => return Ok(()),
            Forgotten::IsThere => format!(
                "it works with the vault; stop it, or, if it was killed, wait {} seconds",
                self.config.lease.as_secs()
            ),
            Forgotten::Unknown => format!("no daemon of this name has shared the vault under {}", self.config.prefix),
        };
        Err(Failure::new(node, why))
    }

    /// # Errors
    /// If etcd does not answer.
    pub fn is_empty(&self) -> Result<bool, Failure> {
        self.log.is_empty().map_err(|why| self.failure(why))
    }

    /// Removes the vault in etcd.
    ///
    /// # Errors
    /// If etcd does not answer.
    pub fn clear(&self) -> Result<(), Failure> {
        self.log.clear().map_err(|why| self.failure(why))
    }

    /// Puts a whole vault into etcd, and compares what it then has.
    ///
    /// # Errors
    /// If there is one already, etcd does not answer, or has something else.
    pub fn put_whole(&self, header: &[u8], lines: &[u8], end: Position) -> Result<(), Failure> {
        self.log.put_whole(header, lines, end).map_err(|why| self.failure(why))?;
        let whole = self.log.whole().map_err(|why| self.failure(why))?;
        match whole.strip_prefix(header) {
            Some(there) if there == lines => Ok(()),
            _ => Err(Failure::new(&self.config.prefix, "what was read back from etcd is not what was written")),
        }
    }

    /// Lets another daemon lead than the one that does, for as long as a lease lasts at least. Returns the name of that one;
    /// none: nobody leads.
    ///
    /// # Errors
    /// If etcd does not answer; it may lead no more all the same.
    pub fn step_down(&self) -> Result<Option<String>, Failure> {
        self.log.step_down().map_err(|why| self.failure(why))
    }

    pub(super) fn failure(&self, why: Unavailable) -> Failure {
        self.log.failure(why)
    }
}

/// Whether this version has one of the faults that were mended by 3.5.6.
fn is_unfit(version: &str) -> bool {
    let fifth =
        version.strip_prefix("3.5.").map(|patch| patch.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default());
    fifth.and_then(|patch| patch.parse::<u32>().ok()).is_some_and(|patch| patch < 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_versions_of_3_5_are_warned_of() {
        for unfit in ["3.5.0", "3.5.1", "3.5.5", "3.5.0-rc.1"] {
            assert!(is_unfit(unfit), "{unfit}");
        }
        for fit in ["3.4.23", "3.5.6", "3.5.30", "3.6.0", "", "3.5", "3.5.x"] {
            assert!(!is_unfit(fit), "{fit}");
        }
    }
}
