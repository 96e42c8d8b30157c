//! Whether somebody else could change what the daemon reads and keeps, by the permissions of files and directories.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};

use crate::base::failure::Failure;
use crate::base::files::{self, Lost};
use crate::config::{Config, StorageConfig};
use crate::http::TlsConfig;

/// The mode bit by which anybody may write.
const ANYBODY: u32 = 0o002;
/// What is in such a directory can be renamed and removed by its owner only.
const STICKY: u32 = 0o1000;

/// What others than root and the daemon's user can change.
#[derive(Default)]
pub struct SharedPaths {
    /// What the daemon starts with only if `trust_shared_paths` says so.
    refused: Vec<Finding>,
    /// What belongs to somebody who was most likely meant to change it: a container's configuration is a host user's.
    told: Vec<Finding>,
}

struct Finding {
    path: PathBuf,
    why: String,
    remedy: String,
}

impl SharedPaths {
    /// Looks at the configuration at `config_path` and at all that it names, for a daemon of the user `uid`. What is missing or
    /// cannot be looked at is passed over.
    pub fn find(config_path: &Path, config: &Config, uid: u32) -> Self {
        let mut found = Self::default();
        let tls = config.server.tls.iter().flat_map(TlsConfig::paths);
        let storage = config.storage.iter().flat_map(StorageConfig::paths);
        let keys = config.jwt_issuers.iter().map(|issuer| issuer.jwks_path.as_path());
        let read = [config_path, &config.security.rbac_policy_path, &config.paths.master_key_path];
        for path in tls.chain(storage).chain(keys).chain(read) {
            found.look_at_the_way(path);
            if let Some(finding) = foreign(path, uid, "what the daemon reads") {
                add(&mut found.told, finding);
            }
        }
        for path in [&config.paths.vault_path, &config.paths.audit_path] {
            found.look_at_the_way(path);
            let finding = foreign(path, uid, "what the daemon keeps").or_else(|| open_directory(path));
            if let Some(finding) = finding {
                add(&mut found.refused, finding);
            }
        }
        found
    }

    /// What others can change, and may.
    ///
    /// # Errors
    /// If the daemon must not start with that: says what to do.
    pub fn judge(self, config: &Config) -> Result<Vec<String>, Failure> {
        let mut warnings = Vec::new();
        for Finding { path, why, remedy } in self.refused {
            let path = path.display();
            if !config.security.trust_shared_paths {
                let why = format!("{why}; {remedy}, or set trust_shared_paths = true in [security]");
                return Err(Failure::configuration(path, why));
            }
            warnings.push(format!("{path}: {why}; trust_shared_paths permits it"));
        }
        warnings.extend(self.told.into_iter().map(|Finding { path, why, .. }| format!("{}: {why}", path.display())));
        Ok(warnings)
    }

    /// Looks for what anybody can change on the way to `path`. What is in a sticky directory can be exchanged by its owner only.
    fn look_at_the_way(&mut self, path: &Path) {
        let Ok(path) = std::path::absolute(path) else { return };
        // It ends where something is missing.
        let _ = files::walk(&path, |here, meta| {
            if is_open(here, meta) && !(meta.is_dir() && meta.mode() & STICKY != 0) {
                add(&mut self.refused, open(here, meta, &path));
            }
            Ok::<_, Lost>(())
        });
    }
}

fn add(findings: &mut Vec<Finding>, finding: Finding) {
    if findings.iter().all(|other| other.path != finding.path) {
        findings.push(finding);
    }
}

/// Whether anybody can write there. On what is mounted read-only nobody can, as for a ConfigMap of Kubernetes, which has mode
/// 0777.
fn is_open(path: &Path, meta: &Metadata) -> bool {
    let is_read_only = || statvfs(path).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::RDONLY));
    !meta.is_symlink() && meta.mode() & ANYBODY != 0 && !is_read_only()
}

fn open(here: &Path, meta: &Metadata, path: &Path) -> Finding {
    let (mode, shown) = (meta.mode() & 0o7777, here.display());
    let whose = if here == path { String::new() } else { format!(", and so replace {}", path.display()) };
    let why = format!("anybody can write to it (mode {mode:04o}){whose}");
    Finding { path: here.to_owned(), why, remedy: format!("chmod o-w {shown}") }
}

/// The directory of `path`, if anybody can make files in it, sticky or not: the daemon looks for more than one there.
fn open_directory(path: &Path) -> Option<Finding> {
    let directory = files::parent(path);
    let meta = directory.metadata().ok()?;
    is_open(directory, &meta).then(|| open(directory, &meta, path))
}

/// The file at `path` or its directory, if that is neither root's nor of the user `uid`.
fn foreign(path: &Path, uid: u32, what: &str) -> Option<Finding> {
    [files::parent(path), path].into_iter().find_map(|path| {
        let meta = path.metadata().ok().filter(|meta| ![0, uid].contains(&meta.uid()))?;
        let why = format!("belongs to user {}, who can change {what}", meta.uid());
        Some(Finding { path: path.to_owned(), why, remedy: format!("chown {uid} {}", path.display()) })
    })
}
