//! Putting a backup in place.
//!
//! What was there is kept beside it under another name. The vault is the first to go and the last to come: in between
//! there is an audit log that knows of changes and no vault, on which no daemon starts. Doing it again completes what was
//! interrupted.
//!
//! A branch of the vault begins behind what is restored, which the audit log tells before the vault is there. Whoever undoes
//! the restore by hand then has a vault that does not fit the log.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::archive::digest;
use super::compare::{Loss, log_continues};
use super::layout::LARGEST_TEXT;
use super::{AUDIT, POLICY, PUBLIC_KEY, VAULT, Verified};
use crate::audit::{self, Entry, Event, Outcome, Tip};
use crate::base::clock::{Clock, Timestamp};
use crate::base::directory_locks::DirectoryLocks;
use crate::base::failure::Failure;
use crate::base::files;
use crate::base::progress::{Counted, Progress};
use crate::config::Config;
use crate::vault::{Contents, KeyBytes, UsedKids};

/// A file that was put aside, and where it is now.
pub struct Kept {
    /// The name that it had.
    pub path: PathBuf,
    /// The name that it has.
    pub kept: PathBuf,
}

/// Puts `backup` at the places that `config` names, and says so in the audit log. An audit log that is there and continues the
/// one in the backup stays: it never goes back. With `keep_policy`, a policy that is there stays too. `masters` are the keys
/// that the vault which is replaced may be under. If that has what the backup has not, `agree` is asked, while no daemon can
/// change anything: with what would be lost, or nothing if the vault cannot be read.
///
/// # Errors
/// If a daemon is using these directories, the disk refuses, or `agree` fails; then nothing that was there was changed.
pub fn restore(
    backup: &Verified,
    config: &Config,
    masters: &[KeyBytes],
    keep_policy: bool,
    clock: &Clock,
    agree: impl FnOnce(Option<&Loss>) -> Result<(), Failure>,
) -> Result<Vec<Kept>, Failure> {
    let paths = &config.paths;
    let policy_path = &config.security.rbac_policy_path;
    let mut locks = DirectoryLocks::default();
    for path in [&paths.vault_path, &paths.audit_path, policy_path] {
        files::create_dir(files::parent(path)).map_err(|why| Failure::new(path.display(), why))?;
    }
    locks.take(&[&paths.vault_path, &paths.audit_path])?;
    let replaced = replaced(&paths.vault_path, masters);
    let loss = replaced.as_ref().map(|live| Loss::of(backup, config, live, keep_policy)).transpose()?;
    if !files::is_missing(&paths.vault_path) && loss.as_ref().is_none_or(Loss::is_any) {
        agree(loss.as_ref())?;
    }
    let log_stays = log_continues(backup, &paths.audit_path)?;
    let now = clock.now();
    let last_line = audit_end(backup, &paths.audit_path, log_stays)?;
    let mut used = UsedKids::until(now.max(last_line.timestamp), &paths.audit_path);
    if let Some(replaced) = replaced {
        used.add_those(&replaced.used_kids());
    }
    let _progress = Progress::begin("putting the backup in place", 0);
    let (branch, at) = backup.contents.branch(used, last_line.seq + 1)?;
    let entry = Entry { vault: Some(at), ..Entry::new(Event::Restore) };
    let entry = entry.ended(Outcome::Success, detail(backup, log_stays));

    let archive = &backup.archive;
    let vault = PreparedFile::prepare(&paths.vault_path, 0o600, || archive.reader(VAULT).chain(&branch[..]))?;
    let mut places = Vec::new();
    if !log_stays {
        let signer = audit::signing_key_from_pem(&backup.signing_key).expect("it was verified");
        let line = backup.tip.next_line(entry.clone(), now, &signer);
        let (key_path, public_path) =
            (audit::signing_key_path(&paths.audit_path), audit::public_key_path(&paths.audit_path));
        places.push(PreparedFile::prepare(&key_path, 0o600, || &backup.signing_key[..])?);
        places.push(PreparedFile::prepare(&public_path, 0o644, || archive.reader(PUBLIC_KEY))?);
        places.push(PreparedFile::prepare(&paths.audit_path, 0o600, || archive.reader(AUDIT).chain(&line[..]))?);
    }
    if !keep_policy || files::is_missing(policy_path) {
        let mode = policy_path.metadata().map_or(0o644, |meta| meta.mode() & 0o777);
        places.push(PreparedFile::prepare(policy_path, mode, || archive.reader(POLICY))?);
    }
    // All is on the disk now, and only names change.
    let mut kept = Vec::new();
    if vault.is_some() {
        kept.extend(put_aside(&paths.vault_path, now)?);
    }
    if !log_stays {
        kept.extend(put_segments_aside(backup, &paths.audit_path, now)?);
    }
    for place in places.into_iter().flatten() {
        // It stands there until the other one does. Without a vault and an audit log, a start would begin with new ones.
        kept.extend(keep(&place.path, now)?);
        place.put()?;
    }
    if log_stays {
        go_on_with(&paths.audit_path, entry, clock)?;
    }
    vault.map_or(Ok(()), PreparedFile::put)?;
    Ok(kept)
}

/// The line behind which the restore is told.
fn audit_end(backup: &Verified, path: &Path, log_stays: bool) -> Result<Tip, Failure> {
    let live = if log_stays { audit::Found::look(path)?.tip().copied() } else { None };
    Ok(live.unwrap_or(backup.tip))
}

/// The vault that is to be replaced, if it can be read.
fn replaced(path: &Path, masters: &[KeyBytes]) -> Option<Contents> {
    masters.iter().find_map(|master| {
        let vault = File::open(path).ok()?;
        let size = vault.metadata().ok()?.len();
        let _progress = Progress::begin("opening the existing vault", size);
        Contents::read(Counted(vault), size, master).ok()
    })
}

/// Writes `entry` to the log, as the next start would: in a new file, if all that there is are closed segments.
fn go_on_with(path: &Path, entry: Entry, clock: &Clock) -> Result<(), Failure> {
    let log = audit::Found::look(path)?.open(clock.clone())?;
    log.write_synced(vec![entry]).map_err(|why| Failure::new(path.display(), why))
}

/// Puts aside the closed segments that do not end before the backup's log begins, or that another key has signed.
fn put_segments_aside(backup: &Verified, log: &Path, now: Timestamp) -> Result<Vec<Kept>, Failure> {
    let key = files::read_private(&audit::signing_key_path(log), LARGEST_TEXT).ok();
    let is_another = key.is_some_and(|key| *key != *backup.signing_key);
    let segments = audit::segments(log).map_err(|why| Failure::new(log.display(), why))?;
    let in_the_way = segments.iter().filter(|segment| is_another || segment.last >= backup.report.first_seq);
    let kept: Result<Vec<_>, _> = in_the_way.map(|segment| put_aside(&segment.path, now)).collect();
    Ok(kept?.into_iter().flatten().collect())
}

fn detail(backup: &Verified, log_stays: bool) -> String {
    let manifest = &backup.archive.manifest;
    let log = if log_stays { "this log continues it" } else { "the log in the backup is continued" };
    format!(
        "backup of {}, vault {} at change {}, audit line {}; {log}",
        manifest.created_at, manifest.vault_id, manifest.vault_seq, manifest.audit_seq
    )
}

/// A file that is ready to stand at its place.
struct PreparedFile {
    path: PathBuf,
    fresh: files::Fresh,
}

impl PreparedFile {
    /// Writes it beside its place, where it belongs to whom the file there belongs to, or else the directory. None: what is
    /// there is the same already, and need not be written to.
    fn prepare<R: Read>(path: &Path, mode: u32, content: impl Fn() -> R) -> Result<Option<Self>, Failure> {
        let fresh = (|| {
            if File::open(path).is_ok_and(|there| is_same(there, content())) {
                return Ok(None);
            }
            let mut fresh = files::Fresh::begin(path, mode)?;
            files::give_to_the_owner_of(path, &fresh.file)?;
            io::copy(&mut content(), &mut fresh.file)?;
            Ok(Some(fresh))
        })();
        let fresh = fresh.map_err(|why: io::Error| Failure::new(path.display(), why))?;
        Ok(fresh.map(|fresh| Self { path: path.to_owned(), fresh }))
    }

    /// Puts it there, in place of what is there.
    fn put(self) -> Result<(), Failure> {
        self.fresh.replace().map_err(|why| Failure::new(self.path.display(), why))
    }
}

/// Gives what is at `path`, if anything is, another name under which it is kept.
fn keep(path: &Path, now: Timestamp) -> Result<Option<Kept>, Failure> {
    if files::is_missing(path) {
        return Ok(None);
    }
    let kept = files::keep_before(path, "restore", now).and_then(|kept| files::sync_parent(path).map(|()| kept));
    let kept = kept.map_err(|why| Failure::new(path.display(), why))?;
    Ok(Some(Kept { path: path.to_owned(), kept }))
}

/// The same, and takes it away from there.
fn put_aside(path: &Path, now: Timestamp) -> Result<Option<Kept>, Failure> {
    let kept = keep(path, now)?;
    if kept.is_some() {
        let removed = fs::remove_file(path).and_then(|()| files::sync_parent(path));
        removed.map_err(|why| Failure::new(path.display(), why))?;
    }
    Ok(kept)
}

fn is_same(one: impl Read, other: impl Read) -> bool {
    matches!((digest("", one), digest("", other)), (Ok(one), Ok(other)) if one == other)
}
