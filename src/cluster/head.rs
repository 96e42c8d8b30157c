//! Where the shared log ends, as etcd has it. Whoever adds to the log compares it, and puts the next one.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base::hex::hex;
use crate::vault::Position;

/// The value of one key. It is compared as a whole, and no two are the same: the link is a random tag. The revisions that etcd
/// counts would not do: an etcd that was restored from a snapshot comes to the same ones again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The number of the last record.
    seq: u64,
    /// What the next record is chained to, 32 hex digits.
    link: String,
    /// The change through which there is a snapshot; 0: there is none.
    pub snapshot: u64,
    /// How many parts it has.
    pub parts: u64,
    /// How many bytes of lines are behind it.
    pub log_bytes: u64,
    /// What the vault's header is known by, 16 hex digits.
    pub header: String,
}

impl Head {
    /// Behind the header line of a new vault.
    pub fn first(header: &[u8]) -> Self {
        Self { seq: 0, link: hex(&[0; 16]), snapshot: 0, parts: 0, log_bytes: 0, header: known_by(header) }
    }

    /// Reads one.
    ///
    /// # Errors
    /// Says why it is none.
    pub fn parse(value: &[u8]) -> Result<Self, String> {
        let head: Self = serde_json::from_slice(value).map_err(|why| format!("its `head` cannot be read: {why}"))?;
        match head.bytes() == value && head.link().is_some() {
            true => Ok(head),
            false => Err("its `head` was changed".to_owned()),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a head is plain strings and numbers")
    }

    pub fn position(&self) -> Position {
        Position { seq: self.seq, link: self.link().expect("it was checked when it was read") }
    }

    /// The same vault, whose log ends at `position`.
    #[must_use]
    pub fn at(&self, position: Position) -> Self {
        Self { seq: position.seq, link: hex(&position.link), ..self.clone() }
    }

    /// The same, when these lines have been added, behind which the log ends at `end`.
    #[must_use]
    pub fn behind(&self, lines: &[u8], end: Position) -> Self {
        Self { log_bytes: self.log_bytes + lines.len() as u64, ..self.at(end) }
    }

    /// The same, with a snapshot through this change, in so many parts, and so many bytes of lines behind it.
    #[must_use]
    pub fn with_snapshot(&self, through: u64, parts: u64, log_bytes: u64) -> Self {
        Self { snapshot: through, parts, log_bytes, ..self.clone() }
    }

    fn link(&self) -> Option<[u8; 16]> {
        let is_hex = self.link.len() == 32 && self.link.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        u128::from_str_radix(&self.link, 16).ok().filter(|_| is_hex).map(u128::to_be_bytes)
    }
}

/// What a header line is known by.
pub fn known_by(header: &[u8]) -> String {
    hex(&Sha256::digest(header)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_back_from_exactly_one_form() {
        let head = Head::first(b"header\n").at(Position { seq: 7, link: *b"0123456789abcdef" });
        assert_eq!(Head::parse(&head.bytes()).unwrap(), head);
        assert_eq!(head.position(), Position { seq: 7, link: *b"0123456789abcdef" });
        let text = String::from_utf8(head.bytes()).unwrap();
        for other in
            [text.replace(":7", ": 7"), text.replace("3031", "303"), text.replace("3132", "+132"), String::new()]
        {
            assert!(Head::parse(other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn each_part_of_a_head_counts() {
        let head = Head::first(b"header\n");
        let other = [
            head.at(Position { seq: 1, link: [0; 16] }),
            head.at(Position { seq: 0, link: [1; 16] }),
            Head { snapshot: 1, ..head.clone() },
            Head { parts: 1, ..head.clone() },
            head.behind(b"a line\n", head.position()),
            Head::first(b"another\n"),
        ];
        assert!(other.iter().all(|other| other.bytes() != head.bytes()));
    }
}
