//! The master key in shares, one for each of several people, of which any few together give it back.
//!
//! What is split is the key with [`DIGEST`] bytes of its SHA-256 behind it: a set of shares that do not belong together gives
//! something whose digest does not fit. The digest is split too, so that fewer shares than the threshold tell nothing of it.

mod gf256;
mod line;
mod shamir;

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::base::failure::Failure;
use crate::base::hex::hex;
use crate::base::secret::Wiped;
use crate::vault::seal::{self, KeyBytes};

pub use line::{are_in, parse};

/// How many bytes of its digest are behind the key.
const DIGEST: usize = 4;

/// How many bytes a share has, without its number.
const LENGTH: usize = 32 + DIGEST;

/// What the shares of one export have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Export {
    /// The vault's id, 32 hex digits.
    vault_id: String,
    /// Eight hex digits, which are random: those of another export are others.
    id: String,
    /// How many shares there are, at least `threshold`.
    shares: u8,
    /// How many are needed, at least two.
    threshold: u8,
}

/// One share.
pub struct Share {
    export: Export,
    /// Which of them it is, from 1.
    number: u8,
    values: Wiped,
}

/// Why shares do not give a key. Prints as a reason.
#[derive(Debug, PartialEq, Eq)]
pub enum ShareError {
    /// There is something that is no share.
    NoShare { line: usize },
    /// Its check sum does not fit. Which share it says it is, if that can be read.
    Mistyped { line: usize, number: Option<u8> },
    /// Its check sum fits, but a later version wrote it.
    Unknown { line: usize },
    /// A share is of another vault's key.
    AnotherVault { number: u8, vault_id: String, first: u8, first_vault_id: String },
    /// A share is of another export.
    AnotherExport { number: u8, export: String, first: u8, first_export: String },
    /// A share is there more than once.
    Twice(u8),
    /// There are fewer than the threshold.
    TooFew { here: Vec<u8>, threshold: u8, shares: u8 },
    /// What they give is no key with its digest.
    NotOfOneKey,
}

impl fmt::Display for ShareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoShare { line } => {
                write!(f, "line {line} is no share of a master key, as `jarvis-secretsd key export --shares` writes it")
            }
            Self::Mistyped { line, number: None } => {
                write!(f, "line {line} was mistyped or is cut off: its check sum does not fit")
            }
            Self::Mistyped { line, number: Some(number) } => {
                write!(f, "line {line}, share {number}, was mistyped or is cut off: its check sum does not fit")
            }
            Self::Unknown { line } => write!(f, "line {line} is of a form that this version does not know"),
            Self::AnotherVault { number, vault_id, first, first_vault_id } => write!(
                f,
                "share {number} is of the key of vault {vault_id}, and share {first} of that of vault {first_vault_id}"
            ),
            Self::AnotherExport { number, export, first, first_export } => write!(
                f,
                "share {number} is from another export ({export}) than share {first} ({first_export}); only shares of one \
                 export give the key"
            ),
            Self::Twice(number) => write!(f, "share {number} appears twice"),
            Self::TooFew { here, threshold, shares } => {
                let numbers: Vec<_> = here.iter().map(u8::to_string).collect();
                let (count, missing) = (here.len(), usize::from(*threshold) - here.len());
                let verb = if count == 1 { "is" } else { "are" };
                let numbers = numbers.join(", ");
                write!(f, "{count} of {threshold} shares {verb} here ({numbers}); {missing} more of the {shares} must be")
            }
            Self::NotOfOneKey => f.write_str(
                "they do not fit together, though each says that it is of this export: at least one was forged or damaged",
            ),
        }
    }
}

/// Splits the master key of the vault `vault_id`, 32 hex digits, into so many `shares`, of which `threshold` are needed:
/// two at least, and no more than there are.
///
/// # Errors
/// If the system has no random bytes to give.
pub fn split(key: &KeyBytes, vault_id: &str, shares: u8, threshold: u8) -> Result<Vec<Share>, Failure> {
    assert!(2 <= threshold && threshold <= shares, "whoever asks has looked");
    let id = hex(&*seal::random::<4>()?);
    let export = Export { vault_id: vault_id.to_owned(), id, shares, threshold };
    let mut secret = Wiped::new(Vec::with_capacity(LENGTH));
    secret.extend_from_slice(&key[..]);
    secret.extend_from_slice(&*digest(&key[..]));
    let split = shamir::split(&secret, shares, threshold)?;
    let share = |(number, values)| Share { export: export.clone(), number, values };
    Ok((1..=shares).zip(split).map(share).collect())
}

/// The key of which these are shares, and the id of its vault. More than are needed must fit too.
///
/// # Errors
/// If they are not of one export, not enough, or not what was made by it; or if there are none.
pub fn combine(shares: &[Share]) -> Result<(KeyBytes, &str), ShareError> {
    let Some(first) = shares.first() else { return Err(ShareError::NoShare { line: 1 }) };
    for (at, share) in shares.iter().enumerate() {
        share.belongs_to(first)?;
        if shares[..at].iter().any(|before| before.number == share.number) {
            return Err(ShareError::Twice(share.number));
        }
    }
    let Export { vault_id, shares: of, threshold, .. } = &first.export;
    if shares.len() < usize::from(*threshold) {
        let here = shares.iter().map(|share| share.number).collect();
        return Err(ShareError::TooFew { here, threshold: *threshold, shares: *of });
    }
    let points: Vec<_> = shares.iter().map(|share| (share.number, &share.values[..])).collect();
    let secret = shamir::combine(&points);
    let (key, told) = secret.split_at(secret.len() - DIGEST);
    let key = KeyBytes::of(key).filter(|key| digest(&key[..])[..] == *told).ok_or(ShareError::NotOfOneKey)?;
    Ok((key, vault_id))
}

impl Share {
    fn belongs_to(&self, first: &Self) -> Result<(), ShareError> {
        let (mine, its) = (&self.export, &first.export);
        if mine.vault_id != its.vault_id {
            let (vault_id, first_vault_id) = (mine.vault_id.clone(), its.vault_id.clone());
            return Err(ShareError::AnotherVault {
                number: self.number,
                vault_id,
                first: first.number,
                first_vault_id,
            });
        }
        if mine != its {
            let (export, first_export) = (mine.id.clone(), its.id.clone());
            return Err(ShareError::AnotherExport { number: self.number, export, first: first.number, first_export });
        }
        Ok(())
    }
}

/// The first bytes of the SHA-256 of `bytes`.
fn digest(bytes: &[u8]) -> Zeroizing<[u8; DIGEST]> {
    let whole: Zeroizing<[u8; 32]> = Zeroizing::new(Sha256::digest(bytes).into());
    let mut digest = Zeroizing::new([0; DIGEST]);
    digest.copy_from_slice(&whole[..DIGEST]);
    digest
}

#[cfg(test)]
mod tests;
