//! How lines hang together: numbers without a gap, each with the hash of the one before, signed one by one or in batches.

use std::fmt;
use std::io::{self, Write};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::entry::{Entry, Line};
use super::vault_at::VaultAt;
use crate::base::clock::Timestamp;
use crate::base::failure::printable;
use crate::base::hex::hex;

const SIGNATURE: &[u8] = br#","signature":""#;

/// The newest line: what the next one is chained to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its number; 0 if there is no line yet.
    pub seq: u64,
    /// Its SHA-256, without the newline; zeros if there is no line yet.
    pub hash: [u8; 32],
    /// Where the vault stood, as the line says.
    pub vault: VaultAt,
    pub timestamp: Timestamp,
}

impl Tip {
    /// Before the first line.
    pub const START: Self = Self { seq: 0, hash: [0; 32], vault: VaultAt::START, timestamp: Timestamp::from_nanos(0) };

    /// Appends a line that follows this one, and moves on to it. `key` signs it, if it is the last of its batch.
    pub(super) fn append(&mut self, entry: Entry, now: Timestamp, key: Option<&SigningKey>, out: &mut Vec<u8>) {
        let vault = entry.vault.unwrap_or(self.vault);
        let line = Line::new(entry, self.seq + 1, now, vault, hex(&self.hash));
        let start = out.len();
        serde_json::to_writer(&mut *out, &line).expect("a line is plain data");
        if let Some(key) = key {
            sign(key, start, out);
        }
        let hash = Sha256::digest(&out[start..]).into();
        out.push(b'\n');
        *self = Self { seq: line.seq, hash, vault, timestamp: now };
    }

    /// The line that follows this one, newline included, signed by `key`.
    pub fn next_line(mut self, entry: Entry, now: Timestamp, key: &SigningKey) -> Vec<u8> {
        let mut line = Vec::new();
        self.append(entry, now, Some(key), &mut line);
        line
    }

    /// Checks that `text`, without its newline, is the line after this one, and moves on to it.
    ///
    /// Whether its signature holds is left to [`verify`].
    pub(super) fn follow(&mut self, text: &[u8]) -> Result<Line, Fault> {
        let line = read(text)?;
        if line.seq != self.seq + 1 {
            return Err(Fault::Number { found: line.seq, expected: self.seq + 1 });
        }
        if line.prev != hex(&self.hash) {
            return Err(Fault::Chain);
        }
        *self = Self::of(&line, text);
        Ok(line)
    }

    /// The tip that `text`, which reads as `line`, is.
    pub(super) fn of(line: &Line, text: &[u8]) -> Self {
        Self { seq: line.seq, hash: Sha256::digest(text).into(), vault: line.vault(), timestamp: line.timestamp }
    }
}

/// What is wrong with a line. Prints as a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not a line of this log, in the one form that such a line has.
    Form(String),
    /// Its number does not follow.
    Number { found: u64, expected: u64 },
    /// It does not hold the hash of the line before it.
    Chain,
    /// Its signature does not hold.
    Signature,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(why) => write!(f, "the line was changed: {why}"),
            Self::Number { found, expected } => {
                write!(f, "lines were dropped, moved or inserted: line {found} stands where line {expected} belongs")
            }
            Self::Chain => f.write_str("the line was moved or forged: it does not hold the hash of the line before it"),
            Self::Signature => f.write_str("the line was changed or forged: its signature does not hold"),
        }
    }
}

/// Reads a line, without its newline, in its one valid form.
pub(super) fn read(text: &[u8]) -> Result<Line, Fault> {
    let line: Line = serde_json::from_slice(text).map_err(|why| Fault::Form(printable(&why.to_string())))?;
    let mut rest = Expected(text);
    if serde_json::to_writer(&mut rest, &line).is_err() || !rest.0.is_empty() {
        return Err(Fault::Form("it is not written as the daemon writes it".to_owned()));
    }
    // So that there is a number before and behind each, also in what somebody made up.
    if !(1..u64::MAX).contains(&line.seq) {
        return Err(Fault::Form(format!("no line has the number {}", line.seq)));
    }
    Ok(line)
}

/// Takes what is written as long as it is what was expected, of which this is the rest.
struct Expected<'a>(&'a [u8]);

impl Write for Expected<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Signs the JSON object that `out` holds from `start` on, by the rule of this log: the signature is over the object as
/// it is without it, and becomes its last field.
pub(super) fn sign(key: &SigningKey, start: usize, out: &mut Vec<u8>) {
    let signature = key.sign(&out[start..]);
    out.pop();
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(base64::encode(signature.to_bytes()).as_bytes());
    out.extend_from_slice(b"\"}");
}

/// Whether the signature in the object `text`, whose field `signature` it is, holds.
pub(super) fn verify(key: &VerifyingKey, text: &[u8], signature: &str) -> Result<(), Fault> {
    let length = text.len().checked_sub(SIGNATURE.len() + signature.len() + 2).ok_or(Fault::Signature)?;
    let bytes = base64::decode(signature).map_err(|_| Fault::Signature)?;
    let signature = Signature::from_slice(&bytes).map_err(|_| Fault::Signature)?;
    let signed = [&text[..length], b"}"].concat();
    key.verify_strict(&signed, &signature).map_err(|_| Fault::Signature)
}

/// The SHA-256 of `bytes`, in hex as everywhere in the log.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
