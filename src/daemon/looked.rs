//! What a start finds on the disk, and whether vault and audit log belong together, before anything is changed.

use crate::audit::{self, Tip};
use crate::base::failure::Failure;
use crate::base::files;
use crate::config::{Config, PathsConfig};
use crate::vault::{self, History, KeyFile, KeyInForce, MasterKeySource};

/// What was found on the disk, before anything is changed.
pub struct Looked {
    pub audit: audit::Found,
    pub key: Option<KeyInForce>,
    pub vault: Option<vault::Found>,
    /// The accepted rollback, in words.
    pub rollback: Option<String>,
}

impl Looked {
    pub fn look(config: &Config, accept_rollback: bool) -> Result<Self, Failure> {
        let PathsConfig { vault_path, audit_path, master_key_path, .. } = &config.paths;
        let audit = audit::Found::look(audit_path)?;
        let Tip { seq: audited, vault: known, .. } = audit.end();
        let source = KeyFile::new(master_key_path);
        config.paths.refuse_to_pass_over_a_vault()?;
        let vault_exists = !files::is_missing(vault_path);
        if vault_exists && !source.exists() {
            let why = format!("the master key of the vault {} is missing; put it back", vault_path.display());
            return Err(Failure::new(master_key_path.display(), why));
        }
        let key = if source.exists() { Some(KeyInForce::find(&source, vault_path)?) } else { None };
        let vault = match &key {
            Some(found) if vault_exists => Some(vault::Found::look(vault_path, &found.key, known)?),
            _ => None,
        };
        let (seq, saw) = vault.as_ref().map_or((0, 0), |vault| (vault.seq(), vault.audited()));
        let history = match &vault {
            Some(vault) => vault.history(),
            None if known.seq > 0 => History::Older,
            None => History::Continues,
        };
        const OLDER: &str = "an older file was put in its place; put back the newer one";
        let known = known.seq;
        let rollback = match history {
            History::Older => Some((
                vault_path,
                format!("the vault is at change {seq}, but the audit log knows change {known}"),
                OLDER,
            )),
            History::Continues | History::Beyond if audited < saw => {
                let what = format!("the audit log ends at line {audited}, but the vault has seen line {saw}");
                Some((audit_path, what, OLDER))
            }
            History::Continues => None,
            History::Another | History::Beyond => {
                let what = format!(
                    "the vault is at change {seq}, but does not continue from change {known} as the audit log knows \
                     it: the file is another branch of the vault, or another vault"
                );
                Some((vault_path, what, "perhaps a restore was undone; put back the file that was there"))
            }
        };
        let rollback = match rollback {
            Some((path, what, why)) if !accept_rollback => {
                let renamed = if path == audit_path { renamed(&audit) } else { None };
                let why = renamed.unwrap_or_else(|| why.to_owned());
                let remedy = format!("{why}, or start once with --accept-rollback, which is audited");
                return Err(Failure::new(path.display(), format_args!("{what}: {remedy}")));
            }
            rollback => rollback.map(|(_, what, _)| what),
        };
        Ok(Self { audit, key, vault, rollback })
    }
}

/// What of the log was renamed, if anything was, as an interrupted logrotate leaves it, and what helps.
fn renamed(audit: &audit::Found) -> Option<String> {
    let files = audit.renamed();
    let (_, newest) = files.last()?;
    let told: Vec<_> = files.iter().map(|(last, path)| format!("{} up to line {last}", path.display())).collect();
    Some(format!("renamed files continue it, {}; move {} back to its place", told.join(", "), newest.display()))
}
