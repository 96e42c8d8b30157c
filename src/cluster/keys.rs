//! Under which keys etcd has what several daemons share. No secret's name and no client's stands in any of them.
//!
//! ```text
//! header                      the vault's first line: its id, and its data key, wrapped by the master key
//! head                        where the log ends, and which snapshot there is
//! log/<number, 16 hex>        the lines that were added together, under the number of the first
//! snap/<number, 16 hex>/<part, 4 hex>
//!                             the lines of a snapshot through that change
//! leader                      which daemon leads, under its lease
//! want/<node>                 that this daemon wants to add something, and came second, under its lease
//! alive/<node>                what a daemon that is there tells of itself, under its lease
//! member/<node>               where a daemon's vault and audit log stood, sealed
//! claim/<secret>              which daemon rotates this secret outside, under its lease; it is called by what hides its name
//! reads/<secret>/<version>/<client>
//!                             that this client has read this version, sealed; each is called by what hides its name
//! reads/since                 since when such reads are noted, sealed
//! stale/<node>                that this daemon may serve something while etcd is away, and then tells of it only later
//! ```

use crate::etcd::Keys;

/// The keys under one prefix.
#[derive(Clone)]
pub struct KeySpace {
    prefix: String,
}

impl KeySpace {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// All that is under the prefix.
    pub fn all(&self) -> Keys {
        Keys::prefix(self.prefix.as_bytes())
    }

    pub fn header(&self) -> Vec<u8> {
        self.of("header")
    }

    pub fn head(&self) -> Vec<u8> {
        self.of("head")
    }

    /// The lines that begin with record number `first`.
    pub fn log(&self, first: u64) -> Vec<u8> {
        self.of(&format!("log/{first:016x}"))
    }

    /// All lines that were added from record number `first` on.
    pub fn log_from(&self, first: u64) -> Keys {
        Keys::From { first: self.log(first), end: self.of("log0") }
    }

    /// All lines that were added before those under this key.
    pub fn log_before_key(&self, key: &[u8]) -> Keys {
        Keys::From { first: self.of("log/"), end: key.to_vec() }
    }

    /// All lines that were added before record number `end`, as far as they begin before it.
    pub fn log_before(&self, end: u64) -> Keys {
        Keys::From { first: self.of("log/"), end: self.log(end) }
    }

    pub fn snapshot_part(&self, through: u64, part: u64) -> Vec<u8> {
        self.of(&format!("snap/{through:016x}/{part:04x}"))
    }

    /// All parts of the snapshot through a change, from one on.
    pub fn snapshot(&self, through: u64, from: u64) -> Keys {
        Keys::From { first: self.snapshot_part(through, from), end: self.of(&format!("snap/{through:016x}0")) }
    }

    /// All parts of all snapshots but the one through a change: those of earlier ones, and of later ones.
    pub fn other_snapshots(&self, through: u64) -> [Keys; 2] {
        let behind = self.of(&format!("snap/{through:016x}0"));
        [
            Keys::From { first: self.of("snap/"), end: self.snapshot_part(through, 0) },
            Keys::From { first: behind, end: self.of("snap0") },
        ]
    }

    pub fn leader(&self) -> Vec<u8> {
        self.of("leader")
    }

    /// A daemon that wants to add something, and came second.
    pub fn want(&self, node: &str) -> Vec<u8> {
        self.of(&format!("want/{node}"))
    }

    pub fn wants(&self) -> Keys {
        Keys::prefix(&self.of("want/"))
    }

    /// A daemon that is there, as it tells of itself.
    pub fn alive(&self, node: &str) -> Vec<u8> {
        self.of(&format!("alive/{node}"))
    }

    pub fn all_alive(&self) -> Keys {
        Keys::prefix(&self.of("alive/"))
    }

    /// A daemon that has ever been there.
    pub fn member(&self, node: &str) -> Vec<u8> {
        self.of(&format!("member/{node}"))
    }

    pub fn members(&self) -> Keys {
        Keys::prefix(&self.of("member/"))
    }

    /// A secret that somebody rotates outside, too; `name` is what [`Vault::hidden`](crate::vault::Vault::hidden) makes of its
    /// name.
    pub fn claim(&self, name: &str) -> Vec<u8> {
        self.of(&format!("claim/{name}"))
    }

    /// What a client has read, by the hidden names of the secret, the version and the client.
    pub fn read(&self, [secret, version, client]: [&str; 3]) -> Vec<u8> {
        self.of(&format!("reads/{secret}/{version}/{client}"))
    }

    /// All that was read of a secret.
    pub fn reads_at(&self, secret: &str) -> Keys {
        Keys::prefix(&self.of(&format!("reads/{secret}/")))
    }

    /// All that was read of all secrets, from a key on; none: from the first.
    pub fn reads_from(&self, key: Option<Vec<u8>>) -> Keys {
        // Each secret's begins with a hexadecimal digit.
        Keys::From { first: key.unwrap_or_else(|| self.of("reads/")), end: self.of("reads/g") }
    }

    /// Since when what is read is noted.
    pub fn reads_since(&self) -> Vec<u8> {
        self.of("reads/since")
    }

    /// A daemon that may serve something while etcd is away.
    pub fn stale(&self, node: &str) -> Vec<u8> {
        self.of(&format!("stale/{node}"))
    }

    pub fn all_stale(&self) -> Keys {
        Keys::prefix(&self.of("stale/"))
    }

    /// The daemon that a key belongs to which is named by one: `alive/<node>`, and the like.
    pub fn node(&self, key: &[u8]) -> Option<String> {
        let name = key.strip_prefix(self.prefix.as_bytes())?;
        let kind = name.iter().position(|byte| *byte == b'/')?;
        Some(String::from_utf8_lossy(&name[kind + 1..]).into_owned())
    }

    fn of(&self, name: &str) -> Vec<u8> {
        [self.prefix.as_bytes(), name.as_bytes()].concat()
    }
}

/// The first key that comes behind this one.
pub fn just_behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}
