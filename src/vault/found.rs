//! A vault at the start: looked at first, and opened for changes only when the audit log agrees with it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};

use super::copy_file::CopyFile;
use super::log::Log;
use super::log::file::store::{self, FileStore};
use super::log::header::Header;
use super::log::replay::{self, History, Known, Loaded, Unaudited};
use super::seal::{KeyBytes, SealingKey};
use super::shared_log::Position;
use super::version::Lifetimes;
use super::{SharedStats, Stats, Vault, Watchers};
use crate::audit::{AuditLog, VaultAt};
use crate::base::clock::Clock;
use crate::base::failure::Failure;
use crate::base::files;
use crate::base::sync::{Confirmations, GroupCommit};

/// A vault that was read and found good; nothing on the disk was changed yet.
pub struct Found {
    pub(super) loaded: Loaded,
    pub(super) file: VaultFile,
}

/// Where a vault was found.
pub(super) enum VaultFile {
    Own(FileStore),
    /// A copy, which is yet to be brought to the end of the log that others share.
    Copy(CopyFile),
}

impl Found {
    /// Reads the vault at `path` with the master key. `known` is the last change that the audit log knows.
    ///
    /// # Errors
    /// If the file cannot be read, the key is another one, or anything in it is not as it was written.
    pub fn look(path: &Path, master: &KeyBytes, known: VaultAt) -> Result<Self, Failure> {
        let fail = |why: &dyn std::fmt::Display| Failure::new(path.display(), why);
        let store = FileStore::open(path).map_err(|why| fail(&why))?;
        let mut reader = store.reader(0);
        let loaded =
            replay::load(&mut reader, store.length(), &SealingKey::new(master), Known { at: known, node: None })
                .map_err(|why| fail(&why))?;
        Ok(Self { loaded, file: VaultFile::Own(store) })
    }

    /// Makes a new, empty vault at `path`, durably, with its directory if that is missing.
    pub fn create(path: &Path, master: &KeyBytes) -> Result<Self, Failure> {
        let master_key = SealingKey::new(master);
        let (header, _) = Header::generate(&master_key)?;
        files::create_dir(files::parent(path))
            .and_then(|()| files::create(path, 0o600, &header.line()))
            .map_err(|why| Failure::new(path.display(), why))?;
        Self::look(path, master, VaultAt::START)
    }

    /// The header line of a new vault under this master key.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub fn new_header(master: &KeyBytes) -> Result<Vec<u8>, Failure> {
        Header::generate(&SealingKey::new(master)).map(|(header, _)| header.line())
    }

    /// The number of the last change.
    pub fn seq(&self) -> u64 {
        self.loaded.end.seq
    }

    /// Where the log ends.
    pub fn position(&self) -> Position {
        Position::from(&self.loaded.end)
    }

    /// Where the vault stands behind that.
    pub fn at(&self) -> VaultAt {
        self.loaded.end.at(&self.loaded.key)
    }

    /// How it stands to what the audit log knows.
    pub fn history(&self) -> History {
        self.loaded.history
    }

    /// The newest audit line that was surely on the disk when the last change was made.
    pub fn audited(&self) -> u64 {
        self.loaded.audited
    }

    /// Changes that the audit log does not know.
    pub fn unaudited(&self) -> &[Unaudited] {
        &self.loaded.unaudited
    }

    /// Bytes at the end that an interrupted write left; [`open`](Self::open) cuts them off.
    pub fn unfinished_bytes(&self) -> u64 {
        self.loaded.unfinished_bytes
    }

    /// The vault's id, 32 hex digits.
    pub fn vault_id(&self) -> &str {
        &self.loaded.key.vault_id
    }

    /// The vault, ready to be changed; changes are audited in `audit`.
    pub fn open(self, path: &Path, audit: Arc<AuditLog>, clock: Clock, lifetimes: Lifetimes) -> Result<Vault, Failure> {
        let fail = |why: std::io::Error| Failure::new(path.display(), why);
        store::remove_leftover(&files::sibling(path, ".compacting")).map_err(fail)?;
        let mut store = match self.file {
            VaultFile::Own(store) => store,
            VaultFile::Copy(copy) => copy.put_in_place(clock.now())?,
        };
        if self.loaded.unfinished_bytes > 0 {
            store.cut(self.loaded.end.length).map_err(fail)?;
        }
        // A daemon that was killed may have written records that it did not yet sync. They are part of the vault now.
        store.append(b"").map_err(fail)?;
        let Loaded { header, key, mut state, end, .. } = self.loaded;
        let stats = Stats::default();
        stats.publish(&end, &mut state, clock.now());
        Ok(Vault {
            id: key.vault_id.clone(),
            key: Mutex::new(key),
            state: Mutex::new(state),
            visible: Mutex::new(Position::from(&end)),
            log: Mutex::new(Log::new(store, end)),
            commits: GroupCommit::default(),
            shared: None,
            confirmations: Confirmations::default(),
            shared_stats: SharedStats::default(),
            audit,
            clock,
            lifetimes,
            stats,
            rewriting: Mutex::new(header),
            compaction_wanted: AtomicBool::new(false),
            compaction_failed_at: AtomicU64::new(0),
            expired_kept_at: AtomicU64::new(0),
            file_lost: AtomicBool::new(false),
            disk_full: AtomicBool::new(false),
            trouble: Mutex::default(),
            watchers: Watchers::default(),
            held: OnceLock::new(),
        })
    }
}
