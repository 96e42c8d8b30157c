//! What the vault promises, shown on a real file and a real audit log in a directory of the test's own.

mod branches;
mod compaction;
mod concurrency;
mod conditions;
mod damage;
mod data_key;
mod failures;
mod forgotten;
mod listing;
mod model;
mod numbered;
mod pending;
mod rekey;
mod rollback;
mod secrecy;
mod settings;
mod shared;
mod tears;
mod versions;
mod watching;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::log::change::{Change, Metadata};
use super::used_kids::UsedKids;
use super::*;
use crate::audit::{self, Entry, Event, VaultAt};
use crate::base::clock::Dial;
use crate::base::files;
use crate::base::secret::Plaintext;
pub(super) use model::Random;

pub(super) const START: Timestamp = Timestamp::from_nanos(1_761_565_004_549_067_206);
pub(super) const LIFETIMES: Lifetimes = Lifetimes { rotation_days: 90, grace_days: 14 };

/// A directory with a master key, a vault and an audit log, and the clock that they go by.
struct Site {
    dir: PathBuf,
    master: KeyBytes,
    clock: Clock,
    dial: Dial,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Site {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("jarvis-vault-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        files::create_dir(&dir).unwrap();
        let master = KeyFile::new(dir.join("master.key")).generate().unwrap();
        let (clock, dial) = Clock::manual(START);
        Self { dir, master, clock, dial }
    }

    fn path(&self) -> PathBuf {
        self.dir.join("vault.json")
    }

    fn audit_path(&self) -> PathBuf {
        self.dir.join("audit.jsonl")
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    fn write(&self, bytes: &[u8]) {
        std::fs::write(self.path(), bytes).unwrap();
    }

    /// The file's lines, each with its newline.
    fn lines(&self) -> Vec<Vec<u8>> {
        self.bytes().split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    fn look(&self, known: u64) -> Result<Found, Failure> {
        Found::look(&self.path(), &self.master, VaultAt { seq: known, head: None })
    }

    /// Why the vault is refused. Shows too that looking at it changed nothing on the disk.
    #[track_caller]
    fn refusal(&self, known: u64) -> String {
        let before = self.bytes();
        let why = self.look(known).err().expect("a vault like this is refused").to_string();
        assert_eq!(self.bytes(), before, "a refused vault is left as it is");
        why
    }

    fn audit(&self) -> Arc<AuditLog> {
        Arc::new(audit::Found::look(&self.audit_path()).unwrap().open(self.clock.clone()).unwrap())
    }

    /// The vault, made if it is not there, as the daemon's start opens it.
    fn open(&self) -> Arc<Vault> {
        let found = if self.path().exists() {
            let known = audit::Found::look(&self.audit_path()).unwrap().tip().map_or(VaultAt::START, |tip| tip.vault);
            let found = Found::look(&self.path(), &self.master, known).unwrap();
            assert_eq!(found.history(), History::Continues, "the audit log is told of every change");
            found
        } else {
            Found::create(&self.path(), &self.master).unwrap()
        };
        self.open_found(found)
    }

    fn open_found(&self, found: Found) -> Arc<Vault> {
        Arc::new(found.open(&self.path(), self.audit(), self.clock.clone(), LIFETIMES).unwrap())
    }

    /// Closes `vault`, and opens it again from its file.
    #[track_caller]
    fn reopen(&self, vault: Arc<Vault>) -> Arc<Vault> {
        assert_eq!(Arc::strong_count(&vault), 1, "nobody else holds the vault");
        drop(vault);
        self.open()
    }

    /// The audit log's lines.
    fn audit_lines(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.audit_path()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn order(operation: Operation) -> Order {
    let event = match operation {
        Operation::Put { .. } | Operation::RollBack { .. } => Event::CreateSecret,
        Operation::Delete { .. } => Event::DeleteSecret,
        Operation::Rotate { .. } => Event::Rotate,
        Operation::Configure { .. } => Event::ConfigureSecret,
        Operation::Prepare { .. } | Operation::Promote { .. } | Operation::Discard { .. } => Event::Rotate,
        Operation::Destroy { .. } | Operation::Retire { .. } => Event::DestroyVersion,
    };
    Order { operation, condition: Condition::default(), duty: Duty::None, entry: Entry::new(event) }
}

fn put_operation(name: &str, value: &str) -> Operation {
    let value = Plaintext::new(value.to_owned());
    put_all(vec![New {
        name: name.to_owned(),
        value,
        rotation: Rotation::Manual,
        generator: None,
        patch: Patch::default(),
        previous: Previous::Kept,
    }])
}

/// The same with an end of the versions before.
fn revoking_operation(name: &str, value: &str, previous: Previous) -> Operation {
    let Operation::Put { mut versions } = put_operation(name, value) else { unreachable!("it is a put") };
    versions[0].previous = previous;
    put_all(versions)
}

fn put_all(versions: Vec<New>) -> Operation {
    Operation::Put { versions }
}

fn delete_operation(name: &str) -> Operation {
    Operation::Delete { name: name.to_owned() }
}

fn rotate_operation(names: &[&str]) -> Operation {
    Operation::Rotate {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        only_due: false,
        previous: Previous::Kept,
    }
}

/// Puts a value, and returns its kid.
#[track_caller]
fn put(vault: &Arc<Vault>, name: &str, value: &str) -> String {
    let done = vault.commit(order(put_operation(name, value))).unwrap();
    done[0].version.as_ref().unwrap().kid.of(name)
}

/// Stores 1, 2, 3 … until it is `over`, one at least. Returns the last of them.
fn put_until(over: &AtomicBool, vault: &Arc<Vault>, name: &str) -> u64 {
    let mut last = 0;
    while !over.load(Ordering::SeqCst) || last == 0 {
        last += 1;
        put(vault, name, &last.to_string());
    }
    last
}

#[track_caller]
fn delete(vault: &Arc<Vault>, name: &str) {
    vault.commit(order(delete_operation(name))).unwrap();
}

/// Rotates one secret, and returns the new kid.
#[track_caller]
fn rotate(vault: &Arc<Vault>, name: &str) -> String {
    let done = vault.commit(order(rotate_operation(&[name]))).unwrap();
    done[0].version.as_ref().unwrap().kid.of(name)
}

#[track_caller]
fn configure(vault: &Arc<Vault>, name: &str, patch: Patch) {
    vault.commit(order(Operation::Configure { name: name.to_owned(), patch })).unwrap();
}

/// Prepares a version, and returns its kid.
#[track_caller]
fn prepare(vault: &Arc<Vault>, name: &str, value: &str) -> String {
    let done = vault.commit(order(prepare_operation(name, value))).unwrap();
    done[0].version.as_ref().unwrap().kid.of(name)
}

fn prepare_operation(name: &str, value: &str) -> Operation {
    Operation::Prepare { name: name.to_owned(), value: Plaintext::new(value.to_owned()) }
}

fn roll_back_operation(name: &str, kid: &str) -> Operation {
    Operation::RollBack { name: name.to_owned(), kid: kid.to_owned(), is_prepared: false }
}

fn promote_operation(name: &str, kid: &str) -> Operation {
    Operation::Promote { name: name.to_owned(), kid: kid.to_owned(), previous: Previous::Kept }
}

fn discard_operation(name: &str, kid: &str) -> Operation {
    Operation::Discard { name: name.to_owned(), kid: kid.to_owned() }
}

fn retire_operation(name: &str) -> Operation {
    Operation::Retire { name: name.to_owned(), seen: None }
}

/// Puts a value of `db`, and replaces it when its grace is ten years; what replaces the second one leaves it the usual grace.
#[track_caller]
fn put_outlived(vault: &Arc<Vault>) -> String {
    let grace = |days| Patch { grace_days: Some(days), ..Patch::default() };
    let oldest = put(vault, "db", "oldest");
    configure(vault, "db", grace(Some(3650)));
    put(vault, "db", "second");
    configure(vault, "db", grace(None));
    oldest
}

/// Does the daily round's part: destroys all versions whose grace is over. Returns how many those were.
#[track_caller]
fn destroy_expired(vault: &Arc<Vault>) -> usize {
    vault.destroy_expired("test", || false).unwrap()
}

fn read(vault: &Vault, name: &str) -> Result<String, Missing> {
    read_version(vault, name, None)
}

fn read_version(vault: &Vault, name: &str, kid: Option<&str>) -> Result<String, Missing> {
    let version = vault.find(name, kid)?;
    Ok(vault.open(&version).unwrap().value().to_owned())
}

/// All that a vault knows, and where its file ends: equal for two vaults that will behave alike.
#[derive(Debug, PartialEq, Eq)]
struct Picture {
    seq: u64,
    link: log::record::Link,
    /// Name, value, until when it is readable, and what else is known of it; behind a secret's versions the one that is
    /// prepared.
    versions: Vec<(String, String, Option<Timestamp>, Version)>,
    settings: Vec<(String, Settings)>,
    /// But for those that are used up for all.
    spent: Vec<(String, Vec<Kid>)>,
    used: UsedKids,
    counts: [u64; 6],
}

impl Picture {
    /// The same after a compaction: what each secret has spent is used up for all.
    fn compacted(mut self) -> Self {
        self.spent.drain(..).flat_map(|(_, kids)| kids).for_each(|kid| self.used.add(kid));
        self
    }
}

fn picture(vault: &Vault) -> Picture {
    let mut kept = Vec::new();
    vault.walk(
        |name, secret, items| {
            let all = secret.versions.iter().chain(secret.pending());
            items.extend(all.map(|kept| (name.to_owned(), kept.clone())));
        },
        |items| kept.extend(items),
    );
    let versions = kept.into_iter().map(|(name, kept)| {
        let value = vault.record_value(&kept.record).unwrap().value().to_owned();
        (name, value, kept.readable_until, kept.version)
    });
    let versions = versions.collect();
    let link = lock(&vault.log).end.link;
    let mut settings = Vec::new();
    vault.walk(
        |name, secret, items| items.extend(secret.settings().map(|settings| (name.to_owned(), settings.clone()))),
        |items| settings.extend(items),
    );
    let mut state = lock(&vault.state);
    let used = state.used.clone();
    let is_all = |kid: &Kid| used.contains(*kid);
    let spent = state.spent().map(|(name, kids)| {
        let kids = kids.iter().copied().filter(|kid| !is_all(kid));
        (name.to_owned(), kids.collect::<Vec<_>>())
    });
    let spent = spent.filter(|(_, kids)| !kids.is_empty()).collect();
    let expired = state.expiring.expired(vault.now());
    let State { secret_count, version_count, pending_count, live_records, live_bytes, .. } = *state;
    let counts = [secret_count, version_count, pending_count, live_records, live_bytes, expired];
    Picture { seq: state.seq, used, link, versions, settings, spent, counts }
}

/// Makes twenty changes of every kind: eleven puts, five rotations, two deletions, two destructions. Returns the number
/// of the last one.
fn make_twenty_changes(site: &Site, vault: &Arc<Vault>) {
    for name in ["a", "b", "c", "d", "e", "f"] {
        put(vault, name, &format!("value of {name}"));
    }
    delete(vault, "f");
    for name in ["a", "b", "c", "d", "e"] {
        rotate(vault, name);
    }
    site.dial.advance(DAY * 15);
    put(vault, "b", "later");
    let versions = vault.expired_versions().into_iter().take(2).collect();
    vault.commit(order(Operation::Destroy { versions })).unwrap();
    put(vault, "f", "once more");
    delete(vault, "e");
    for name in ["g", "h", "i"] {
        put(vault, name, "v");
    }
    assert_eq!(vault.seq(), 20);
}

const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

/// The number of the last change that `found` holds and its bytes of an unfinished write.
fn extent(found: &Found) -> (u64, u64) {
    (found.seq(), found.unfinished_bytes())
}

/// Waits until the compaction that runs in the background, if one does, is over.
fn settle(vault: &Arc<Vault>) {
    while Arc::strong_count(vault) > 1 {
        std::thread::yield_now();
    }
}
