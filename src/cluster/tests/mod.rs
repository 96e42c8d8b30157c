//! Daemons that share an etcd in memory.

mod claims;
mod members;
mod memory;
mod reads;
mod rekeyed;
mod snapshot;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::keys::KeySpace;
use super::log::EtcdLog;
use crate::audit::{self, Entry, Event};
use crate::base::clock::Clock;
use crate::base::files;
use crate::base::secret::Plaintext;
use crate::vault::{
    Condition, Duty, Found, KeyBytes, KeyFile, Lifetimes, New, Operation, Order, Patch, Previous, Refused, Rotation,
    SharedVault, Vault,
};
use memory::Memory;

/// A vault in etcd, and the hosts whose daemons share it.
struct Site {
    dir: PathBuf,
    etcd: Memory,
    master: KeyBytes,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A daemon on one of them.
struct Daemon {
    log: Arc<EtcdLog>,
    vault: Arc<Vault>,
}

/// The header line that is in etcd.
fn header(log: &EtcdLog) -> Vec<u8> {
    log.look().unwrap().unwrap().0
}

impl Site {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("jarvis-cluster-{}-{test}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        files::create_dir(&dir).unwrap();
        let master = KeyFile::new(dir.join("master.key")).generate().unwrap();
        let site = Self { dir, etcd: Memory::start(), master };
        assert!(site.log("first").create(&Found::new_header(&site.master).unwrap()).unwrap());
        site
    }

    fn log(&self, node: &str) -> EtcdLog {
        let time_limit = Duration::from_secs(300);
        EtcdLog::new(self.etcd.client(), KeySpace::new("/v/"), node.to_owned(), time_limit, time_limit, Duration::ZERO)
    }

    /// Starts the daemon of a host, or starts it again.
    fn start(&self, node: &str) -> Daemon {
        let log = Arc::new(self.log(node));
        let dir = self.dir.join(node);
        files::create_dir(&dir).unwrap();
        let (vault, audit) = (dir.join("vault.json"), dir.join("audit.jsonl"));
        let audit = audit::Found::look(&audit).unwrap();
        let found = Found::look_shared(&vault, &header(&log), &self.master, audit.end().vault, &*log, false).unwrap();
        let recovered = found.unaudited().iter().map(|change| change.clone().entry("found at the start")).collect();
        let lifetimes = Lifetimes { rotation_days: 90, grace_days: 14 };
        let audit = Arc::new(audit.open(Clock::system()).unwrap());
        let vault = found.open(&vault, audit.clone(), Clock::system(), lifetimes).unwrap().sharing(log.clone());
        audit.begin(recovered).unwrap();
        Daemon { log, vault: Arc::new(vault) }
    }

    /// The audit lines of a host's daemon.
    fn audit_lines(&self, node: &str) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.dir.join(node).join("audit.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What a daemon would read that has no copy yet.
    fn whole(&self) -> Vec<u8> {
        self.log("new").all().unwrap()
    }
}

impl Daemon {
    fn put(&self, name: &str, value: &str) {
        self.try_put(name, value).unwrap();
    }

    fn try_put(&self, name: &str, value: &str) -> Result<(), Refused> {
        let version = New {
            name: name.to_owned(),
            value: Plaintext::new(value.to_owned()),
            rotation: Rotation::Manual,
            generator: None,
            patch: Patch::default(),
            previous: Previous::Kept,
        };
        let operation = Operation::Put { versions: vec![version] };
        let entry = Entry { client: Some("web".to_owned()), ..Entry::new(Event::CreateSecret) };
        self.vault.commit(Order { operation, condition: Condition::default(), duty: Duty::None, entry }).map(drop)
    }

    /// What a client reads there.
    fn read(&self, name: &str) -> Option<String> {
        self.vault.confirm().unwrap();
        let version = self.vault.find(name, None).ok()?;
        Some(self.vault.open(&version).unwrap().value().to_owned())
    }
}
