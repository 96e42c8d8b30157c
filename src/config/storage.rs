//! `[storage]`: the etcd that puts the changes of several daemons in one order.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Failure, Table, Value};
use crate::etcd::{Endpoint, Login, Settings, TlsFiles};

const MOST_ENDPOINTS: usize = 16;
const LONGEST_PREFIX: usize = 128;

/// What a node may be called.
const NODE: &str = "1 to 63 of a-z 0-9 . -, beginning with a letter or a digit";

/// `[storage]`: several daemons on one vault. The file at `vault_path` is then this daemon's own copy of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// Where etcd is, and as whom it is asked.
    pub etcd: Settings,
    /// What the name of each key in etcd begins with; it begins and ends with `/`.
    pub prefix: String,
    /// The name of this daemon among the others.
    pub node: String,
    /// How long after the leader's death another daemon takes over (`lease_secs`).
    pub lease: Duration,
    /// How long after the last confirmation reads are served from memory (`max_staleness_secs`); not at all if it is zero.
    pub max_staleness: Duration,
    /// How long a request to etcd, with all its attempts, may take (`request_timeout_secs`).
    pub request_timeout: Duration,
    /// How often an idle daemon asks etcd by itself (`poll_ms`).
    pub poll: Duration,
}

impl StorageConfig {
    /// What is permitted, and less safe than it could be.
    pub fn warning(&self) -> Option<Failure> {
        let why = "etcd is reached without TLS: what passes is sealed, but everybody on the way can change it, keep it back or \
                   send it again; use https://";
        in_the_clear(&self.etcd.endpoints).map(|endpoint| Failure::new(endpoint, why))
    }

    /// The files that it takes to connect.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let Settings { tls, login, .. } = &self.etcd;
        let identity = tls.identity.iter().flat_map(|(cert, key)| [cert, key]);
        let password = login.as_ref().map(|login| &login.password_path);
        tls.ca_path.iter().chain(identity).chain(password).map(PathBuf::as_path)
    }

    /// The TCP ports that are connected to.
    pub fn ports(&self) -> Vec<u16> {
        self.etcd.endpoints.iter().map(|endpoint| endpoint.port).collect()
    }

    /// Whether names of hosts have to be resolved.
    pub fn resolves_names(&self) -> bool {
        self.etcd.endpoints.iter().any(|endpoint| endpoint.host.parse::<IpAddr>().is_err())
    }

    pub(super) fn read(mut table: Table<'_>) -> Result<Self, Failure> {
        let kind = table.required("kind", |value| value.one_of(&[("etcd", ())]));
        let endpoints = table.required("endpoints", endpoints);
        let mut prefix = "/jarvis-secretsd/".to_owned();
        table.set("prefix", &mut prefix, self::prefix)?;
        let ca = given(&mut table, "ca_path", Value::path)?;
        let cert = given(&mut table, "cert_path", Value::path)?;
        let key = given(&mut table, "key_path", Value::path)?;
        let username = given(&mut table, "username", username)?;
        let password = given(&mut table, "password_path", Value::path)?;
        let node = match given(&mut table, "node", node)? {
            Some((_, node)) => Ok(node),
            None => name_by_host(&host_name()).map_err(|why| table.refuse(why)),
        };
        let (mut lease, mut max_staleness) = (Duration::from_secs(10), Duration::ZERO);
        let (mut request_timeout, mut poll) = (Duration::from_secs(5), Duration::from_secs(1));
        table.set("lease_secs", &mut lease, |value| seconds(value, 2..=60))?;
        table.set("max_staleness_secs", &mut max_staleness, |value| seconds(value, 0..=86_400))?;
        table.set("request_timeout_secs", &mut request_timeout, |value| seconds(value, 1..=60))?;
        table.set("poll_ms", &mut poll, |value| value.integer(100..=10_000).map(Duration::from_millis))?;
        // A misspelt key is named rather than the one that then is missing.
        table.finish()?;
        kind?;
        let endpoints = endpoints?;
        let identity = both(("cert_path", cert), ("key_path", key))?;
        if let Some(value) = ca.as_ref().map(|(value, _)| value).or(identity.as_ref().map(|(value, _)| value))
            && !endpoints[0].tls
        {
            return Err(value.refuse(format_args!("is for https://, and {} is without TLS", endpoints[0])));
        }
        let login = both(("username", username), ("password_path", password))?;
        if let Some((username, _)) = &login
            && let Some(endpoint) = in_the_clear(&endpoints)
        {
            let why = format_args!("would be sent to {endpoint} in the clear, with the password; use https://");
            return Err(username.refuse(why));
        }
        let tls = TlsFiles { ca_path: ca.map(|(_, path)| path), identity: identity.map(|(_, files)| files) };
        let login = login.map(|(_, (username, password_path))| Login { username, password_path });
        let etcd = Settings { endpoints, tls, login };
        Ok(Self { etcd, prefix, node: node?, lease, max_staleness, request_timeout, poll })
    }
}

/// The first member to which everything would go over the network without TLS.
fn in_the_clear(endpoints: &[Endpoint]) -> Option<&Endpoint> {
    endpoints.iter().find(|endpoint| !endpoint.tls && !is_loopback(endpoint))
}

/// Whether it is surely on this host.
fn is_loopback(endpoint: &Endpoint) -> bool {
    let address = endpoint.host.parse::<IpAddr>();
    address.map_or_else(|_| endpoint.host == "localhost", |address| address.to_canonical().is_loopback())
}

/// A value of the file, and what was made of it.
type Given<'d, T> = Option<(Value<'d>, T)>;

fn given<'d, T>(
    table: &mut Table<'d>,
    key: &'static str,
    read: impl FnOnce(&Value<'d>) -> Result<T, Failure>,
) -> Result<Given<'d, T>, Failure> {
    let value = table.value(key);
    value.map(|value| read(&value).map(|read| (value, read))).transpose()
}

/// Two keys that only make sense together.
fn both<'d, A, B>(first: (&str, Given<'d, A>), second: (&str, Given<'d, B>)) -> Result<Given<'d, (A, B)>, Failure> {
    let ((first_key, first), (second_key, second)) = (first, second);
    match (first, second) {
        (None, None) => Ok(None),
        (Some((value, first)), Some((_, second))) => Ok(Some((value, (first, second)))),
        (Some((alone, _)), None) => Err(alone.refuse(format_args!("needs `{second_key}`, which is missing"))),
        (None, Some((alone, _))) => Err(alone.refuse(format_args!("needs `{first_key}`, which is missing"))),
    }
}

fn endpoints(value: &Value<'_>) -> Result<Vec<Endpoint>, Failure> {
    let endpoints = value.list(endpoint)?;
    if !(1..=MOST_ENDPOINTS).contains(&endpoints.len()) {
        return Err(value.refuse(format_args!("must name 1 to {MOST_ENDPOINTS} members of etcd")));
    }
    if endpoints.iter().any(|endpoint| endpoint.tls != endpoints[0].tls) {
        return Err(value.refuse("must be all https:// or all http://"));
    }
    match endpoints.iter().enumerate().find(|(i, endpoint)| endpoints[..*i].contains(endpoint)) {
        Some((_, twice)) => Err(value.refuse(format_args!("has {twice} twice"))),
        None => Ok(endpoints),
    }
}

fn endpoint(value: &Value<'_>) -> Result<Endpoint, Failure> {
    let wrong = || value.refuse("must be https://host:port or http://host:port, such as \"https://10.0.0.1:2379\"");
    let Endpoint { host, port, tls } = Endpoint::parse(value.string()?).ok_or_else(wrong)?;
    // One host is written in one way, so that it is noticed where it stands twice.
    let host = host.parse::<IpAddr>().map_or_else(|_| host.to_ascii_lowercase(), |address| address.to_string());
    Ok(Endpoint { host, port, tls })
}

fn prefix(value: &Value<'_>) -> Result<String, Failure> {
    let text = value.string()?;
    let is_one = (3..=LONGEST_PREFIX).contains(&text.len())
        && text.starts_with('/')
        && text.ends_with('/')
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    let why = format_args!(
        "must be printable ASCII without spaces, of at most {LONGEST_PREFIX} bytes, between two slashes, such as \
         \"/jarvis-secretsd/prod/\""
    );
    if is_one { Ok(text.to_owned()) } else { Err(value.refuse(why)) }
}

fn username(value: &Value<'_>) -> Result<String, Failure> {
    match value.string()? {
        "" => Err(value.refuse("must not be empty")),
        name => Ok(name.to_owned()),
    }
}

fn node(value: &Value<'_>) -> Result<String, Failure> {
    let name = value.string()?;
    if is_node(name) { Ok(name.to_owned()) } else { Err(value.refuse(format_args!("must be {NODE}"))) }
}

fn is_node(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    (1..=63).contains(&name.len()) && name.bytes().all(is_part) && !name.starts_with(['.', '-'])
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What a node of this host is called if the configuration does not say it.
///
/// # Errors
/// If that can be no node's name: says what to do.
fn name_by_host(host: &str) -> Result<String, String> {
    // Every host that nobody has named is called so.
    const OF_MANY: [&str; 2] = ["localhost", "localhost.localdomain"];
    let name = host.to_ascii_lowercase();
    if is_node(&name) && !OF_MANY.contains(&name.as_str()) {
        return Ok(name);
    }
    Err(format!("must have a `node`, {NODE}: the host's name {host:?} cannot tell this daemon from the others"))
}

fn seconds(value: &Value<'_>, range: RangeInclusive<u64>) -> Result<Duration, Failure> {
    value.integer(range).map(Duration::from_secs)
}
