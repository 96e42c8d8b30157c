//! Start and stop, in the order in which the log tells it.
//!
//! Everything that can be refused is looked at before anything on the disk is changed: the address is bound, the
//! directories are locked, the vault and the audit log are read and compared. No thread is there to stay before the last
//! file is open, so that the process can give up rights at any moment until then.

mod first_lines;
mod looked;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::access::Access;
use crate::api::{Api, MAX_BODY, VAULT_PATHS, failures};
use crate::applier::Appliers;
use crate::audit::{self, AuditLog, Entry, Event, Outcome, Segmenting};
use crate::base::clock::{Clock, Timestamp};
use crate::base::directory_locks::DirectoryLocks;
use crate::base::failure::Failure;
use crate::base::files;
use crate::cluster::{Cluster, EtcdReads, Ticker};
use crate::config::{Config, PathsConfig};
use crate::consumers::{Consumers, ReadHistory};
use crate::http::{Limits, Listener, Server, Tls};
use crate::metrics::Metrics;
use crate::rotation::{Rotator, Scheduler};
use crate::systemd::{CredentialServer, CredentialSocket};
use crate::vault::{self, KeyFile, KeyInForce, Lifetimes, Vault};
use looked::Looked;

/// How long requests in flight may take when the daemon stops.
const GRACE: Duration = Duration::from_secs(10);

/// A daemon that serves.
pub struct Daemon {
    server: Server,
    credentials: Option<CredentialServer>,
    scheduler: Scheduler,
    read_history: ReadHistory,
    rotator: Arc<Rotator>,
    vault: Arc<Vault>,
    audit: Arc<AuditLog>,
    access: Arc<Access>,
    policy_path: PathBuf,
    tls: Option<Arc<Tls>>,
    ticker: Option<Ticker>,
    cluster: Option<Arc<Cluster>>,
    _locks: DirectoryLocks,
}

/// A daemon with everything read and opened, which serves nobody yet and has no thread of its own.
pub struct Prepared {
    listener: Listener,
    limits: Limits,
    api: Api,
    policy_path: PathBuf,
    audit_path: PathBuf,
    tls: Option<Arc<Tls>>,
    reads: Option<Arc<EtcdReads>>,
    locks: DirectoryLocks,
}

impl Prepared {
    /// Prepares what `config` and `access` say, to be served at `listener`. The master key is in `keys`.
    ///
    /// `accept_rollback`: start although vault and audit log are not of one history, or one is older than the other one says, and
    /// audit that.
    ///
    /// # Errors
    /// Says in one line why it cannot start; nothing on the disk was then changed, unless the disk itself failed.
    pub fn new(
        listener: Listener,
        config: &Config,
        access: Access,
        keys: KeyFile,
        clock: Clock,
        accept_rollback: bool,
    ) -> Result<Self, Failure> {
        let PathsConfig { vault_path, audit_path, master_key_path, .. } = &config.paths;
        let started = Instant::now();
        let mut locks = DirectoryLocks::default();
        locks.take(&[vault_path, audit_path])?;
        let tls = config.server.tls.as_ref().map(|settings| Tls::load(settings, &clock)).transpose()?.map(Arc::new);
        let cluster = config.storage.as_ref().map(Cluster::new).transpose()?.map(Arc::new);
        let looked = Looked::look(config, &keys, cluster.as_deref(), accept_rollback)?;
        if let (Some(cluster), Some(vault)) = (&cluster, &looked.vault) {
            cluster.join(audit_path, vault.seq(), access.snapshot().sha256())?;
        }

        // From here on the disk is changed.
        for path in [vault_path, audit_path] {
            files::create_dir(files::parent(path)).map_err(|why| Failure::new(path.display(), why))?;
        }
        locks.take(&[vault_path, audit_path])?;
        let Looked { audit: found_audit, key, vault: found_vault, rollback } = looked;
        if let (Some(cluster), Some(vault)) = (&cluster, &found_vault) {
            cluster.note_run(vault.vault_id());
        }
        let master = match key {
            Some(KeyInForce { key, is_next }) => {
                log::info!("Loaded master key from {}", master_key_path.display());
                if is_next {
                    log::warn!(
                        "The vault is already under the next master key, {}: run `jarvis-secretsd rekey` again, which \
                         puts that key in its place",
                        keys.next_path().display()
                    );
                }
                key
            }
            None => {
                log::info!("Generating new master key at {}", master_key_path.display());
                keys.generate()?
            }
        };
        let found_vault = match found_vault {
            Some(found) => found,
            None => {
                log::info!("Creating new vault at {}", vault_path.display());
                vault::Found::create(vault_path, &master)?
            }
        };
        log::info!("Vault loaded: {}", vault_path.display());
        let policy = access.snapshot();
        log::info!("Loaded policy with {} client rules", policy.client_count());
        for warning in access.warnings(clock.now()) {
            log::warn!("{warning}");
        }
        let mut lines = first_lines::recovered(&found_vault);
        let start = first_lines::start(&found_vault, &found_audit, policy.sha256(), keys.wrapping());
        let segmenting = Segmenting { bytes: config.audit.segment_bytes, keep: config.audit.keep_segments };
        let audit = Arc::new(found_audit.open(clock.clone())?.segmented(segmenting));
        let lifetimes =
            Lifetimes { rotation_days: config.security.rotation_days, grace_days: config.security.grace_days };
        let vault = found_vault.open(vault_path, audit.clone(), clock.clone(), lifetimes)?;
        let vault = Arc::new(match &cluster {
            Some(cluster) => vault.sharing(cluster.log.clone()),
            None => vault,
        });
        let reads = cluster.as_ref().map(|cluster| EtcdReads::begin(cluster.log.clone(), vault.clone())).transpose()?;
        let reads = reads.map(Arc::new);
        match rollback {
            Some(what) => lines.extend(first_lines::accepted(what, &vault, (&audit, audit_path), start)?),
            None => lines.push(start),
        }
        // A daemon that was killed may have left names that are not durable; on its very first start, that of a directory
        // or of the key.
        files::sync_parent(audit_path).map_err(|why| Failure::new(audit_path.display(), why))?;
        if audit.tip().seq == 0 {
            [vault_path, audit_path, master_key_path].into_iter().for_each(|path| files::sync_all_above(path));
        }
        first_lines::begin(&audit, lines).map_err(|why| Failure::new(audit_path.display(), why))?;

        let listener = match (&tls, &config.server.tls) {
            (Some(tls), Some(settings)) => {
                log::info!("TLS certificate loaded: {}", settings.cert_path.display());
                listener.secure(tls.clone())
            }
            _ => listener,
        };
        let limits = Limits {
            max_connections: config.server.max_connections,
            request_timeout: config.server.request_timeout,
            max_body: MAX_BODY,
            without_length: config.server.vault_api.then_some(VAULT_PATHS),
            ..Limits::default()
        };
        let consumers = Consumers::new(vault.clone());
        let consumers = Arc::new(match &reads {
            Some(reads) => consumers.sharing(reads.clone()),
            None => consumers,
        });
        let api = Api {
            access: Arc::new(access),
            consumers,
            rotator: Arc::new(Rotator::new(vault.clone(), audit.clone(), None)),
            vault,
            audit,
            master_key: Arc::new(keys.at_once()),
            schedule: config.rotation.schedule.clone(),
            default_rotation: config.rotation.default,
            metrics: Metrics::new(&clock, vault_path, audit_path),
            connections: listener.stats().clone(),
            cluster,
            max_watchers: limits.max_waiting(),
            started,
            vault_api: config.server.vault_api,
        };
        let (policy_path, audit_path) = (config.security.rbac_policy_path.clone(), audit_path.clone());
        Ok(Self { listener, limits, api, policy_path, audit_path, tls, reads, locks })
    }

    /// The same daemon, with these appliers.
    pub fn with(mut self, appliers: Option<Appliers>) -> Self {
        let Api { vault, audit, .. } = &self.api;
        self.api.rotator = Arc::new(Rotator::new(vault.clone(), audit.clone(), appliers));
        self
    }

    /// What answers requests, for a caller without a connection.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Starts to serve, and to systemd at `credentials` if there is such a socket, on threads that have the rights of the
    /// calling one.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn serve(self, credentials: Option<CredentialSocket>) -> Result<Daemon, Failure> {
        let Self { listener, limits, api, policy_path, audit_path, tls, reads, locks } = self;
        for endpoint in listener.endpoints() {
            log::info!("Starting server on {endpoint}");
        }
        let (vault, audit, access) = (api.vault.clone(), api.audit.clone(), api.access.clone());
        let (rotator, schedule, consumers) = (api.rotator.clone(), api.schedule.clone(), api.consumers.clone());
        let cluster = api.cluster.clone();
        let master_key = api.master_key.clone();
        let api = Arc::new(api);
        let server = listener.serve(limits, api.clone()).map_err(|why| Failure::new("server", why))?;
        let credentials = match credentials {
            Some(socket) => {
                log::info!("Serving credentials to systemd on {socket}");
                let serving = socket.serve(move |requester| api.credential(requester));
                Some(serving.map_err(|why| Failure::new("credential socket", why))?)
            }
            None => None,
        };
        log::info!("Server started successfully");
        let scheduler =
            Scheduler::start(rotator.clone(), schedule).map_err(|why| Failure::new("rotation thread", why))?;
        let policy = access.clone();
        let policy_sha256 = move || policy.snapshot().sha256().to_owned();
        let woken = rotator.clone();
        let start = |(cluster, reads)| {
            let wake = move || woken.wake();
            Ticker::start(cluster, vault.clone(), reads, consumers.clone(), master_key, policy_sha256, wake)
        };
        let ticker = cluster.clone().zip(reads).map(start).transpose()?;
        let read_history = ReadHistory::start(consumers, audit_path);
        let read_history = read_history.map_err(|why| Failure::new("thread that reads the audit log back", why))?;
        Ok(Daemon {
            server,
            credentials,
            scheduler,
            read_history,
            rotator,
            vault,
            audit,
            access,
            policy_path,
            tls,
            ticker,
            cluster,
            _locks: locks,
        })
    }
}

impl Daemon {
    /// Where it listens for TCP, if it does.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.server.local_addr()
    }

    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    pub fn rotator(&self) -> &Arc<Rotator> {
        &self.rotator
    }

    /// Whether connections are accepted and the vault answers. It waits for the vault, so that whoever asks from a
    /// watchdog's thread falls silent with it.
    pub fn is_well(&self) -> bool {
        self.vault.seq();
        self.server.is_accepting() && self.credentials.as_ref().is_none_or(CredentialServer::is_accepting)
    }

    /// Notices that the process which runs appliers has ended, and says so.
    pub fn look_at_appliers(&self) {
        self.rotator.appliers().map(Appliers::trouble);
    }

    /// Goes on in a new audit file if the old one was renamed away, and reads the TLS certificate, the keys of JWT issuers and the
    /// policy again: all of each takes effect, or none.
    pub fn reload(&self) {
        if let Some(tls) = &self.tls {
            tls.reload();
        }
        self.access.issuers().reload();
        // Its failure is logged where it happens, and the old file goes on being used.
        let _ = self.audit.reopen();
        reload_policy(&self.access, &self.policy_path, self.vault.now(), &self.audit);
    }

    /// Finishes what is in flight, for at most ten seconds, and stops.
    ///
    /// # Errors
    /// If the last audit line could not be written.
    pub fn stop(self) -> Result<(), Failure> {
        log::info!("Stopping: no new connections, finishing requests in flight");
        if let Some(ticker) = &self.ticker {
            ticker.resign();
        }
        self.vault.watchers().dismiss();
        let began = Instant::now();
        let cut_off = self.server.stop(GRACE);
        if let Some(credentials) = self.credentials {
            credentials.stop();
        }
        if cut_off > 0 {
            log::warn!("{cut_off} requests were cut off, they took longer than {} seconds", GRACE.as_secs());
        }
        self.read_history.stop();
        self.scheduler.stop(GRACE.saturating_sub(began.elapsed()));
        // Behind the last rotation, whose secret is claimed until then.
        if let Some(ticker) = self.ticker {
            ticker.stop();
        }
        failures::tell_unlogged(&self.access);
        let left_out = self.access.quota().take().map(failures::line);
        let stopped = self.vault.audit_end(left_out, Entry::new(Event::ServerStop));
        stopped.map_err(|why| Failure::new("audit log", why))?;
        if let Some(cluster) = &self.cluster {
            cluster.leave_anchor(&self.vault);
        }
        log::info!("Stopped");
        Ok(())
    }
}

/// Puts the policy in the file at `path`, from where `access` has it, into force: all of it, or if there is a mistake in it
/// nothing. Either way a log line and an audit line say so.
pub fn reload_policy(access: &Access, path: &Path, now: Timestamp, audit: &AuditLog) {
    let entry = Entry::new(Event::PolicyReload);
    let entry = match access.reload() {
        Ok(policy) => {
            log::info!("Policy reloaded: {} client rules, sha256 {}", policy.client_count(), policy.sha256());
            for warning in access.warnings(now) {
                log::warn!("{warning}");
            }
            entry.ended(Outcome::Success, format!("sha256 {}", policy.sha256()))
        }
        Err(why) => {
            let sha256 = std::fs::read(path).map(|bytes| audit::sha256_hex(&bytes));
            let sha256 = sha256.unwrap_or_else(|_| "unknown, the file cannot be read".to_owned());
            log::error!("Policy not reloaded, the old one stays in force: {why} (sha256 {sha256})");
            entry.ended(Outcome::Error, format!("sha256 {sha256}: {why}"))
        }
    };
    if let Err(why) = audit.write(entry) {
        log::error!("Policy reload not audited: {why}");
    }
}
