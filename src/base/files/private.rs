//! Files with a key or a token in them: whose they may be, and who besides may use them.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::{open, read_whole};
use crate::base::failure::{Failure, say};
use crate::base::secret::Wiped;

/// Whose keys are taken.
#[derive(Clone, Copy, Debug)]
pub enum KeyOwner {
    /// Those of root and of this user, who runs the daemon.
    User(u32),
    /// Anybody's. Who was told by a person where the key is, works for a daemon that may be another user's.
    Anyone,
}

static KEY_OWNER: OnceLock<KeyOwner> = OnceLock::new();

/// Says whose keys this process takes from now on. Until it is said, and for the daemon, they are those of the process's own
/// user.
pub fn take_keys_of(owner: KeyOwner) {
    let _ = KEY_OWNER.set(owner);
}

/// Reads a key file of at most `limit` bytes.
///
/// # Errors
/// If it is a symbolic link or not a regular file, larger than `limit`, neither root's nor of the user for whom
/// [keys are taken](take_keys_of), or shared with others. It is not shared if nobody but its owner has a permission. One of
/// root's is not shared either, where that user is not root: root may let that user read it through its group or an ACL, but
/// nobody may write it and all others have no permission.
pub fn read_private(path: &Path, limit: u64) -> Result<Wiped, Failure> {
    let (file, meta) = open(path, OFlags::NOFOLLOW)?;
    refuse(path, &meta)?;
    read_whole(path, file, &meta, limit)
}

/// The same for a key that others put there by changing a symbolic link, as certbot and Kubernetes do.
///
/// # Errors
/// As [`read_private`], but for the symbolic link.
pub fn read_private_through_links(path: &Path, limit: u64) -> Result<Wiped, Failure> {
    let (file, meta) = open(path, OFlags::empty())?;
    refuse(path, &meta)?;
    read_whole(path, file, &meta, limit)
}

/// Reads a file that holds what proves a client. If it is shared with others, standard error says so, and it is read all the
/// same: containers mount such files for all to read, and who runs in them cannot change that.
///
/// # Errors
/// If it is not a regular file, or larger than `limit`.
pub fn read_credential(path: &Path, limit: u64) -> Result<Wiped, Failure> {
    let (file, meta) = open(path, OFlags::empty())?;
    if let Some(why) = shared(path, &meta, KeyOwner::User(geteuid().as_raw())) {
        say(format_args!("warning: {}: {why}", path.display()));
    }
    read_whole(path, file, &meta, limit)
}

fn refuse(path: &Path, meta: &Metadata) -> Result<(), Failure> {
    let taken = KEY_OWNER.get().copied().unwrap_or_else(|| KeyOwner::User(geteuid().as_raw()));
    match foreign(path, meta, taken).or_else(|| shared(path, meta, taken)) {
        Some(why) => Err(Failure::configuration(path.display(), why)),
        None => Ok(()),
    }
}

fn foreign(path: &Path, meta: &Metadata, taken: KeyOwner) -> Option<String> {
    let (owner, path) = (meta.uid(), path.display());
    match taken {
        KeyOwner::User(user) if ![0, user].contains(&owner) => Some(format!(
            "belongs to user {owner}, who may use this key; it must belong to root or to user {user}, who runs the \
             daemon; if it was not exposed: chown {user} {path}"
        )),
        _ => None,
    }
}

fn shared(path: &Path, meta: &Metadata, taken: KeyOwner) -> Option<String> {
    // systemd hands a credential over by an ACL, whose mask is shown as the permissions of the group (systemd 254 and later);
    // Kubernetes by the group of the pod.
    let is_handed_over = meta.uid() == 0 && !matches!(taken, KeyOwner::User(0));
    let (forbidden, right) = if is_handed_over { (0o027, "g-w,o=") } else { (0o077, "600") };
    let (mode, path) = (meta.mode() & 0o7777, path.display());
    let is_shared = mode & forbidden != 0;
    is_shared.then(|| {
        format!("others than its owner may use this key (mode {mode:04o}); if it was not exposed: chmod {right} {path}")
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::{create, scratch};
    use super::*;

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_remedy() {
        let path = scratch("keys-open").join("key");
        create(&path, 0o600, b"k").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let error = read_private(&path, 16).unwrap_err().to_string();
        assert!(error.contains("mode 0640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_symlink_a_directory_and_an_oversized_file_are_no_keys() {
        let dir = scratch("keys-odd");
        let path = dir.join("key");
        create(&path, 0o600, &[0; 17]).unwrap();
        std::os::unix::fs::symlink(&path, dir.join("link")).unwrap();
        assert!(read_private(&dir.join("link"), 64).unwrap_err().to_string().contains("symbolic link"));
        assert!(read_private(&dir, 64).unwrap_err().to_string().contains("not a regular file"));
        assert!(read_private(&path, 16).unwrap_err().to_string().contains("17 bytes"));
    }
}
