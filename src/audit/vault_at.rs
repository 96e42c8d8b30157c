//! Where the vault stood, as a line tells it.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::hex::hex;

/// What the vault's history is known by, up to one change: nobody makes another one that ends in the same. 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaultHead([u8; 8]);

/// A place in the vault's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaultAt {
    /// The number of the last change; 0: there was none yet.
    pub seq: u64,
    /// The history up to there; none: a version of this program has written the line that did not tell it.
    pub head: Option<VaultHead>,
}

impl VaultAt {
    /// Before there was a vault.
    pub const START: Self = Self { seq: 0, head: None };

    /// A place of which all is known.
    pub fn new(seq: u64, head: VaultHead) -> Self {
        Self { seq, head: Some(head) }
    }

    /// Whether both are the same place, as far as both tell it.
    pub fn is_same(self, other: Self) -> bool {
        self.seq == other.seq && self.head.zip(other.head).is_none_or(|(one, other)| one == other)
    }
}

impl VaultHead {
    /// The head of which these are the bytes, of which the first 8 count.
    pub fn of(bytes: &[u8; 16]) -> Self {
        Self(*bytes.first_chunk().expect("16 are more than 8"))
    }
}

impl fmt::Display for VaultHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl Serialize for VaultHead {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VaultHead {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_hex = text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u64::from_str_radix(&text, 16).ok().filter(|_| is_hex);
        number.map(|number| Self(number.to_be_bytes())).ok_or_else(|| D::Error::custom("a head has 16 hex digits"))
    }
}
