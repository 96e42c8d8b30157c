//! The vault file's first line: which vault this is, and its data key, wrapped by the master key.

use std::sync::Arc;

use ring::hmac;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::audit::{VaultAt, VaultHead};
use crate::base::failure::{Failure, printable};
use crate::base::hex::hex;
use crate::vault::seal::{self, KeyBytes, NotAuthentic, SealStats, SealingKey, Tag};

/// What a file that is a vault calls itself.
pub const FORMAT: &str = "jarvis-secretsd-vault";
/// The version of the format that this program reads and writes.
pub const VERSION: u32 = 1;

/// The vault file's first line.
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
    /// What the associated data of all its records begin with.
    pub records: String,
    pub key: SealingKey,
    /// What hides names, see [`hidden`](Self::hidden).
    names: hmac::Key,
    /// What seals the [notes](crate::vault::Vault::sealed_note) beside the log. They do not count among what the data key seals.
    pub notes: SealingKey,
}

impl VaultKey {
    fn new(vault_id: &str, data_key: &KeyBytes) -> Arc<Self> {
        Self::counted(vault_id, data_key, Arc::default())
    }

    /// The same, of which is counted in `stats` what it seals and opens.
    fn counted(vault_id: &str, data_key: &KeyBytes, stats: Arc<SealStats>) -> Arc<Self> {
        let records = format!("{FORMAT} {VERSION} record {vault_id} ");
        // A key of its own, from which nobody comes back to the data key.
        let derived = hmac(&hmac::Key::new(hmac::HMAC_SHA256, &data_key[..]), &["names", vault_id]);
        let names = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
        let notes = hmac(&hmac::Key::new(hmac::HMAC_SHA256, &data_key[..]), &["notes", vault_id]);
        let notes = KeyBytes::of(notes.as_ref()).expect("it has 32 bytes");
        let (vault_id, key, notes) =
            (vault_id.to_owned(), SealingKey::counted(data_key, stats), SealingKey::new(&notes));
        Arc::new(Self { vault_id, records, key, names, notes })
    }

    /// A name as whoever does not have the data key may see it: always the same for the same `label` and `name`, and from which
    /// neither of them can be found, not even by trying names. 64 hex digits.
    pub fn hidden(&self, label: &str, name: &str) -> String {
        hex(hmac(&self.names, &[label, name]).as_ref())
    }

    /// Where the vault stands behind change number `seq`, if that is what a next record is chained to `link` behind.
    ///
    /// The link is made of all records before it and of random bytes of each, and a compaction keeps it. Before the first
    /// change, the vault's id stands for it.
    pub fn at(&self, seq: u64, link: &Tag) -> VaultAt {
        let head = match seq {
            0 => VaultHead::of(Sha256::digest(&self.vault_id).first_chunk().expect("it has 32 bytes")),
            _ => VaultHead::of(link),
        };
        VaultAt::new(seq, head)
    }
}

impl Header {
    /// A new vault: a random id and a random data key, wrapped by `master`.
    pub fn generate(master: &SealingKey) -> Result<(Self, Arc<VaultKey>), Failure> {
        let vault_id = hex(&*seal::random::<16>()?);
        let data_key = KeyBytes::random()?;
        let wrapped_key = seal::encode(&master.seal(wrapping(&vault_id).as_bytes(), &data_key[..])?);
        let key = VaultKey::new(&vault_id, &data_key);
        Ok((Self { format: FORMAT.to_owned(), version: VERSION, vault_id, wrapped_key }, key))
    }

    /// The same vault with a new data key, wrapped by `next`. What that seals and opens is counted with what `before` does.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub fn with_new_data_key(&self, next: &SealingKey, before: &VaultKey) -> Result<(Self, Arc<VaultKey>), Failure> {
        let data_key = KeyBytes::random()?;
        let key = VaultKey::counted(&self.vault_id, &data_key, before.key.stats.clone());
        Ok((self.wrapping(&data_key, next)?, key))
    }

    /// Reads a header line, without its newline. The error is a reason, in words.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let header: Self = serde_json::from_slice(line)
            .map_err(|why| format!("the header is not one of a vault: {}", printable(&why.to_string())))?;
        if header.format != FORMAT {
            return Err(format!("the header names the format {:?}, a vault's is {FORMAT:?}", header.format));
        }
        if header.version != VERSION {
            return Err(format!("the vault has version {}, this program reads version {VERSION}", header.version));
        }
        if header.line().strip_suffix(b"\n") != Some(line) {
            return Err("the header was changed".to_owned());
        }
        Ok(header)
    }

    /// The vault's id, 32 hex digits.
    pub fn vault_id(&self) -> &str {
        &self.vault_id
    }

    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("a header is plain strings and a number");
        line.push(b'\n');
        line
    }

    /// The same vault and the same data key, wrapped by `next` instead of `master`.
    ///
    /// # Errors
    /// None if `master` does not unwrap it; a failure if there are no random bytes.
    pub fn rewrap(&self, master: &SealingKey, next: &SealingKey) -> Result<Option<Self>, Failure> {
        let Ok(data_key) = self.data_key(master) else { return Ok(None) };
        self.wrapping(&data_key, next).map(Some)
    }

    /// The same with this data key, wrapped by `master`.
    fn wrapping(&self, data_key: &KeyBytes, master: &SealingKey) -> Result<Self, Failure> {
        let wrapped_key = seal::encode(&master.seal(wrapping(&self.vault_id).as_bytes(), &data_key[..])?);
        let (format, vault_id) = (self.format.clone(), self.vault_id.clone());
        Ok(Self { format, version: self.version, vault_id, wrapped_key })
    }

    pub fn unwrap_key(&self, master: &SealingKey) -> Result<Arc<VaultKey>, NotAuthentic> {
        Ok(VaultKey::new(&self.vault_id, &self.data_key(master)?))
    }

    fn data_key(&self, master: &SealingKey) -> Result<KeyBytes, NotAuthentic> {
        let wrapped = seal::decode(&self.wrapped_key).ok_or(NotAuthentic)?;
        let bytes = master.open(wrapping(&self.vault_id).as_bytes(), &wrapped)?;
        KeyBytes::of(&bytes).ok_or(NotAuthentic)
    }
}

/// The HMAC of these words. None of them has a zero byte in it.
fn hmac(key: &hmac::Key, words: &[&str]) -> hmac::Tag {
    hmac::sign(key, words.join("\0").as_bytes())
}

fn wrapping(vault_id: &str) -> String {
    format!("{FORMAT} {VERSION} data key {vault_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_key_is_unwrapped_by_its_own_master_key_only() {
        let master = SealingKey::new(&KeyBytes::random().unwrap());
        let (header, key) = Header::generate(&master).unwrap();
        let read = Header::parse(header.line().trim_ascii_end()).unwrap();
        assert_eq!(read.unwrap_key(&master).unwrap().vault_id, key.vault_id);
        assert!(read.unwrap_key(&SealingKey::new(&KeyBytes::random().unwrap())).is_err());
    }

    #[test]
    fn a_rewrapped_data_key_is_the_same_under_the_next_master_key_and_no_longer_under_the_old_one() {
        let [master, next, stranger] = [(); 3].map(|()| SealingKey::new(&KeyBytes::random().unwrap()));
        let (header, key) = Header::generate(&master).unwrap();
        let rewrapped = header.rewrap(&master, &next).unwrap().unwrap();
        let sealed = key.key.seal(b"", b"v").unwrap();
        assert_eq!(**rewrapped.unwrap_key(&next).unwrap().key.open(b"", &sealed).unwrap(), *b"v");
        assert!(rewrapped.unwrap_key(&master).is_err());
        assert_eq!(rewrapped.line().len(), header.line().len());
        assert!(header.rewrap(&stranger, &next).unwrap().is_none());
    }

    #[test]
    fn a_hidden_name_is_the_same_under_each_master_key_and_another_one_in_each_vault_and_under_each_label() {
        let [master, next] = [(); 2].map(|()| SealingKey::new(&KeyBytes::random().unwrap()));
        let (header, key) = Header::generate(&master).unwrap();
        let rewrapped = header.rewrap(&master, &next).unwrap().unwrap().unwrap_key(&next).unwrap();
        let hidden = key.hidden("claim", "db");
        assert_eq!(hidden, rewrapped.hidden("claim", "db"));
        assert!(hidden.len() == 64 && hidden.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let other = Header::generate(&master).unwrap().1;
        let others = [other.hidden("claim", "db"), key.hidden("reads", "db"), key.hidden("claim", "web")];
        assert!(others.iter().all(|other| *other != hidden));
    }

    #[test]
    fn what_stands_in_a_file_that_is_no_vault_does_not_reach_the_terminal() {
        let error = Header::parse(br#"{"format":"f","\u001b[2J\nforged":1}"#).err().unwrap();
        assert!(error.starts_with(r"the header is not one of a vault: unknown field `\u{1b}[2J\nforged`"), "{error}");
    }

    #[test]
    fn every_changed_bit_of_a_header_is_noticed() {
        let master = SealingKey::new(&KeyBytes::random().unwrap());
        let line = Header::generate(&master).unwrap().0.line();
        let line = line.trim_ascii_end();
        for bit in 0..line.len() * 8 {
            let mut changed = line.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            let noticed = Header::parse(&changed).map_or(true, |header| header.unwrap_key(&master).is_err());
            assert!(noticed, "bit {bit}");
        }
    }
}
