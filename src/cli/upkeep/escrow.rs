//! What `key export` has written, read back: a text that is wrapped by a passphrase, or shares.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::iter;
use std::path::Path;

use crate::base::failure::Failure;
use crate::base::files;
use crate::base::secret::{Plaintext, Wiped};
use crate::cli::exit::Exit;
use crate::cli::{input, prompt};
use crate::vault::{KeyBytes, LONGEST_WRAPPED, passphrase, shares};

/// The master key that was put away.
pub struct Escrow {
    pub key: KeyBytes,
    /// What it comes from, as a message calls it.
    pub what: String,
}

/// What to do with a passphrase instead of giving it as an argument.
pub const NO_ARGUMENT: &str = "the passphrase is never an argument, which others see in ps: type it when it is asked for, or give it on \
     standard input";

/// The master key in a wrapped text, for which the passphrase is asked, or in shares, which may be in one file or in several;
/// none if the file has something else. `-` is standard input.
///
/// # Errors
/// If a file cannot be read, or they do not give a key.
pub fn open(files: &[OsString]) -> Result<Option<Escrow>, Exit> {
    let Some((first, others)) = files.split_first() else { return Ok(None) };
    let text = Text::read(first)?;
    if shares::are_in(text.exposed()) {
        let texts = iter::once(Ok(text)).chain(others.iter().map(Text::read));
        return together(&texts.collect::<Result<Vec<_>, _>>()?).map(Some);
    }
    // The others are not read: one may be a passphrase, which no message may repeat.
    if !others.is_empty() {
        return Err(Exit::usage(format_args!("only of shares there may be several files; {NO_ARGUMENT}")));
    }
    if !passphrase::is_wrapped_key(text.exposed()) {
        return Ok(None);
    }
    if first == "-" {
        let why = "has a wrapped key, which must be in a file: the passphrase is read here";
        return Err(Failure::new(text.what, why).into());
    }
    let passphrase = passphrase(prompt::once)?;
    let key = passphrase::unwrap(text.exposed(), &passphrase).map_err(|why| Failure::new(&text.what, why))?;
    Ok(Some(Escrow { key, what: text.what }))
}

/// The passphrase, from a person at a terminal, who is asked for it by `ask`, or from another program.
pub fn passphrase(ask: fn(&str, &str) -> Result<Plaintext, Exit>) -> Result<Plaintext, Exit> {
    let what = "the passphrase";
    if io::stdin().is_terminal() { ask("Passphrase", what) } else { input::passphrase(what) }
}

/// The key of which these texts have shares.
fn together(texts: &[Text]) -> Result<Escrow, Exit> {
    let mut all = Vec::new();
    for text in texts {
        all.extend(shares::parse(text.exposed()).map_err(|why| Failure::new(&text.what, why))?);
    }
    let (key, vault_id) = shares::combine(&all).map_err(|why| Failure::new("the shares", why))?;
    Ok(Escrow { key, what: format!("this set of shares, of vault {vault_id}") })
}

/// What one file holds, or standard input.
struct Text {
    what: String,
    bytes: Wiped,
}

impl Text {
    fn read(file: &OsString) -> Result<Self, Exit> {
        if file == "-" {
            let what = "standard input".to_owned();
            let bytes = Wiped::new(input::value(&what, true)?.expose().as_bytes().to_vec());
            return Ok(Self { what, bytes });
        }
        let path = Path::new(file);
        Ok(Self { what: path.display().to_string(), bytes: files::read(path, LONGEST_WRAPPED)? })
    }

    /// The text; of what is none, an empty one.
    fn exposed(&self) -> &str {
        str::from_utf8(&self.bytes).unwrap_or_default()
    }
}
