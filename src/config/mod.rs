//! The configuration: the file, its defaults, its checks.

mod jwt_issuers;
mod master_key;
mod paths;
mod rotation;
mod storage;
mod values;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::LevelFilter;

use crate::access::JwtIssuerConfig;
use crate::base::failure::Failure;
use crate::base::files;
use crate::base::strict_toml::{Document, Table, Value};
use crate::http::{TlsConfig, TlsVersion};
use crate::vault::WrappingConfig;

pub(crate) use paths::PathsConfig;
pub use rotation::RotationConfig;
pub(crate) use storage::StorageConfig;
use values::socket_path;

/// The commented configuration that `init` writes. It says what [`Config::default`] is.
pub const COMMENTED: &str = include_str!("../../etc/config.toml");

/// All that can be configured. A key that the file lacks has its default; one that is not known is an error.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Config {
    pub server: ServerConfig,
    pub paths: PathsConfig,
    /// What wraps the master key; none: it lies in its file in the clear.
    pub master_key: Option<WrappingConfig>,
    /// What orders the changes of several daemons; one daemon alone needs none.
    pub storage: Option<StorageConfig>,
    pub audit: AuditConfig,
    pub security: SecurityConfig,
    /// Whose JWTs are accepted as credentials.
    pub jwt_issuers: Vec<JwtIssuerConfig>,
    pub rotation: RotationConfig,
    pub crypto: CryptoConfig,
    pub logging: LoggingConfig,
}

/// `[server]`: where the daemon listens, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where the API listens for TCP; nowhere if `bind_addr` is empty.
    pub bind_addr: Option<SocketAddr>,
    /// Where the API listens on a Unix socket.
    pub unix_socket: Option<PathBuf>,
    /// The mode of that socket's file.
    pub unix_socket_mode: u32,
    /// Where systemd fetches credentials for its units.
    pub credential_socket: Option<PathBuf>,
    /// Connections served at the same time.
    pub max_connections: usize,
    /// The time within which a whole request must have arrived (`request_timeout_secs`).
    pub request_timeout: Duration,
    /// The user that a daemon started by root becomes, once it is bound.
    pub user: Option<String>,
    /// That user's group, if it is not to be the user's own.
    pub group: Option<String>,
    /// What makes the TCP socket speak TLS, `[server.tls]`.
    pub tls: Option<TlsConfig>,
    /// Whether Vault's API is served, too.
    pub vault_api: bool,
}

/// `[audit]`: the files of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AuditConfig {
    /// The size at which the file is closed as a segment, and a new one begun; never if there is none.
    pub segment_bytes: Option<u64>,
    /// How many closed segments are kept; all if there is none.
    pub keep_segments: Option<usize>,
}

/// `[security]`: lifetimes and access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityConfig {
    /// Days after which a version is due for rotation.
    pub rotation_days: u32,
    /// Days for which the version before stays readable.
    pub grace_days: u32,
    /// Whether a request that does not say which client it is from is refused.
    pub require_client_id_header: bool,
    pub rbac_policy_path: PathBuf,
    /// Whether every host that can reach the address is trusted to say which client it is.
    pub trust_client_header: bool,
    /// Whether whoever else can change the configuration, the policy or the state is trusted.
    pub trust_shared_paths: bool,
    /// Failed authentications a minute that one address is allowed; 0: any number.
    pub auth_failures_per_minute: u32,
}

/// `[crypto]`: how values are sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CryptoConfig {
    pub aead: Aead,
}

/// An authenticated encryption with associated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aead {
    /// AES-256 in Galois/counter mode (NIST SP 800-38D), `aes-gcm-256`.
    AesGcm256,
}

/// `[logging]`: the log for people, which is not the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggingConfig {
    /// The least important messages that are still written, unless `RUST_LOG` says otherwise.
    pub level: LevelFilter,
    /// Whether a message is a JSON object instead of text.
    pub json: bool,
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, or as [`parse`](Self::parse).
    pub fn load(path: &Path) -> Result<Self, Failure> {
        Self::from_document(&Document::read(path)?)
    }

    /// Reads `text`, which messages call `path`.
    ///
    /// # Errors
    /// Names line, column and key of what is not TOML, not known, of another type or out of range.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Failure> {
        Self::from_document(&Document::new(path, text))
    }

    fn from_document(document: &Document) -> Result<Self, Failure> {
        let mut config = Self::default();
        let mut root = document.root()?;
        config.server.read(root.table("server")?)?;
        config.paths.read(root.table("paths")?, document)?;
        config.master_key = root.table_if_there("master_key")?.map(master_key::read).transpose()?;
        config.storage = root.table_if_there("storage")?.map(StorageConfig::read).transpose()?;
        config.audit.read(root.table("audit")?)?;
        config.security.read(root.table("security")?)?;
        root.set("jwt_issuers", &mut config.jwt_issuers, jwt_issuers::read)?;
        config.rotation.read(root.table("rotation")?)?;
        config.crypto.read(root.table("crypto")?)?;
        config.logging.read(root.table("logging")?)?;
        root.finish()?;
        Ok(config)
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            bind_addr: Some((Ipv4Addr::LOCALHOST, 8081).into()),
            unix_socket: None,
            unix_socket_mode: 0o660,
            credential_socket: None,
            max_connections: 512,
            request_timeout: Duration::from_secs(10),
            user: None,
            group: None,
            tls: None,
            vault_api: false,
        }
    }
}

impl ServerConfig {
    fn read(&mut self, mut table: Table<'_>) -> Result<(), Failure> {
        let bind_addr = table.set("bind_addr", &mut self.bind_addr, |value| match value.string()? {
            "" => Ok(None),
            _ => value.socket_addr().map(Some),
        })?;
        table.set("unix_socket", &mut self.unix_socket, |value| socket_path(value).map(Some))?;
        let mode = table.set("unix_socket_mode", &mut self.unix_socket_mode, mode)?;
        table.set("credential_socket", &mut self.credential_socket, |value| socket_path(value).map(Some))?;
        match (bind_addr, mode) {
            (Some(bind_addr), _) if self.bind_addr.is_none() && self.unix_socket.is_none() => {
                return Err(bind_addr.refuse("is empty, and `unix_socket` is not set: no client could connect"));
            }
            (_, Some(mode)) if self.unix_socket.is_none() => {
                return Err(mode.refuse("is the mode of `unix_socket`, which is missing"));
            }
            _ => {}
        }
        table.set("max_connections", &mut self.max_connections, |value| value.integer(1..=65_535))?;
        table.set("request_timeout_secs", &mut self.request_timeout, |value| {
            value.integer(1..=3600).map(Duration::from_secs)
        })?;
        table.set("vault_api", &mut self.vault_api, Value::boolean)?;
        if let Some(table) = table.table_if_there("tls")? {
            self.tls = Some(tls(table)?);
        }
        table.set("user", &mut self.user, account)?;
        let group = table.set("group", &mut self.group, account)?;
        match group {
            Some(group) if self.user.is_none() => Err(group.refuse("is the group of `user`, which is missing")),
            _ => table.finish(),
        }
    }
}

/// The permissions of a file, as `chmod` takes them in octal.
fn mode(value: &Value<'_>) -> Result<u32, Failure> {
    let mode = files::parse_mode(value.string()?);
    mode.ok_or_else(|| value.refuse("must be a mode in octal, such as \"0660\""))
}

/// The name, or the number, of a user or a group.
fn account(value: &Value<'_>) -> Result<Option<String>, Failure> {
    match value.string()? {
        name if name.is_empty() || name.contains([':', ',', '\n', '\0']) => {
            Err(value.refuse("must be a name or a number"))
        }
        name => Ok(Some(name.to_owned())),
    }
}

fn tls(mut table: Table<'_>) -> Result<TlsConfig, Failure> {
    const VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
    let mut min_version = TlsVersion::Tls12;
    let cert_path = table.required("cert_path", Value::path);
    let key_path = table.required("key_path", Value::path);
    let mut client_ca_path = None;
    table.set("client_ca_path", &mut client_ca_path, |value| value.path().map(Some))?;
    table.set("min_version", &mut min_version, |value| value.one_of(&VERSIONS))?;
    // A misspelt key is named rather than the one that then is missing.
    table.finish()?;
    Ok(TlsConfig { cert_path: cert_path?, key_path: key_path?, client_ca_path, min_version })
}

impl AuditConfig {
    fn read(&mut self, mut table: Table<'_>) -> Result<(), Failure> {
        // A smaller size is most likely one in another unit.
        table.set("segment_bytes", &mut self.segment_bytes, |value| value.integer(65_536..=1 << 50).map(Some))?;
        let keep =
            table.set("keep_segments", &mut self.keep_segments, |value| value.integer(1..=1_000_000).map(Some))?;
        match keep {
            Some(keep) if self.segment_bytes.is_none() => {
                Err(keep.refuse("needs `segment_bytes`: without it there are no segments to keep"))
            }
            _ => table.finish(),
        }
    }
}

impl Default for SecurityConfig {
    fn default() -> Self {
        Self {
            rotation_days: 90,
            grace_days: 14,
            require_client_id_header: true,
            rbac_policy_path: "/etc/jarvis-secretsd/policy.toml".into(),
            trust_client_header: false,
            trust_shared_paths: false,
            auth_failures_per_minute: 10,
        }
    }
}

impl SecurityConfig {
    fn read(&mut self, mut table: Table<'_>) -> Result<(), Failure> {
        table.set("rotation_days", &mut self.rotation_days, |value| value.integer(1..=36_500))?;
        table.set("grace_days", &mut self.grace_days, |value| value.integer(0..=36_500))?;
        table.set("require_client_id_header", &mut self.require_client_id_header, Value::boolean)?;
        table.set("rbac_policy_path", &mut self.rbac_policy_path, Value::path)?;
        table.set("trust_client_header", &mut self.trust_client_header, Value::boolean)?;
        table.set("trust_shared_paths", &mut self.trust_shared_paths, Value::boolean)?;
        table.set("auth_failures_per_minute", &mut self.auth_failures_per_minute, |value| value.integer(0..=1000))?;
        table.finish()
    }
}

impl Default for CryptoConfig {
    fn default() -> Self {
        Self { aead: Aead::AesGcm256 }
    }
}

impl CryptoConfig {
    fn read(&mut self, mut table: Table<'_>) -> Result<(), Failure> {
        table.set("aead", &mut self.aead, |value| value.one_of(&[("aes-gcm-256", Aead::AesGcm256)]))?;
        table.finish()
    }
}

impl Default for LoggingConfig {
    fn default() -> Self {
        Self { level: LevelFilter::Info, json: false }
    }
}

impl LoggingConfig {
    fn read(&mut self, mut table: Table<'_>) -> Result<(), Failure> {
        const LEVELS: [(&str, LevelFilter); 6] = [
            ("off", LevelFilter::Off),
            ("error", LevelFilter::Error),
            ("warn", LevelFilter::Warn),
            ("info", LevelFilter::Info),
            ("debug", LevelFilter::Debug),
            ("trace", LevelFilter::Trace),
        ];
        table.set("level", &mut self.level, |value| value.one_of(&LEVELS))?;
        table.set("json", &mut self.json, Value::boolean)?;
        table.finish()
    }
}
