//! What the audit log says of reads before the start, read in the background: neither the start nor anybody waits for it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::{Consumers, Receipt};
use crate::audit::{Event, Line, Outcome, ReadBack};
use crate::base::clock::Timestamp;
use crate::base::sync::Breaks;
use crate::vault::{Kid, Unaudited, Vault};

/// The thread that reads the audit log at the start.
pub struct ReadHistory {
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl ReadHistory {
    /// Starts to read the audit log at `log`.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(consumers: Arc<Consumers>, log: PathBuf) -> io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let signal = stopping.clone();
        let thread = thread::Builder::new()
            .name("consumers".to_owned())
            .spawn(move || consumers.recollect(&log, &|| signal.load(Ordering::Relaxed)))?;
        Ok(Self { stopping, thread })
    }

    /// Ends the thread, whether or not it has read everything.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            log::error!("The thread that reads the audit log back had panicked");
        }
    }
}

impl Consumers {
    /// Notes the reads that the audit log at `log` tells of, as far back as it tells of versions that can be read. Where several
    /// daemons share the vault, it is read for those that are older than what they tell one another of.
    ///
    /// It ends early when `stopping` says so; then it is as if the log was still being read.
    pub fn recollect(&self, log: &Path, stopping: &dyn Fn() -> bool) {
        let mut reader = Reader {
            consumers: self,
            versions: Versions::of(&self.vault, self.shared_since()),
            breaks: Breaks::begin(),
            stopping,
        };
        let now = self.vault.now();
        let mut files = ReadBack::begin(log);
        while reader.versions.awaited > 0 {
            match files.read_file(&mut |line| reader.look(line)) {
                Ok(true) => {}
                Ok(false) => break,
                Err(why) => {
                    log::info!("Read history is incomplete: {why}");
                    break;
                }
            }
        }
        if stopping() {
            return;
        }
        let is_complete = reader.versions.awaited == 0 && !files.has_gap();
        let since = if is_complete { None } else { Some(files.since().unwrap_or(now)) };
        // There is one thread that does this, and it does it once.
        let _ = self.recollected.set(since);
    }
}

struct Reader<'a> {
    consumers: &'a Consumers,
    versions: Versions,
    breaks: Breaks,
    stopping: &'a dyn Fn() -> bool,
}

impl Reader<'_> {
    fn look(&mut self, line: &Line) -> ControlFlow<()> {
        if let (Some(name), Some(kid)) = (&line.secret_name, &line.kid)
            && let Some(version) = self.versions.find(kid)
        {
            match (line.event, &line.client, line.result) {
                (Event::GetSecret, Some(client), Outcome::Success)
                    if Receipt::told(line.detail.as_deref()).is_some_and(Receipt::is_read) =>
                {
                    self.consumers.note(name, client, version.kid, line.timestamp);
                }
                _ if is_of_making(line) => self.versions.made(kid),
                _ => {}
            }
        }
        self.breaks.take_if_due();
        if (self.stopping)() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Whether this is the line by which its version was made, behind which all lines about reads of that version stand. Others have
/// a kid too: what was refused or failed, and a version's end, which some outlive.
fn is_of_making(line: &Line) -> bool {
    let is_made = match line.event {
        Event::CreateSecret | Event::Rotate => true,
        Event::Recovered => line.detail.as_deref().is_some_and(Unaudited::is_told_to_make_a_version),
        // Nobody can read it before it is rotated to, and that is told by a line of its own.
        Event::PrepareRotation => false,
        Event::GetSecret | Event::ListSecrets | Event::ListVersions | Event::ListConsumers | Event::ListSchedule => {
            false
        }
        Event::ConfigureSecret | Event::DeleteSecret | Event::DestroyVersion | Event::Retire => false,
        Event::ServerStart | Event::ServerStop | Event::PolicyReload | Event::AuthFailure => false,
        Event::RollbackAccepted | Event::Rekey | Event::Restore | Event::StorageCopy | Event::Snapshot => false,
        Event::LogReopen | Event::DeleteSegment | Event::AuditResumed | Event::AuditCheckpoint | Event::Identify => {
            false
        }
    };
    is_made && line.result == Outcome::Success
}

/// The versions that could be read at the start.
struct Versions {
    /// By the hash of the kid, for it would take three times the memory. Should two be the same, one of them is not found.
    by_hash: HashMap<u64, Version>,
    hasher: RandomState,
    /// How many are left whose making was not seen; no line about them stands before that.
    awaited: usize,
}

struct Version {
    kid: Kid,
    is_awaited: bool,
}

impl Versions {
    /// `until`: the versions that were made after that are left out.
    fn of(vault: &Vault, until: Option<Timestamp>) -> Self {
        let (hasher, mut by_hash) = (RandomState::new(), HashMap::new());
        vault.each_readable(|name, kid| {
            if until.is_none_or(|until| kid.second() <= until.seconds()) {
                by_hash.insert(hasher.hash_one(kid.of(name)), Version { kid, is_awaited: true });
            }
        });
        Self { awaited: by_hash.len(), by_hash, hasher }
    }

    fn find(&self, kid: &str) -> Option<&Version> {
        self.by_hash.get(&self.hasher.hash_one(kid))
    }

    fn made(&mut self, kid: &str) {
        if let Some(version) = self.by_hash.get_mut(&self.hasher.hash_one(kid)) {
            self.awaited -= usize::from(std::mem::take(&mut version.is_awaited));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_line_that_made_a_version_is_taken_for_that() {
        let is_of_making = |event: &str, result: &str, detail: Option<&str>| {
            let line = json!({
                "seq": 7, "timestamp": "2025-10-27T11:36:44.549067206Z", "event": event, "client": "admin",
                "secret_name": "db", "kid": "db-20251027-113644", "remote": null, "request_id": null,
                "result": result, "detail": detail, "vault_seq": 3, "prev": "",
            });
            is_of_making(&serde_json::from_value(line).unwrap())
        };
        let recovered = |what: &str| Some(format!("{what}: found in the vault at the start, never acknowledged"));
        for (event, detail) in [("create_secret", None), ("rotate", None), ("recovered", recovered("put"))] {
            assert!(is_of_making(event, "success", detail.as_deref()), "{event}");
            for result in ["error", "denied"] {
                assert!(!is_of_making(event, result, detail.as_deref()), "{event} {result}");
            }
        }
        for kind in ["prepare", "destroy", "configure"] {
            assert!(!is_of_making("recovered", "success", recovered(kind).as_deref()), "{kind}");
        }
        assert!(!is_of_making("recovered", "success", None));
        for event in [
            "get_secret",
            "configure_secret",
            "delete_secret",
            "list_versions",
            "list_consumers",
            "prepare_rotation",
            "destroy_version",
            "retire",
        ] {
            for result in ["success", "error", "denied"] {
                assert!(!is_of_making(event, result, None), "{event} {result}");
            }
        }
    }
}
