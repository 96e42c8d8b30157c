//! `[paths]`: where the state is.

use std::path::{Path, PathBuf};

use crate::base::failure::Failure;
use crate::base::files;
use crate::base::strict_toml::{Document, Table, Value};

/// `[paths]`: the files; a relative path starts at the working directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathsConfig {
    /// The directory below which the files are that have no path of their own.
    pub state_dir: PathBuf,
    pub vault_path: PathBuf,
    pub audit_path: PathBuf,
    /// The key that opens the vault.
    pub master_key_path: PathBuf,
}

impl Default for PathsConfig {
    fn default() -> Self {
        Self::below("/opt/jarvis".into())
    }
}

impl PathsConfig {
    /// The files as they lie below `state_dir`.
    pub fn below(state_dir: PathBuf) -> Self {
        Self {
            vault_path: state_dir.join("secrets/vault.json"),
            audit_path: state_dir.join("audit/audit.jsonl"),
            master_key_path: state_dir.join("secrets/master.key"),
            state_dir,
        }
    }

    /// A vault in `state_dir` itself, where the configuration for systemd had it before there was that key. This one would pass it
    /// over, and begin a new one below.
    ///
    /// # Errors
    /// If there is one: says what to do.
    pub fn refuse_to_pass_over_a_vault(&self) -> Result<(), Failure> {
        let [vault, audit] = ["vault.json", "audit.jsonl"].map(|name| self.state_dir.join(name));
        let is_passed_over = self.vault_path == Self::below(self.state_dir.clone()).vault_path
            && files::is_missing(&self.vault_path)
            && !files::is_missing(&vault);
        if !is_passed_over {
            return Ok(());
        }
        let why = format!(
            "is a vault, but this configuration names {}, where there is none; to use it, set vault_path = {vault:?} \
             and audit_path = {audit:?} in [paths]",
            self.vault_path.display()
        );
        Err(Failure::configuration(vault.display(), why))
    }

    pub(super) fn read(&mut self, mut table: Table<'_>, document: &Document) -> Result<(), Failure> {
        if table.set("state_dir", &mut self.state_dir, Value::path)?.is_some() {
            *self = Self::below(std::mem::take(&mut self.state_dir));
        }
        let vault = table.set("vault_path", &mut self.vault_path, Value::path)?;
        let audit = table.set("audit_path", &mut self.audit_path, Value::path)?;
        let master_key = table.set("master_key_path", &mut self.master_key_path, Value::path)?;
        table.finish()?;

        let files = [
            ("vault_path", &self.vault_path, vault),
            ("audit_path", &self.audit_path, audit),
            ("master_key_path", &self.master_key_path, master_key),
        ];
        for (i, (key, path, value)) in files.iter().enumerate() {
            for (other_key, other_path, other_value) in &files[..i] {
                if resolved(path) == resolved(other_path) {
                    return Err(match (value, other_value) {
                        (Some(value), _) => value.refuse(format_args!("must not be the same file as `{other_key}`")),
                        (None, Some(other)) => other.refuse(format_args!("must not be the same file as `{key}`")),
                        (None, None) => document.refuse(format_args!("`{key}` and `{other_key}` are the same file")),
                    });
                }
            }
        }
        Ok(())
    }
}

/// The one path among the many that lead to a file, as far as the directories on the way exist.
fn resolved(path: &Path) -> PathBuf {
    let by_parent = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize()
        .ok()
        .or_else(by_parent)
        .or_else(|| std::path::absolute(path).ok())
        .unwrap_or_else(|| path.into())
}
