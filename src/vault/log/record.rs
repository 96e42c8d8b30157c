//! The lines of the vault file behind its header: sealed records, each chained to the one before it.
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

use std::sync::Arc;

use super::change::{Change, Fields, Metadata};
use super::header::VaultKey;
use crate::base::failure::Failure;
use crate::base::secret::Wiped;
use crate::vault::seal::{self, NotAuthentic, Tag};

/// What the record after another one is chained to: its GCM tag.
pub type Link = Tag;

/// What the first record is chained to.
pub const NO_LINK: Link = [0; 16];

/// A record, sealed: as it stands in the file, and as it is kept in memory.
pub struct Sealed {
    /// The change's number; 1 is the vault's first.
    pub seq: u64,
    after: Link,
    bytes: Box<[u8]>,
    /// What it is sealed with: a vault may have records under two keys, while one is replaced by the next.
    key: Arc<VaultKey>,
}

/// A record's plaintext: the length of its metadata (4 bytes, big endian), the metadata in JSON, the value.
pub struct Opened(Wiped);

impl Sealed {
    /// Seals a change and its `value` (empty where there is none) as number `seq`, chained to `after`.
    pub fn seal(
        key: &Arc<VaultKey>,
        (seq, after): (u64, Link),
        metadata: &Metadata<&Change>,
        value: &str,
    ) -> Result<Self, Failure> {
        let metadata = serde_json::to_vec(metadata).expect("a change is plain data");
        let length = u32::try_from(metadata.len()).expect("metadata is bounded by what a snapshot record holds");
        let mut plaintext = Wiped::new(Vec::with_capacity(4 + metadata.len() + value.len()));
        plaintext.extend_from_slice(&length.to_be_bytes());
        plaintext.extend_from_slice(&metadata);
        plaintext.extend_from_slice(value.as_bytes());
        Self::seal_plaintext(key, (seq, after), &plaintext)
    }

    /// The same record under `key`, in another place of the chain.
    ///
    /// # Errors
    /// If it does not open, or there are no random bytes.
    pub fn reseal(&self, key: &Arc<VaultKey>, after: Link) -> Result<Self, Failure> {
        let plaintext = self.open().map_err(|NotAuthentic| {
            Failure::new(format_args!("vault record {}", self.seq), "does not open in memory")
        })?;
        Self::seal_plaintext(key, (self.seq, after), &plaintext.0)
    }

    fn seal_plaintext(key: &Arc<VaultKey>, (seq, after): (u64, Link), plaintext: &[u8]) -> Result<Self, Failure> {
        let bytes = key.key.seal(&associated(key, seq, after), plaintext)?.into_boxed_slice();
        Ok(Self { seq, after, bytes, key: key.clone() })
    }

    /// Opens the record, if it is authentic in its place.
    pub fn open(&self) -> Result<Opened, NotAuthentic> {
        let Self { seq, after, bytes, key } = self;
        let plaintext = key.key.open(&associated(key, *seq, *after), bytes)?;
        let opened = Opened(plaintext);
        opened.split().map(|_| ()).ok_or(NotAuthentic)?;
        Ok(opened)
    }

    /// Whether it is sealed with this very key.
    pub fn is_under(&self, key: &Arc<VaultKey>) -> bool {
        Arc::ptr_eq(&self.key, key)
    }

    /// What the next record is chained to.
    pub fn link(&self) -> Link {
        seal::tag(&self.bytes)
    }

    /// How many bytes [`write_line`](Self::write_line) writes.
    pub fn line_length(&self) -> u64 {
        let digits = self.seq.checked_ilog10().unwrap_or(0) as usize + 1;
        let sealed = seal::encoded_length(&self.bytes);
        (LINE_START.len() + digits + LINE_MIDDLE.len() + sealed + LINE_END.len() + 1) as u64
    }

    /// Appends the record's line, newline included.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{LINE_START}{}{LINE_MIDDLE}", self.seq).as_bytes());
        seal::encode_to(out, &self.bytes);
        out.extend_from_slice(LINE_END.as_bytes());
        out.push(b'\n');
    }

    /// Reads a record's line (without its newline); none if it is not exactly what [`write_line`](Self::write_line)
    /// would write. Whether the record is authentic under `key` and after `after` shows when it is opened.
    pub fn parse(line: &[u8], after: Link, key: &Arc<VaultKey>) -> Option<Self> {
        let (seq, bytes) = parts(line)?;
        Some(Self { seq, after, bytes, key: key.clone() })
    }
}

/// The number that a record's line (without its newline) has, and what the next record is chained to; none if it is not a
/// record's line. It is not opened.
pub fn place(line: &[u8]) -> Option<(u64, Link)> {
    let (seq, bytes) = parts(line)?;
    Some((seq, seal::tag(&bytes)))
}

fn parts(line: &[u8]) -> Option<(u64, Box<[u8]>)> {
    let rest = std::str::from_utf8(line).ok()?.strip_prefix(LINE_START)?;
    let (seq, rest) = rest.split_once(LINE_MIDDLE)?;
    let number: u64 = seq.parse().ok()?;
    let bytes = seal::decode(rest.strip_suffix(LINE_END)?)?;
    let canonical = (seq == "0" || !seq.starts_with(['0', '+'])) && bytes.len() >= seal::OVERHEAD;
    canonical.then_some((number, bytes))
}

/// The number that a record's line has; none if it does not begin as one does.
pub fn seq(line: &[u8]) -> Option<u64> {
    let rest = std::str::from_utf8(line).ok()?.strip_prefix(LINE_START)?;
    rest.split_once(LINE_MIDDLE)?.0.parse().ok()
}

const LINE_START: &str = r#"{"seq":"#;
const LINE_MIDDLE: &str = r#","sealed":""#;
const LINE_END: &str = r#""}"#;

impl Opened {
    /// The change, and what is kept with it.
    ///
    /// # Errors
    /// If a later version of this program wrote something that this one does not know.
    pub fn metadata(&self) -> Result<Metadata<Change>, serde_json::Error> {
        let (metadata, _) = self.split().expect("checked when it was opened");
        serde_json::from_slice(metadata).and_then(Fields::read)
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
    [key.records.as_bytes(), &seq.to_be_bytes(), &after].concat()
}

#[cfg(test)]
mod tests {
    use super::super::header::Header;
    use super::*;
    use crate::vault::seal::{KeyBytes, SealingKey};

    fn key() -> Arc<VaultKey> {
        Header::generate(&SealingKey::new(&KeyBytes::random().unwrap())).unwrap().1
    }

    fn seal(key: &Arc<VaultKey>, (seq, after): (u64, Link), value: &str) -> Sealed {
        let change = &Change::Delete { name: "db".to_owned() };
        Sealed::seal(key, (seq, after), &Metadata { audited: 3, by: None, more: false, change }, value).unwrap()
    }

    #[test]
    fn a_record_opens_in_its_own_place_only() {
        let key = key();
        let sealed = seal(&key, (7, [1; 16]), "value");
        let mut line = Vec::new();
        sealed.write_line(&mut line);
        assert_eq!(line.len() as u64, sealed.line_length());
        line.pop();

        let read = Sealed::parse(&line, [1; 16], &key).unwrap();
        let opened = read.open().unwrap();
        assert_eq!(opened.value(), "value");
        let metadata = opened.metadata().unwrap();
        assert!(metadata.audited == 3 && matches!(metadata.change, Change::Delete { name } if name == "db"));

        assert!(Sealed::parse(&line, [2; 16], &key).unwrap().open().is_err(), "behind another record");
        assert!(Sealed { seq: 8, ..read }.open().is_err(), "under another number");
        assert!(Sealed::parse(&line, [1; 16], &self::key()).unwrap().open().is_err(), "in another vault");
    }

    #[test]
    fn a_resealed_record_says_the_same_elsewhere() {
        let key = key();
        let sealed = seal(&key, (7, NO_LINK), "value");
        let moved = sealed.reseal(&key, [9; 16]).unwrap();
        assert_eq!(moved.open().unwrap().value(), "value");
        assert_ne!(moved.link(), sealed.link());
    }

    #[test]
    fn a_line_has_one_spelling() {
        let key = key();
        let mut line = Vec::new();
        seal(&key, (7, NO_LINK), "").write_line(&mut line);
        let line = String::from_utf8(line).unwrap();
        let line = line.trim_end();
        assert!(place(line.as_bytes()).is_some());
        for other in [line.replace(":7", ":07"), line.replace(":7", ": 7"), format!("{line} "), line.replace('{', "{ ")]
        {
            assert!(place(other.as_bytes()).is_none(), "{other}");
        }
    }
}
