//! Making a backup, of a daemon at work or of one that stands still.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::archive::digest;
use super::layout::{ArchiveWriter, LARGEST_TEXT};
use super::part::Part;
use super::{
    AUDIT, Archive, FORMAT, MANIFEST, Manifest, POLICY, PUBLIC_KEY, SIGNING_KEY, VAULT, VERSION, Verified, associated,
};
use crate::audit;
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::base::files;
use crate::base::progress::{Counted, Progress};
use crate::base::secret::Wiped;
use crate::config::Config;
use crate::vault::{self, Contents, History, KeyBytes};

/// Makes a backup at `output`, where nothing may be yet, of what `config` names.
///
/// The daemon is neither asked nor held up: the vault's file is valid at any moment, and the audit log is taken up to the
/// change at which the vault was read. The backup is then verified as `backup verify` does, and only a good one is left.
///
/// # Errors
/// If anything cannot be read, does not verify, or the disk refuses; then nothing is left at `output`.
pub fn create(config: &Config, master: &KeyBytes, output: &Path, now: Timestamp) -> Result<Verified, Failure> {
    if output.symlink_metadata().is_ok() {
        return Err(Failure::new(output.display(), "exists already; nothing was written"));
    }
    let (fresh, verified) = make(config, master, output, now)?;
    fresh.create().map_err(|why| Failure::new(output.display(), why))?;
    Ok(verified)
}

/// Makes a backup as [`create`], and writes it to `output` when it is verified. Until then it lies beside the vault.
///
/// # Errors
/// As for [`create`], or if `output` does not take it.
pub fn write(
    config: &Config,
    master: &KeyBytes,
    output: &mut impl io::Write,
    now: Timestamp,
) -> Result<Verified, Failure> {
    let place = files::sibling(&config.paths.vault_path, ".backup");
    let (fresh, verified) = make(config, master, &place, now)?;
    let length = fresh.file.metadata().map(|meta| meta.len());
    let _progress = Progress::begin("writing the backup to standard output", *length.as_ref().unwrap_or(&0));
    let copied = length.and_then(|left| io::copy(&mut Part::new(&fresh.file, 0, left), output));
    copied.map_err(|why| Failure::new("standard output", why))?;
    Ok(verified)
}

fn make(config: &Config, master: &KeyBytes, place: &Path, now: Timestamp) -> Result<(files::Fresh, Verified), Failure> {
    let fail = |why: io::Error| Failure::new(place.display(), why);
    let parts = Parts::collect(config, master)?;
    let fresh = files::Fresh::begin(place, 0o600).map_err(fail)?;
    parts.write(&fresh.file, now).map_err(fail)?;
    let verified = Verified::read(Archive::open(fresh.temporary_path())?, master)?;
    Ok((fresh, verified))
}

/// How often a backup is tried. A try fails if the log is closed and the vault compacted between opening the one and the
/// other, or if the log has no line yet: that hardly happens twice.
const ATTEMPTS: usize = 10;

/// The files of a daemon at work, which may be replaced from now on.
struct Opened {
    audit: File,
    vault: File,
    /// The number of the last change in the vault.
    seq: u64,
}

/// What goes into a backup.
struct Parts {
    vault: File,
    vault_bytes: u64,
    contents: Contents,
    audit: File,
    audit_bytes: u64,
    audit_seq: u64,
    signing_key: Wiped,
    public_key: Vec<u8>,
    policy: Vec<u8>,
}

impl Opened {
    /// The log is opened first. It then knows no change that the vault, which is opened after it, lacks. It stays as good when
    /// it is closed and a new file continues it, however long it takes to read the vault.
    fn open(config: &Config) -> Result<Self, Failure> {
        let (vault_path, audit_path) = (&config.paths.vault_path, &config.paths.audit_path);
        let fail = |path: &Path, why: io::Error| Failure::new(path.display(), why);
        let audit = File::open(audit_path).map_err(|why| fail(audit_path, why))?;
        let vault = File::open(vault_path).map_err(|why| fail(vault_path, why))?;
        let (seq, _) = through(&vault, u64::MAX).map_err(|why| fail(vault_path, why))?;
        Ok(Self { audit, vault, seq })
    }

    /// None if the audit log has no line of what the vault holds.
    fn collect(self, config: &Config, master: &KeyBytes) -> Result<Option<Parts>, Failure> {
        let Self { audit, vault, seq } = self;
        let (vault_path, audit_path) = (&config.paths.vault_path, &config.paths.audit_path);
        let fail = |path: &Path, why: &dyn std::fmt::Display| Failure::new(path.display(), why);
        let progress = Progress::begin("reading the audit log", audit.metadata().map_or(0, |there| there.len()));
        let prefix = audit::prefix_through(BufReader::with_capacity(1 << 16, Counted(&audit)), seq)
            .map_err(|why| fail(audit_path, &why))?;
        drop(progress);
        let Some(prefix) = prefix else { return Ok(None) };
        // Changes whose lines are not written yet are not acknowledged yet.
        let known = prefix.tip.vault.seq;
        let (seq, vault_bytes) = through(&vault, known).map_err(|why| fail(vault_path, &why))?;
        if seq != known {
            // It was written anew, and all in one holds more than that.
            return Ok(None);
        }
        let _progress = Progress::begin("opening the vault", vault_bytes);
        let section = Part::new(&vault, 0, vault_bytes);
        let contents = Contents::read(section, vault_bytes, master).map_err(|why| fail(vault_path, &why))?;
        if !prefix.tip.vault.is_same(contents.at()) {
            return Ok(None);
        }
        let public_path = audit::public_key_path(audit_path);
        Ok(Some(Parts {
            vault_bytes,
            contents,
            audit_bytes: prefix.length,
            audit_seq: prefix.tip.seq,
            signing_key: files::read_private(&audit::signing_key_path(audit_path), LARGEST_TEXT)?,
            public_key: files::read(&public_path, LARGEST_TEXT)?.to_vec(),
            policy: files::read(&config.security.rbac_policy_path, LARGEST_TEXT)?.to_vec(),
            vault,
            audit,
        }))
    }
}

impl Parts {
    fn collect(config: &Config, master: &KeyBytes) -> Result<Self, Failure> {
        let (vault_path, audit_path) = (&config.paths.vault_path, &config.paths.audit_path);
        let mut has_lines = false;
        for _ in 0..ATTEMPTS {
            // What the log knows now, the vault has: its records are written first. One that has not was rolled back.
            let tip = audit::Found::look(audit_path)?.tip().copied();
            let opened = Opened::open(config)?;
            let (seq, known) = (opened.seq, tip.map_or(0, |tip| tip.vault.seq));
            if seq < known {
                let why =
                    format!("the vault is at change {seq}, but the audit log knows change {known}: it was put back");
                return Err(Failure::new(vault_path.display(), why));
            }
            if let Some(parts) = opened.collect(config, master)? {
                return Ok(parts);
            }
            has_lines |= tip.is_some();
        }
        let known = audit::Found::look(audit_path)?.end().vault;
        if matches!(vault::Found::look(vault_path, master, known)?.history(), History::Another | History::Beyond) {
            let why = "does not continue what the audit log knows: another branch, or another vault, was put there";
            return Err(Failure::new(vault_path.display(), why));
        }
        let why = match has_lines {
            true => "was rotated each time it was read; try again when the daemon is less busy",
            false => "has no line yet; start the daemon once",
        };
        Err(Failure::new(audit_path.display(), why))
    }

    fn vault(&self) -> impl Read {
        Part::new(&self.vault, 0, self.vault_bytes)
    }

    fn audit(&self) -> impl Read {
        Part::new(&self.audit, 0, self.audit_bytes)
    }

    fn write(&self, file: &File, now: Timestamp) -> io::Result<()> {
        // Each is read for its digest, and once more.
        let _progress = Progress::begin("writing the backup", 2 * (self.vault_bytes + self.audit_bytes));
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            created_at: now,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            vault_id: self.contents.vault_id().to_owned(),
            vault_seq: self.contents.seq(),
            audit_seq: self.audit_seq,
            files: vec![
                digest(PUBLIC_KEY, &self.public_key[..])?,
                digest(POLICY, &self.policy[..])?,
                digest(VAULT, self.vault())?,
                digest(AUDIT, self.audit())?,
            ],
        };
        let manifest = serde_json::to_vec(&manifest)?;
        let sealed = self.contents.seal(&associated(&manifest), &self.signing_key).map_err(io::Error::other)?;
        let sealed = base64::encode(sealed);
        let mut archive = ArchiveWriter::new(file, now.seconds());
        for (name, text) in [
            (MANIFEST, &manifest[..]),
            (SIGNING_KEY, sealed.as_bytes()),
            (PUBLIC_KEY, &self.public_key),
            (POLICY, &self.policy),
        ] {
            archive.put(name, text.len() as u64, text)?;
        }
        archive.put(VAULT, self.vault_bytes, self.vault())?;
        archive.put(AUDIT, self.audit_bytes, self.audit())?;
        archive.finish()
    }
}

/// The last whole record of a vault that is no later than change `limit`, and where its line ends.
fn through(vault: &File, limit: u64) -> io::Result<(u64, u64)> {
    let length = vault.metadata()?.len();
    let mut lines = BufReader::with_capacity(1 << 16, Part::new(vault, 0, length));
    let (mut seq, mut end, mut line) = (0, 0, Vec::new());
    loop {
        line.clear();
        let read = lines.read_until(b'\n', &mut line)? as u64;
        if !line.ends_with(b"\n") {
            return Ok((seq, end));
        }
        if end > 0 {
            match vault::record_seq(&line) {
                Some(record) if record <= limit => seq = seq.max(record),
                _ => return Ok((seq, end)),
            }
        }
        end += read;
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::audit::{Entry, Event, Segmenting};
    use crate::base::clock::Clock;
    use crate::base::secret::Plaintext;
    use crate::vault::{
        Condition, Duty, Found, KeyFile, Lifetimes, New, Operation, Order, Patch, Previous, Rotation, Vault,
    };

    /// A vault, and a log that is closed behind every change.
    struct Site {
        dir: PathBuf,
        config: Config,
        master: KeyBytes,
        vault: Arc<Vault>,
    }

    impl Drop for Site {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }

    impl Site {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("jarvis-backup-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&dir);
            files::create_dir(&dir).unwrap();
            std::fs::write(dir.join("policy.toml"), "").unwrap();
            let place = |file: &str| format!("{:?}", dir.join(file));
            let text = format!(
                "[paths]\nvault_path = {}\naudit_path = {}\n[security]\nrbac_policy_path = {}\n",
                place("vault.json"),
                place("audit.jsonl"),
                place("policy.toml")
            );
            let config = Config::parse(&text, Path::new("config.toml")).unwrap();
            let master = KeyFile::new(dir.join("master.key")).generate().unwrap();
            let clock = Clock::system();
            let audit = audit::Found::look(&config.paths.audit_path).unwrap().open(clock.clone()).unwrap();
            let audit = Arc::new(audit.segmented(Segmenting { bytes: Some(1), keep: None }));
            let found = Found::create(&config.paths.vault_path, &master).unwrap();
            let lifetimes = Lifetimes { rotation_days: 90, grace_days: 14 };
            let vault = Arc::new(found.open(&config.paths.vault_path, audit, clock, lifetimes).unwrap());
            Self { dir, config, master, vault }
        }

        fn change(&self, operation: Operation) {
            let entry = Entry::new(Event::CreateSecret);
            self.vault.commit(Order { operation, condition: Condition::default(), duty: Duty::None, entry }).unwrap();
        }

        fn put(&self, name: &str) {
            let value = Plaintext::new("v".to_owned());
            let (name, rotation) = (name.to_owned(), Rotation::Manual);
            let new = New { name, value, rotation, generator: None, patch: Patch::default(), previous: Previous::Kept };
            self.change(Operation::Put { versions: vec![new] });
        }

        fn segments(&self) -> usize {
            audit::segments(&self.config.paths.audit_path).unwrap().len()
        }
    }

    #[test]
    fn a_backup_is_made_however_often_the_log_is_closed_while_the_vault_is_read() {
        let site = Site::new("closed");
        ["a", "b", "c"].iter().for_each(|name| site.put(name));
        let opened = Opened::open(&site.config).unwrap();
        let before = site.segments();
        ["d", "e", "f"].iter().for_each(|name| site.put(name));
        assert!(site.segments() > before);
        let parts = opened.collect(&site.config, &site.master).unwrap().expect("they fit together");
        assert_eq!((parts.contents.seq(), parts.contents.kids().len()), (3, 3));
        let output = site.dir.join("b.tar");
        assert_eq!(create(&site.config, &site.master, &output, site.vault.now()).unwrap().contents.seq(), 6);
    }

    #[test]
    fn a_log_and_a_vault_that_do_not_fit_together_make_no_backup() {
        let site = Site::new("compacted");
        ["a", "b"].iter().for_each(|name| site.put(name));
        let audit = Opened::open(&site.config).unwrap().audit;
        site.put("c");
        site.change(Operation::Delete { name: "a".to_owned() });
        assert!(site.vault.compact_dead().unwrap());
        let opened = Opened { audit, ..Opened::open(&site.config).unwrap() };
        assert_eq!(opened.seq, 4);
        assert!(opened.collect(&site.config, &site.master).unwrap().is_none());
    }

    #[test]
    fn without_a_line_in_the_log_there_is_nothing_to_back_up() {
        let site = Site::new("no-line");
        let why = create(&site.config, &site.master, &site.dir.join("b.tar"), site.vault.now()).err().unwrap();
        assert!(why.to_string().ends_with("has no line yet; start the daemon once"), "{why}");
    }
}
