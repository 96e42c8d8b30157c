//! Making a backup, of a daemon at work or of one that stands still.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::archive::{At, digest};
use super::layout::{LARGEST_TEXT, Writer};
use super::{
    AUDIT, Archive, FORMAT, MANIFEST, Manifest, POLICY, PUBLIC_KEY, SIGNING_KEY, VAULT, VERSION, Verified, associated,
};
use crate::audit;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::failure::Failure;
use crate::files;
use crate::secret::Wiped;
use crate::vault::{self, Contents, KeyBytes};

/// Makes a backup at `output`, where nothing may be yet, of what `config` names.
///
/// The daemon is neither asked nor held up: the vault's file is valid at any moment, and the audit log is taken up to the
/// change at which the vault was read. The backup is then verified as `backup verify` does, and only a good one is left.
///
/// # Errors
/// If anything cannot be read, does not verify, or the disk refuses; then nothing is left at `output`.
pub fn create(config: &Config, master: &KeyBytes, output: &Path, now: Timestamp) -> Result<Verified, Failure> {
    if output.symlink_metadata().is_ok() {
        return Err(Failure::new(output.display(), "is there already; nothing was written"));
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
    let copied = length.and_then(|left| io::copy(&mut At { file: &fresh.file, position: 0, left }, output));
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

/// How often it is tried: the log may go on in a new file, which knows later changes only, while the vault is being read.
const ATTEMPTS: usize = 3;

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

impl Parts {
    fn collect(config: &Config, master: &KeyBytes) -> Result<Self, Failure> {
        for _ in 0..ATTEMPTS {
            if let Some(parts) = Self::try_collect(config, master)? {
                return Ok(parts);
            }
        }
        Err(Failure::new(config.paths.audit_path.display(), "has no line yet; start the daemon once"))
    }

    /// None if the audit log has no line of what the vault holds.
    fn try_collect(config: &Config, master: &KeyBytes) -> Result<Option<Self>, Failure> {
        let (vault_path, audit_path) = (&config.paths.vault_path, &config.paths.audit_path);
        let fail = |path: &Path, why: &dyn std::fmt::Display| Failure::new(path.display(), why);
        // What the log knows now, the vault has: its records are written first. One that has not was rolled back.
        let known = audit::Found::look(audit_path)?.tip().map_or(0, |tip| tip.vault_seq);
        let vault = File::open(vault_path).map_err(|why| fail(vault_path, &why))?;
        let (seq, _) = through(&vault, u64::MAX).map_err(|why| fail(vault_path, &why))?;
        if seq < known {
            let why = format!("the vault is at change {seq}, but the audit log knows change {known}: it was put back");
            return Err(fail(vault_path, &why));
        }
        let audit = File::open(audit_path).map_err(|why| fail(audit_path, &why))?;
        let prefix = audit::prefix_through(BufReader::with_capacity(1 << 16, &audit), seq)
            .map_err(|why| fail(audit_path, &why))?;
        let Some(prefix) = prefix else { return Ok(None) };
        // Changes whose lines are not written yet are not acknowledged yet.
        let (_, vault_bytes) = through(&vault, prefix.tip.vault_seq).map_err(|why| fail(vault_path, &why))?;
        let section = At { file: &vault, position: 0, left: vault_bytes };
        let contents = Contents::read(section, vault_bytes, master).map_err(|why| fail(vault_path, &why))?;
        let public_path = audit::public_key_path(audit_path);
        Ok(Some(Self {
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

    fn vault(&self) -> impl Read {
        At { file: &self.vault, position: 0, left: self.vault_bytes }
    }

    fn audit(&self) -> impl Read {
        At { file: &self.audit, position: 0, left: self.audit_bytes }
    }

    fn write(&self, file: &File, now: Timestamp) -> io::Result<()> {
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
        let mut archive = Writer::new(file, now.seconds());
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
    let mut lines = BufReader::with_capacity(1 << 16, At { file: vault, position: 0, left: length });
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
