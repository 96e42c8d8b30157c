//! How much of a log belongs to a copy of the vault.

use std::io::{self, BufRead};

use super::chain::{self, Tip};

/// The beginning of a log, up to a signed line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub length: u64,
    pub first_seq: u64,
    pub tip: Tip,
}

/// The longest beginning of `log` that ends with a signed line on which the vault's sequence number is at most `vault_seq`.
///
/// Lines are read, not verified.
///
/// # Errors
/// If the log cannot be read, or a whole line of it is none.
pub fn prefix_through(mut log: impl BufRead, vault_seq: u64) -> io::Result<Option<Prefix>> {
    let (mut prefix, mut first_seq) = (None, None);
    let (mut length, mut text) = (0, Vec::new());
    loop {
        text.clear();
        length += log.read_until(b'\n', &mut text)? as u64;
        let Some(text) = text.strip_suffix(b"\n") else { return Ok(prefix) };
        let line = chain::read(text).map_err(|fault| io::Error::other(format!("behind byte {length}: {fault}")))?;
        let first_seq = *first_seq.get_or_insert(line.seq);
        if line.signature.is_some() && line.vault().seq <= vault_seq {
            prefix = Some(Prefix { length, first_seq, tip: Tip::of(&line, text) });
        }
    }
}
