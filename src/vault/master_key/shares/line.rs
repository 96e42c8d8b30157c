//! A share as a line of text that can be printed, and typed from paper:
//!
//! ```text
//! jarvis-secretsd share v1 vault=5f0c…e1 export=8f21ab03 share=2/5 threshold=3 part=93c1-…-02 check=1b0d42e7
//! ```
//!
//! `part` is the share's bytes and then its number, in hexadecimal, which is the form of the package `shamir` of HashiCorp Vault.
//! `check` is the first bytes of the SHA-256 of all that stands before it. White space, hyphens and the case of letters do not count,
//! also for the check sum: this is made of the text without them, in lower case.

use sha2::{Digest, Sha256};

use super::{Export, LENGTH, Share, ShareError};
use crate::base::hex::{digits, hex};
use crate::base::secret::{Plaintext, Wiped};

/// What a share begins with.
const TITLE: &str = "jarvis-secretsd share ";

/// What comes before the check sum.
const CHECK: &str = "check=";

/// How many bytes the check sum has.
const CHECKED: usize = 4;

/// How many digits stand together.
const GROUP: usize = 4;

/// No share is longer, in bytes.
const ROOM: usize = 256;

impl Share {
    /// The line, with its newline.
    pub fn line(&self) -> Plaintext {
        let Self { export: Export { vault_id, id, shares, threshold }, number, values } = self;
        // With room for all of it, so that no copy is left behind.
        let mut line = String::with_capacity(ROOM);
        line.push_str(&format!(
            "{TITLE}v1 vault={vault_id} export={id} share={number}/{shares} threshold={threshold} part="
        ));
        for (at, digit) in digits(values).chain(digits(&[*number])).enumerate() {
            if at > 0 && at % GROUP == 0 {
                line.push('-');
            }
            line.push(char::from(digit));
        }
        let check = check_sum(squeezed(&line).expose());
        line.extend([" ", CHECK, &check, "\n"]);
        Plaintext::new(line)
    }
}

/// Whether `text` is meant to be shares, also where a word of them was mistyped.
pub fn are_in(text: &str) -> bool {
    let (text, title) = (squeezed(text), squeezed(TITLE));
    text.expose().starts_with(title.expose()) || ["share=", "part="].iter().all(|word| text.expose().contains(word))
}

/// The shares in `text`. Each begins on a line of its own, and may go on over several; empty lines do not count.
///
/// # Errors
/// If one was mistyped, or something is no share.
pub fn parse(text: &str) -> Result<Vec<Share>, ShareError> {
    let title = squeezed(TITLE);
    let mut shares: Vec<(usize, Plaintext)> = Vec::new();
    for (line, words) in (1..).zip(text.lines()) {
        let words = squeezed(words);
        match shares.last_mut() {
            _ if words.expose().is_empty() => {}
            Some((_, begun)) if !is_whole(begun.expose()) && !words.expose().starts_with(title.expose()) => {
                *begun = joined(begun, &words);
            }
            _ => shares.push((line, words)),
        }
    }
    shares.iter().map(|(line, share)| parse_one(*line, share.expose(), title.expose())).collect()
}

/// The share that begins on line `line`, of which `text` is left when white space and hyphens are taken out.
fn parse_one(line: usize, text: &str, title: &str) -> Result<Share, ShareError> {
    if !text.starts_with(title) && !text.contains(CHECK) {
        return Err(ShareError::NoShare { line });
    }
    match text.split_once(CHECK) {
        Some((head, check)) if check_sum(head) == check => {
            let rest = head.strip_prefix(title).ok_or(ShareError::NoShare { line })?;
            fields(rest).ok_or(ShareError::Unknown { line })
        }
        _ => Err(ShareError::Mistyped { line, number: number(text) }),
    }
}

fn fields(text: &str) -> Option<Share> {
    let (vault_id, rest) = text.strip_prefix("v1vault=")?.split_once("export=")?;
    let (id, rest) = rest.split_once("share=")?;
    let (number, rest) = rest.split_once('/')?;
    let (shares, rest) = rest.split_once("threshold=")?;
    let (threshold, part) = rest.split_once("part=")?;
    let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let (number, shares, threshold) = (number.parse().ok()?, shares.parse().ok()?, threshold.parse().ok()?);
    let is_one = is_hex(vault_id, 32) && is_hex(id, 8) && is_hex(part, 2 * LENGTH + 2);
    if !is_one || !(2..=shares).contains(&threshold) || !(1..=shares).contains(&number) {
        return None;
    }
    let mut values = Wiped::new(Vec::with_capacity(LENGTH + 1));
    for at in (0..part.len()).step_by(2) {
        values.push(u8::from_str_radix(&part[at..at + 2], 16).ok()?);
    }
    let is_numbered_so = values.pop() == Some(number);
    let export = Export { vault_id: vault_id.to_owned(), id: id.to_owned(), shares, threshold };
    is_numbered_so.then_some(Share { export, number, values })
}

/// The number that a share says it has, if that can be read.
fn number(text: &str) -> Option<u8> {
    let (_, rest) = text.split_once("share=")?;
    rest.split_once('/')?.0.parse().ok()
}

/// Whether the check sum is there too.
fn is_whole(share: &str) -> bool {
    share.split_once(CHECK).is_some_and(|(_, check)| check.len() >= 2 * CHECKED)
}

fn check_sum(text: &str) -> String {
    hex(&Sha256::digest(text)[..CHECKED])
}

/// The text without what does not count.
fn squeezed(text: &str) -> Plaintext {
    let mut squeezed = String::with_capacity(text.len());
    squeezed.extend(text.chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_ascii_lowercase()));
    Plaintext::new(squeezed)
}

fn joined(begun: &Plaintext, more: &Plaintext) -> Plaintext {
    let mut joined = String::with_capacity(begun.expose().len() + more.expose().len());
    joined.extend([begun.expose(), more.expose()]);
    Plaintext::new(joined)
}
