//! What a daemon leaves of itself in etcd, and beside its audit log: each shows when the other one was set back.
//!
//! In etcd it is sealed by the vault's key, and stays when the daemon goes. The file is written when etcd has confirmed it: a crash
//! in between leaves etcd a step ahead, and never the file.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::audit::Tip;
use crate::base::failure::Failure;
use crate::base::files::{self, Fresh};
use crate::base::hex::hex;
use crate::vault::{Marks, Position};

/// More than the file of one can have.
const LONGEST: u64 = 4096;

/// Where a daemon stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// Counts them.
    pub n: u64,
    /// The change that it had taken in last, and what the next one is chained to, 32 hex digits.
    pub seq: u64,
    pub link: String,
    pub audit: AuditAt,
    /// That of its audit log, 64 hex digits.
    pub public_key: String,
}

/// Where its audit log stood, durably.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditAt {
    pub seq: u64,
    /// The SHA-256 of that line, 64 hex digits.
    pub hash: String,
    /// The change of the vault that it knew.
    pub vault_seq: u64,
}

impl AuditAt {
    pub fn of(tip: &Tip) -> Self {
        Self { seq: tip.seq, hash: hex(&tip.hash), vault_seq: tip.vault.seq }
    }
}

impl Anchor {
    /// The next one behind number `n`.
    pub fn behind(n: u64, marks: &Marks) -> Self {
        Self {
            n: n + 1,
            seq: marks.position.seq,
            link: hex(&marks.position.link),
            audit: AuditAt::of(&marks.audit),
            public_key: hex(&marks.public_key),
        }
    }

    /// Whether it says the same but for its number.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        *self == Self { n: self.n, ..other.clone() }
    }

    /// Where the log stood; none: that cannot be read.
    pub fn position(&self) -> Option<Position> {
        let link = u128::from_str_radix(&self.link, 16).ok()?.to_be_bytes();
        Some(Position { seq: self.seq, link })
    }

    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it is plain strings and numbers")
    }

    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// What is kept beside the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Of which vault.
    pub vault_id: String,
    /// The run of the daemon that has written it.
    pub incarnation: String,
    /// None: it has left none yet.
    pub anchor: Option<Anchor>,
}

impl Kept {
    /// Where it is kept, for the audit log at this path.
    pub fn path(audit: &Path) -> PathBuf {
        files::sibling(audit, ".member")
    }

    /// Reads it; none: there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(path: &Path) -> Result<Option<Self>, Failure> {
        if files::is_missing(path) {
            return Ok(None);
        }
        let bytes = files::read(path, LONGEST)?;
        let why = "is not what the daemon has written there; remove it, and start once with --accept-rollback";
        serde_json::from_slice(&bytes).map(Some).map_err(|_| Failure::new(path.display(), why))
    }

    /// Removes what is kept beside the audit log at this path, if there is any.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn remove(audit: &Path) -> Result<(), Failure> {
        let path = Self::path(audit);
        match std::fs::remove_file(&path) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(Failure::new(path.display(), why)),
            _ => Ok(()),
        }
    }

    /// Writes it, durably.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut fresh = Fresh::begin(path, 0o600)?;
        fresh.file.write_all(&serde_json::to_vec(self).expect("it is plain strings and numbers"))?;
        fresh.put()
    }
}

/// What does not fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// etcd is not as this daemon has left it.
    EtcdSetBack(String),
    /// The audit log is not as this daemon has left it.
    AuditCut(String),
    /// Another daemon has this name, or this one lost its disk.
    AnotherDaemon(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::EtcdSetBack(why) | Self::AuditCut(why) | Self::AnotherDaemon(why)) = self;
        f.write_str(why)
    }
}

/// Compares what etcd has of the daemon called `node`, what is kept beside its audit log, and where that ends; `public_key` is
/// that of the log, none if it has no key yet.
///
/// # Errors
/// Says what does not fit.
pub fn compare(
    node: &str,
    there: Option<&Anchor>,
    kept: Option<&Anchor>,
    audit: &AuditAt,
    public_key: Option<&str>,
) -> Result<(), Unfit> {
    let Some(there) = there else { return Ok(()) };
    if kept.is_none() && audit.seq == 0 {
        return Err(Unfit::AnotherDaemon(format!(
            "a daemon called {node} has shared this vault, and its audit log is not here: put it back, or, if it is lost, run \
             `jarvis-secretsd cluster forget {node}`, or set `node` to another name"
        )));
    }
    if public_key.is_some_and(|key| key != there.public_key) {
        return Err(Unfit::AnotherDaemon(format!(
            "the daemon called {node} that has shared this vault has another audit log than this one: set `node` to another \
             name, or, if that daemon is no more, run `jarvis-secretsd cluster forget {node}`"
        )));
    }
    if let Some(kept) = kept {
        if kept.n > there.n {
            return Err(Unfit::EtcdSetBack(format!(
                "etcd has what this daemon has put there as number {}, and the last one was number {}",
                there.n, kept.n
            )));
        }
        if kept.n == there.n && kept != there {
            return Err(Unfit::EtcdSetBack(format!(
                "etcd has something else than what this daemon has put there as number {}",
                there.n
            )));
        }
    }
    let AuditAt { seq, hash, .. } = &there.audit;
    if audit.seq < *seq || (audit.seq == *seq && audit.hash != *hash) {
        let is = if audit.seq < *seq { format!("ends at line {}", audit.seq) } else { "has another one".to_owned() };
        return Err(Unfit::AuditCut(format!("etcd knows line {seq} of this daemon's audit log, which {is}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor(n: u64, line: u64) -> Anchor {
        Anchor {
            n,
            seq: 7,
            link: "0".repeat(32),
            audit: AuditAt { seq: line, hash: format!("{line:064x}"), vault_seq: 7 },
            public_key: "k".to_owned(),
        }
    }

    fn at(line: u64) -> AuditAt {
        anchor(0, line).audit
    }

    fn fits(there: Option<&Anchor>, kept: Option<&Anchor>, audit: &AuditAt, key: Option<&str>) -> bool {
        compare("a", there, kept, audit, key).is_ok()
    }

    #[test]
    fn a_daemon_goes_on_from_where_it_stood_also_after_a_crash_between_its_file_and_etcd() {
        let (third, fourth) = (anchor(3, 30), anchor(4, 40));
        assert!(fits(None, None, &at(0), None), "a new one");
        assert!(fits(None, Some(&anchor(1, 10)), &at(10), Some("k")), "one that ended before etcd had its first");
        for line in [40, 41, 90] {
            assert!(fits(Some(&fourth), Some(&fourth), &at(line), Some("k")));
            assert!(fits(Some(&fourth), Some(&third), &at(line), Some("k")));
            assert!(fits(Some(&fourth), None, &at(line), Some("k")), "whose file was lost, and not its log");
        }
    }

    #[test]
    fn an_etcd_that_was_set_back_is_recognised() {
        let (older, kept) = (anchor(2, 20), anchor(4, 40));
        let other = Anchor { seq: 8, ..kept.clone() };
        for there in [older, anchor(3, 30), other] {
            let found = compare("a", Some(&there), Some(&kept), &at(40), Some("k"));
            assert!(matches!(found, Err(Unfit::EtcdSetBack(_))), "{found:?}");
        }
    }

    #[test]
    fn an_audit_log_that_was_cut_is_recognised_with_its_file_and_without() {
        let there = anchor(4, 40);
        let another_line = AuditAt { hash: "f".repeat(64), ..at(40) };
        for kept in [None, Some(&anchor(3, 30)), Some(&there)] {
            for audit in [at(39), another_line.clone()] {
                let found = compare("a", Some(&there), kept, &audit, Some("k"));
                assert!(matches!(found, Err(Unfit::AuditCut(_))), "{found:?}");
            }
        }
    }

    #[test]
    fn a_host_that_lost_its_disk_and_another_daemon_of_the_same_name_are_told_what_to_do() {
        let there = anchor(4, 40);
        for (audit, key) in [(at(0), None), (at(0), Some("other")), (at(90), Some("other"))] {
            let found = compare("a", Some(&there), None, &audit, key).unwrap_err();
            assert!(matches!(found, Unfit::AnotherDaemon(_)) && found.to_string().contains("cluster forget a"));
        }
    }

    #[test]
    fn what_is_kept_is_read_back_and_nothing_else_is() {
        let dir = files::scratch("cluster-anchor");
        let path = Kept::path(&dir.join("audit.jsonl"));
        assert_eq!(Kept::read(&path).unwrap(), None);
        let kept = Kept { vault_id: "v".to_owned(), incarnation: "i".to_owned(), anchor: Some(anchor(1, 2)) };
        kept.write(&path).unwrap();
        assert_eq!(Kept::read(&path).unwrap(), Some(kept));
        std::fs::write(&path, b"{}").unwrap();
        assert!(Kept::read(&path).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
