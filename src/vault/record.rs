//! The lines of the vault file: a header, then sealed records, each chained to the one before it.
//!
//! ```text
//! {"format":"jarvis-secretsd-vault","version":1,"vault_id":"<32 hex>","wrapped_key":"<base64>"}
//! {"seq":1,"sealed":"<base64: nonce, ciphertext, tag>"}
//! {"seq":2,"sealed":"…"}
//! ```
//!
//! A record's associated data are the vault's id, its sequence number and the tag of the record before it (zeros for
//! the first), so that none can be changed, moved, dropped from the middle or brought in from another vault. Each line
//! has exactly one valid form; another spelling of the same JSON is refused like any other change.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::kid::Kid;
use super::seal::{self, NotAuthentic, SealingKey};
use crate::clock::Timestamp;
use crate::failure::Failure;
use crate::generator::Generator;
use crate::secret::Wiped;

/// What the record after another one is chained to: its GCM tag.
pub type Link = [u8; 16];

/// What the first record is chained to.
pub const NO_LINK: Link = [0; 16];

const FORMAT: &str = "jarvis-secretsd-vault";
const VERSION: u32 = 1;

/// The first line: which vault this is, and its data key, wrapped by the master key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    format: String,
    version: u32,
    vault_id: String,
    wrapped_key: String,
}

/// The data key of one vault, with that vault's id: what seals and opens its records.
pub struct VaultKey {
    /// The vault's id, 32 hex digits.
    pub vault_id: String,
    /// The data key.
    pub key: SealingKey,
}

impl Header {
    /// A new vault: a random id and a random data key, wrapped by `master`.
    pub fn generate(master: &SealingKey) -> Result<(Self, VaultKey), Failure> {
        let vault_id = hex(&*seal::random::<16>()?);
        let data_key = seal::random::<32>()?;
        let wrapped_key = base64::encode(master.seal(wrapping(&vault_id).as_bytes(), &data_key[..])?);
        let header = Self { format: FORMAT.to_owned(), version: VERSION, vault_id: vault_id.clone(), wrapped_key };
        Ok((header, VaultKey { vault_id, key: SealingKey::new(&data_key) }))
    }

    /// Reads a header line (without its newline). The error is a reason, in words.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let header: Self =
            serde_json::from_slice(line).map_err(|why| format!("the header is not one of a vault: {why}"))?;
        if header.format != FORMAT {
            return Err(format!("the header names the format {:?}, a vault's is {FORMAT:?}", header.format));
        }
        if header.version != VERSION {
            return Err(format!("the vault has version {}, this program reads version {VERSION}", header.version));
        }
        if header.line() != line {
            return Err("the header was changed".to_owned());
        }
        Ok(header)
    }

    /// The header's line, without a newline.
    pub fn line(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a header is plain strings and a number")
    }

    /// Unwraps the data key with the master key.
    pub fn unwrap_key(&self, master: &SealingKey) -> Result<VaultKey, NotAuthentic> {
        let wrapped = decode(&self.wrapped_key).ok_or(NotAuthentic)?;
        let bytes = master.open(wrapping(&self.vault_id).as_bytes(), &wrapped)?;
        let key = Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| NotAuthentic)?);
        Ok(VaultKey { vault_id: self.vault_id.clone(), key: SealingKey::new(&key) })
    }
}

fn wrapping(vault_id: &str) -> String {
    format!("{FORMAT} {VERSION} data key {vault_id}")
}

/// Whether the schedule may replace a secret's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rotation {
    /// The daemon made the value, and makes a new one when it is due.
    Auto,
    /// A person supplied the value: it is reported when due, and never overwritten by the schedule.
    Manual,
}

/// What a version is, apart from its value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Version {
    /// Its id among the secret's versions.
    pub kid: Kid,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is due for rotation.
    pub expires_at: Timestamp,
    /// Whether the schedule may replace it.
    pub rotation: Rotation,
    /// How the next value is made; none: the default way.
    pub generator: Option<Generator>,
}

/// One change of the vault: what a record holds, besides a value.
#[derive(Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A new version of a secret becomes the current one.
    Put {
        /// The secret.
        name: String,
        /// The new version.
        version: Version,
        /// Until when the version that was current before stays readable.
        previous_until: Timestamp,
    },
    /// A secret is deleted, with all its versions.
    Delete {
        /// The secret.
        name: String,
    },
    /// One version, its grace over, is destroyed.
    Destroy {
        /// The secret.
        name: String,
        /// The version.
        kid: Kid,
    },
    /// In a compacted file: ids that a secret once used and that must not come again.
    Spent {
        /// The secret.
        name: String,
        /// Its former versions.
        kids: Vec<Kid>,
    },
    /// In a compacted file, its first record: the next `records` records stand for all changes up to number `through`;
    /// the record after them is chained to `link`.
    Snapshot {
        /// The number of the last change that is in the snapshot.
        through: u64,
        /// The tag of that change's own record, which the snapshot replaces.
        link: Link,
        /// How many records follow that belong to the snapshot.
        records: u64,
    },
}

impl Change {
    /// The secret that it is about (empty for a snapshot), and the version, if it is about one.
    pub fn subject(&self) -> (&str, Option<Kid>) {
        match self {
            Self::Put { name, version, .. } => (name, Some(version.kid)),
            Self::Destroy { name, kid } => (name, Some(*kid)),
            Self::Delete { name } | Self::Spent { name, .. } => (name, None),
            Self::Snapshot { .. } => ("", None),
        }
    }

    /// What kind of change it is, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Put { .. } => "put",
            Self::Delete { .. } => "delete",
            Self::Destroy { .. } => "destroy",
            Self::Spent { .. } => "spent",
            Self::Snapshot { .. } => "snapshot",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Metadata<C> {
    /// The newest audit line that was surely on the disk when the change was made.
    audited: u64,
    #[serde(flatten)]
    change: C,
}

/// A record, sealed: as it stands in the file, and as it is kept in memory.
pub struct Sealed {
    /// The change's number; 1 is the vault's first.
    pub seq: u64,
    after: Link,
    bytes: Box<[u8]>,
}

/// A record's plaintext: the length of its metadata (4 bytes, big endian), the metadata in JSON, the value.
pub struct Opened(Wiped);

impl Sealed {
    /// Seals `change` and `value` (empty where there is none) as number `seq`, chained to `after`.
    pub fn seal(
        key: &VaultKey,
        (seq, after): (u64, Link),
        audited: u64,
        change: &Change,
        value: &str,
    ) -> Result<Self, Failure> {
        let metadata = serde_json::to_vec(&Metadata { audited, change }).expect("a change is plain data");
        let length = u32::try_from(metadata.len()).expect("metadata is bounded by what a snapshot record holds");
        let mut plaintext = Wiped::new(Vec::with_capacity(4 + metadata.len() + value.len()));
        plaintext.extend_from_slice(&length.to_be_bytes());
        plaintext.extend_from_slice(&metadata);
        plaintext.extend_from_slice(value.as_bytes());
        Self::seal_plaintext(key, (seq, after), &plaintext)
    }

    /// The same record in another place of the chain.
    pub fn reseal(&self, key: &VaultKey, after: Link) -> Result<Self, Failure> {
        let plaintext = self.open(key).map_err(|NotAuthentic| {
            Failure::new(format_args!("vault record {}", self.seq), "does not open in memory")
        })?;
        Self::seal_plaintext(key, (self.seq, after), &plaintext.0)
    }

    fn seal_plaintext(key: &VaultKey, (seq, after): (u64, Link), plaintext: &[u8]) -> Result<Self, Failure> {
        let bytes = key.key.seal(&associated(key, seq, after), plaintext)?.into_boxed_slice();
        Ok(Self { seq, after, bytes })
    }

    /// Opens the record, if it is authentic in its place.
    pub fn open(&self, key: &VaultKey) -> Result<Opened, NotAuthentic> {
        let plaintext = key.key.open(&associated(key, self.seq, self.after), &self.bytes)?;
        let opened = Opened(plaintext);
        opened.split().map(|_| ()).ok_or(NotAuthentic)?;
        Ok(opened)
    }

    /// What the next record is chained to.
    pub fn link(&self) -> Link {
        seal::tag(&self.bytes)
    }

    /// How many bytes [`write_line`](Self::write_line) writes.
    pub fn line_length(&self) -> u64 {
        let digits = self.seq.checked_ilog10().unwrap_or(0) as usize + 1;
        let base64 = self.bytes.len().div_ceil(3) * 4;
        (LINE_START.len() + digits + LINE_MIDDLE.len() + base64 + LINE_END.len() + 1) as u64
    }

    /// Appends the record's line, newline included.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        let sealed = base64::encode(&self.bytes);
        out.extend_from_slice(format!("{LINE_START}{}{LINE_MIDDLE}{sealed}{LINE_END}\n", self.seq).as_bytes());
    }

    /// Reads a record's line (without its newline); none if it is not exactly what [`write_line`](Self::write_line)
    /// would write. Whether the record is authentic after `after` shows when it is opened.
    pub fn parse(line: &[u8], after: Link) -> Option<Self> {
        let rest = std::str::from_utf8(line).ok()?.strip_prefix(LINE_START)?;
        let (seq, rest) = rest.split_once(LINE_MIDDLE)?;
        let number: u64 = seq.parse().ok()?;
        let bytes = decode(rest.strip_suffix(LINE_END)?)?;
        let canonical = number.to_string() == seq && bytes.len() >= seal::OVERHEAD;
        canonical.then(|| Self { seq: number, after, bytes: bytes.into_boxed_slice() })
    }
}

const LINE_START: &str = r#"{"seq":"#;
const LINE_MIDDLE: &str = r#","sealed":""#;
const LINE_END: &str = r#""}"#;

impl Opened {
    /// The change, and the audit line that was surely on the disk when it was made.
    ///
    /// # Errors
    /// If a later version of this program wrote something that this one does not know.
    pub fn change(&self) -> Result<(u64, Change), serde_json::Error> {
        let (metadata, _) = self.split().expect("checked when it was opened");
        serde_json::from_slice(metadata).map(|Metadata { audited, change }| (audited, change))
    }

    /// The value; empty where the change has none.
    pub fn value(&self) -> &str {
        let (_, value) = self.split().expect("checked when it was opened");
        std::str::from_utf8(value).expect("only text is sealed, and the seal is intact")
    }

    fn split(&self) -> Option<(&[u8], &[u8])> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        rest.split_at_checked(u32::from_be_bytes(*length) as usize)
    }
}

fn associated(key: &VaultKey, seq: u64, after: Link) -> Vec<u8> {
    let mut data = format!("{FORMAT} {VERSION} record {} ", key.vault_id).into_bytes();
    data.extend_from_slice(&seq.to_be_bytes());
    data.extend_from_slice(&after);
    data
}

/// Decodes base64 in its one form: `base64::decode` takes it without its padding too.
fn decode(base64: &str) -> Option<Vec<u8>> {
    base64::decode(base64).ok().filter(|bytes| bytes.len().div_ceil(3) * 4 == base64.len())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> VaultKey {
        Header::generate(&SealingKey::new(&seal::random().unwrap())).unwrap().1
    }

    fn delete(name: &str) -> Change {
        Change::Delete { name: name.to_owned() }
    }

    #[test]
    fn a_data_key_is_unwrapped_by_its_own_master_key_only() {
        let master = SealingKey::new(&seal::random().unwrap());
        let (header, key) = Header::generate(&master).unwrap();
        let read = Header::parse(&header.line()).unwrap();
        assert_eq!(read.unwrap_key(&master).unwrap().vault_id, key.vault_id);
        assert!(read.unwrap_key(&SealingKey::new(&seal::random().unwrap())).is_err());
    }

    #[test]
    fn every_changed_bit_of_a_header_is_noticed() {
        let master = SealingKey::new(&seal::random().unwrap());
        let line = Header::generate(&master).unwrap().0.line();
        for bit in 0..line.len() * 8 {
            let mut changed = line.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let noticed = Header::parse(&changed).map_or(true, |header| header.unwrap_key(&master).is_err());
            assert!(noticed, "bit {bit}");
        }
    }

    #[test]
    fn a_record_opens_in_its_own_place_only() {
        let key = key();
        let sealed = Sealed::seal(&key, (7, [1; 16]), 3, &delete("db"), "value").unwrap();
        let mut line = Vec::new();
        sealed.write_line(&mut line);
        assert_eq!(line.len() as u64, sealed.line_length());
        line.pop();

        let read = Sealed::parse(&line, [1; 16]).unwrap();
        let opened = read.open(&key).unwrap();
        assert_eq!(opened.value(), "value");
        let (audited, change) = opened.change().unwrap();
        assert!(audited == 3 && matches!(change, Change::Delete { name } if name == "db"));

        assert!(Sealed::parse(&line, [2; 16]).unwrap().open(&key).is_err(), "behind another record");
        assert!(Sealed { seq: 8, ..read }.open(&key).is_err(), "under another number");
        assert!(Sealed::parse(&line, [1; 16]).unwrap().open(&self::key()).is_err(), "in another vault");
    }

    #[test]
    fn a_resealed_record_says_the_same_elsewhere() {
        let key = key();
        let sealed = Sealed::seal(&key, (7, NO_LINK), 3, &delete("db"), "value").unwrap();
        let moved = sealed.reseal(&key, [9; 16]).unwrap();
        assert_eq!(moved.open(&key).unwrap().value(), "value");
        assert_ne!(moved.link(), sealed.link());
    }

    #[test]
    fn a_line_has_one_spelling() {
        let key = key();
        let mut line = Vec::new();
        Sealed::seal(&key, (7, NO_LINK), 0, &delete("db"), "").unwrap().write_line(&mut line);
        let line = String::from_utf8(line).unwrap();
        let line = line.trim_end();
        assert!(Sealed::parse(line.as_bytes(), NO_LINK).is_some());
        for other in [line.replace(":7", ":07"), line.replace(":7", ": 7"), format!("{line} "), line.replace('{', "{ ")]
        {
            assert!(Sealed::parse(other.as_bytes(), NO_LINK).is_none(), "{other}");
        }
    }
}
