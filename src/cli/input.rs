//! What another program gives on standard input: a value, or a passphrase.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use super::exit::Exit;
use crate::base::failure::Failure;
use crate::base::secret::{Plaintext, Wiped, value_of};
use crate::vault::MAX_VALUE;

/// What of standard input is a value; if it is to be `exact`, all of it. Messages call it `what`.
///
/// # Errors
/// If it cannot be a value: empty, too long or not UTF-8.
pub fn value(what: &str, exact: bool) -> Result<Plaintext, Exit> {
    read(what, if exact { |given| given } else { value_of })
}

/// A passphrase, whose last newline is no part of it, whatever stands before. Messages call it `what`.
///
/// # Errors
/// As for [`value`].
pub fn passphrase(what: &str) -> Result<Plaintext, Exit> {
    read(what, |given| given.strip_suffix(b"\n").unwrap_or(given))
}

fn read(what: &str, meant: fn(&[u8]) -> &[u8]) -> Result<Plaintext, Exit> {
    // With room for the newline and for what is too much; sized at first, so that no copy is left behind.
    let room = MAX_VALUE + 2;
    let mut bytes = Wiped::new(Vec::with_capacity(room));
    // Not through the buffer of `stdin()`, in which a copy would stay.
    let input = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let read = input.and_then(|input| input.take(room as u64).read_to_end(&mut bytes));
    read.map_err(|why| Failure::new("standard input", why))?;
    Ok(plaintext(what, meant(&bytes))?)
}

/// The value that these bytes are.
///
/// # Errors
/// As for [`value`].
pub fn plaintext(what: &str, bytes: &[u8]) -> Result<Plaintext, Failure> {
    let fail = |why: &dyn std::fmt::Display| Failure::new(what, why);
    match std::str::from_utf8(bytes) {
        _ if bytes.is_empty() => Err(fail(&"is empty; nothing was stored")),
        _ if bytes.len() > MAX_VALUE => Err(fail(&format_args!("has more than {MAX_VALUE} bytes; nothing was stored"))),
        Err(_) => Err(fail(&"is not UTF-8; encode it, with base64 for example")),
        Ok(text) => Ok(Plaintext::new(text.to_owned())),
    }
}
