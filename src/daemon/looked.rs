//! What a start finds on the disk, and whether vault and audit log belong together, before anything is changed.

use crate::audit::{self, Tip, VaultAt};
use crate::base::failure::Failure;
use crate::base::files;
use crate::cluster::{Cluster, Unfit};
use crate::config::{Config, PathsConfig};
use crate::vault::{self, History, KeyFile, KeyInForce};

const OLDER: &str = "an older file was put in its place; put back the newer one";

const ETCD_OLDER: &str = "etcd was perhaps restored from an older snapshot; bring back the newer one";

/// What was found on the disk, before anything is changed.
pub struct Looked {
    pub audit: audit::Found,
    pub key: Option<KeyInForce>,
    pub vault: Option<vault::Found>,
    /// The accepted rollback, in words.
    pub rollback: Option<String>,
}

impl Looked {
    /// Looks at what `config` names, and at what `cluster` has in etcd, where several daemons share the vault. `accept_rollback`: what
    /// was set back is accepted.
    pub fn look(
        config: &Config,
        source: &KeyFile,
        cluster: Option<&Cluster>,
        accept_rollback: bool,
    ) -> Result<Self, Failure> {
        let PathsConfig { vault_path, audit_path, master_key_path, .. } = &config.paths;
        let audit = audit::Found::look(audit_path)?;
        let Tip { seq: audited, vault: known, .. } = audit.end();
        config.paths.refuse_to_pass_over_a_vault()?;
        let vault_exists = !files::is_missing(vault_path);
        if vault_exists && !source.exists() {
            let why = format!("the master key of the vault {} is missing; put it back", vault_path.display());
            return Err(Failure::new(master_key_path.display(), why));
        }
        let (key, vault) = match cluster {
            Some(cluster) => {
                let (key, vault) = shared(cluster, source, config, known, accept_rollback)?;
                (Some(key), Some(vault))
            }
            None => {
                let key = if source.exists() { Some(KeyInForce::find(source, vault_path)?) } else { None };
                // A key is about to be made.
                if let (None, Some(wrapping)) = (&key, source.wrapping()) {
                    wrapping.wrapper()?;
                }
                let vault = match &key {
                    Some(found) if vault_exists => Some(vault::Found::look(vault_path, &found.key, known)?),
                    _ => None,
                };
                (key, vault)
            }
        };
        let (seq, saw) = vault.as_ref().map_or((0, 0), |vault| (vault.seq(), vault.audited()));
        let history = match &vault {
            Some(vault) => vault.history(),
            None if known.seq > 0 => History::Older,
            None => History::Continues,
        };
        let known = known.seq;
        let elsewhere = vault.as_ref().and_then(|vault| vault.other_history());
        let rollback = match history {
            // The copy of a daemon that was away may have been compacted behind what others have changed meanwhile.
            History::Beyond if cluster.is_some() && elsewhere.is_none() && audited >= saw => None,
            _ if elsewhere.is_some() => {
                elsewhere.map(|why| (vault_path, format!("this daemon's copy is set aside: {why}"), OLDER))
            }
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
        let anchor = match (cluster, &vault) {
            (Some(cluster), Some(vault)) => cluster.compare_anchor(audit_path, &audit, vault)?,
            _ => None,
        };
        let rollback = rollback.or(anchor.map(|unfit| match unfit {
            Unfit::AuditCut(what) => (audit_path, what, OLDER),
            Unfit::EtcdSetBack(what) | Unfit::AnotherDaemon(what) => (vault_path, what, ETCD_OLDER),
        }));
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

/// The vault that several daemons share, and the key that it is under.
fn shared(
    cluster: &Cluster,
    source: &KeyFile,
    config: &Config,
    known: VaultAt,
    accept_rollback: bool,
) -> Result<(KeyInForce, vault::Found), Failure> {
    let PathsConfig { vault_path, master_key_path, .. } = &config.paths;
    let prefix = &cluster.config().prefix;
    if !source.exists() {
        let why = "there is no master key, and daemons that share a vault make none by themselves: copy the others' to \
                   this path, or, for the first daemon, make one with `jarvis-secretsd init --cluster`";
        return Err(Failure::new(master_key_path.display(), why));
    }
    let header = cluster.header()?;
    cluster.warn_of_unfit_etcd();
    let header = match header {
        Some(header) => header,
        None if !files::is_missing(vault_path) => {
            let why = format!(
                "etcd has no vault under {prefix}, and here is one: put it there with `jarvis-secretsd storage copy --to \
                 etcd`, or move it away to begin a new one"
            );
            return Err(Failure::new(vault_path.display(), why));
        }
        None if known.seq > 0 => {
            let why = format!(
                "etcd has no vault under {prefix}, but the audit log knows change {}: bring etcd back, or restore a backup and \
                 put it there with `jarvis-secretsd storage copy --to etcd`",
                known.seq
            );
            return Err(Failure::new(vault_path.display(), why));
        }
        None => {
            log::info!("Creating new vault in etcd, under {prefix}");
            cluster.create(&vault::Found::new_header(&source.load()?)?)?
        }
    };
    let key = KeyInForce::of_header(source, &header)?;
    let vault = vault::Found::look_shared(vault_path, &header, &key.key, known, &*cluster.log, accept_rollback)?;
    Ok((key, vault))
}

/// What of the log was renamed, if anything was, as an interrupted logrotate leaves it, and what helps.
fn renamed(audit: &audit::Found) -> Option<String> {
    let files = audit.renamed();
    let (_, newest) = files.last()?;
    let told: Vec<_> = files.iter().map(|(last, path)| format!("{} up to line {last}", path.display())).collect();
    Some(format!("renamed files continue it, {}; move {} back to its place", told.join(", "), newest.display()))
}
