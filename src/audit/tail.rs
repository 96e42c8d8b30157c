//! The end of a log: its newest line, and what an interrupted write left behind it.
//!
//! Only the last lines are read, so that a start takes as long with ten million lines as with ten.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use ed25519_dalek::VerifyingKey;

use super::chain::{self, Fault, Tip};

/// How much of a log is never left unsynced, unless it is one batch.
pub const MOST_UNSYNCED: u64 = 1 << 20;

/// How much is read at first; twice as much as long as no signed line is found.
const CHUNK: u64 = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The newest line that a signature covers.
    pub tip: Tip,
    /// Where that line ends. What is behind it was never finished.
    pub length: u64,
}

/// Why the log cannot be continued.
#[derive(Debug)]
pub enum TailError {
    Io(io::Error),
    /// The line behind number `after` is not as it was written.
    Damaged {
        /// The last line that is good.
        after: u64,
        fault: Fault,
    },
}

/// Finds the end of the log `file`, which has `size` bytes.
pub fn find(file: &File, size: u64, key: &VerifyingKey) -> Result<Tail, TailError> {
    let size = find_unwritten(file, size).map_err(TailError::Io)?;
    let mut wanted = CHUNK;
    loop {
        let start = size.saturating_sub(wanted);
        let mut chunk = vec![0; (size - start) as usize];
        file.read_exact_at(&mut chunk, start).map_err(TailError::Io)?;
        if let Some(tail) = find_in(&chunk, start, key)? {
            return Ok(tail);
        }
        if start == 0 {
            return Ok(Tail { tip: Tip::START, length: 0 });
        }
        wanted *= 2;
    }
}

/// Where the first byte stands that was never written, a zero; else `size`.
///
/// A power cut may lose a write and keep the ones behind it. What may have been unsynced is looked through for that.
fn find_unwritten(file: &File, size: u64) -> io::Result<u64> {
    let (mut found, mut end) = (size, size);
    loop {
        let start = end.saturating_sub(MOST_UNSYNCED);
        let mut bytes = vec![0; (end - start) as usize];
        file.read_exact_at(&mut bytes, start)?;
        if bytes.contains(&0) {
            found = start + bytes.iter().take_while(|byte| **byte != 0).count() as u64;
        }
        // If no batch ends in there, all of it may be of one that is unsynced from its first line on.
        if start == 0 || ends_a_batch(&bytes) {
            return Ok(found);
        }
        end = start;
    }
}

/// Whether one of the lines in `bytes` is signed, and something stands behind it.
fn ends_a_batch(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n').skip(1).peekable();
    while let Some(line) = lines.next() {
        if lines.peek().is_none_or(|rest| rest.is_empty()) {
            break;
        }
        if chain::read(line).is_ok_and(|line| line.signature.is_some()) {
            return true;
        }
    }
    false
}

/// Finds the end in `chunk`, which begins at byte `start` of the log; none if no signed line is in it.
fn find_in(chunk: &[u8], start: u64, key: &VerifyingKey) -> Result<Option<Tail>, TailError> {
    let mut at = match start {
        0 => 0,
        _ => chunk.iter().position(|byte| *byte == b'\n').map_or(chunk.len(), |newline| newline + 1),
    };
    // The first line of a chunk that does not begin the log is taken as the anchor of those behind it. So is the first of
    // a segment, which goes on from a file that is not here.
    let mut tip = None;
    let mut signed = None;
    while at < chunk.len() {
        let rest = &chunk[at..];
        let (text, whole) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(newline) => (&rest[..newline], true),
            None => (rest, false),
        };
        if text.contains(&0) || (!whole && is_torn(text)) {
            break;
        }
        let after = tip.map_or(0, |tip: Tip| tip.seq);
        let damaged = |fault| TailError::Damaged { after, fault };
        let (line, next) = match tip {
            None => chain::read(text).map(|line| {
                let tip = Tip::of(&line, text);
                (line, tip)
            }),
            Some(mut next) => next.follow(text).map(|line| (line, next)),
        }
        .map_err(damaged)?;
        if !whole {
            // All of the line but its newline: as unfinished as any other part of it.
            break;
        }
        tip = Some(next);
        at += text.len() + 1;
        if let Some(signature) = line.signature {
            signed = Some((next, start + at as u64, text, signature));
        }
    }
    let Some((tip, length, text, signature)) = signed else { return Ok(None) };
    chain::verify(key, text, &signature).map_err(|fault| TailError::Damaged { after: tip.seq - 1, fault })?;
    Ok(Some(Tail { tip, length }))
}

/// Whether `text`, which has no newline, is what a torn write leaves: part of a line, or all of one.
///
/// A newline that was changed leaves a whole line and one byte more; that is no tear.
pub fn is_torn(text: &[u8]) -> bool {
    let mut objects = serde_json::Deserializer::from_slice(text).into_iter::<serde::de::IgnoredAny>();
    match objects.next() {
        Some(Ok(_)) => objects.byte_offset() == text.len(),
        Some(Err(why)) => why.is_eof(),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_told_from_a_changed_newline() {
        let line = br#"{"seq":1,"detail":"a } in a text"}"#;
        for length in 1..=line.len() {
            assert!(is_torn(&line[..length]), "{length}");
        }
        assert!(!is_torn(b"{\"seq\":1}\x0b"));
        assert!(!is_torn(b"{\"seq\":1}x"));
        assert!(!is_torn(b"garbage"));
    }
}
