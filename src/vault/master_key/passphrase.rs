//! The master key wrapped by a passphrase, as a text that can be printed and kept in a safe.
//!
//! Argon2id (RFC 9106) makes of the passphrase the key that seals the master key, bound to the parameters beside it:
//!
//! ```text
//! jarvis-secretsd master key, version 1, wrapped by a passphrase
//! argon2id m=65536 t=3 p=4 MDEyMzQ1Njc4OWFiY2RlZg==
//! …
//! ```
//!
//! The lines are what this is, the cost with the salt, and what was sealed.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};

use crate::base::failure::Failure;
use crate::base::secret::Plaintext;
use crate::vault::seal::{self, KeyBytes, SealingKey};

const TITLE: &str = "jarvis-secretsd master key, version 1, wrapped by a passphrase";

/// The second recommended option of RFC 9106, section 4: 64 MiB of memory, three passes, four lanes.
const COST: Cost = Cost { memory: 64 * 1024, passes: 3, lanes: 4 };

/// What is opened may cost at most this: 4 GiB, so that a text made by somebody else does not take all memory.
const HIGHEST: Cost = Cost { memory: 4 * 1024 * 1024, passes: 64, lanes: 64 };

/// The fewest characters of a passphrase.
const SHORTEST: usize = 12;

/// Why a wrapped key could not be made or opened. Prints as a reason.
#[derive(Debug, PartialEq, Eq)]
pub enum WrapError {
    /// The passphrase has too few characters.
    Short,
    /// The text is not one of these.
    Form,
    /// It costs more than this program spends.
    Cost,
    /// The passphrase is another one, or the text was changed.
    NotAuthentic,
    /// The system refused memory or random bytes.
    System(String),
}

impl fmt::Display for WrapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => {
                write!(f, "the passphrase must have at least {SHORTEST} characters; a few random words are best")
            }
            Self::Form => f.write_str("this is not a wrapped master key, as `jarvis-secretsd key export` writes it"),
            Self::Cost => f.write_str("its key derivation costs more memory or time than this program spends"),
            Self::NotAuthentic => f.write_str("the passphrase is wrong, or the text was changed"),
            Self::System(why) => f.write_str(why),
        }
    }
}

impl From<Failure> for WrapError {
    fn from(why: Failure) -> Self {
        Self::System(why.to_string())
    }
}

/// Wraps `key` by `passphrase`.
///
/// # Errors
/// If the passphrase is too short, or the system refuses memory or random bytes.
pub fn wrap(key: &KeyBytes, passphrase: &Plaintext) -> Result<String, WrapError> {
    if passphrase.expose().chars().count() < SHORTEST {
        return Err(WrapError::Short);
    }
    let salt = seal::random::<16>()?;
    let head = format!("{TITLE}\nargon2id {COST} {}\n", seal::encode(&salt[..]));
    let sealed = COST.derive(passphrase, &salt[..])?.seal(head.as_bytes(), &key[..])?;
    Ok(format!("{head}{}\n", seal::encode(&sealed)))
}

/// Whether the text begins as what [`wrap`] makes.
pub fn is_wrapped_key(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.trim_end() == TITLE)
}

/// Opens what [`wrap`] made. White space at the ends of lines does not count, nor does the form of line ends.
///
/// # Errors
/// If it is not such a text, or does not open with this passphrase.
pub fn unwrap(text: &str, passphrase: &Plaintext) -> Result<KeyBytes, WrapError> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let [TITLE, derivation, sealed] = lines[..] else { return Err(WrapError::Form) };
    let (cost, salt) = Cost::parse(derivation).ok_or(WrapError::Form)?;
    let salt = seal::decode(salt).ok_or(WrapError::Form)?;
    let sealed = seal::decode(sealed).ok_or(WrapError::Form)?;
    if cost.memory > HIGHEST.memory || cost.passes > HIGHEST.passes || cost.lanes > HIGHEST.lanes {
        return Err(WrapError::Cost);
    }
    let head = format!("{TITLE}\n{derivation}\n");
    let opened = cost.derive(passphrase, &salt)?.open(head.as_bytes(), &sealed);
    let key = opened.map_err(|seal::NotAuthentic| WrapError::NotAuthentic)?;
    KeyBytes::of(&key).ok_or(WrapError::NotAuthentic)
}

/// What deriving a key costs: KiB of memory, passes over it, lanes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    memory: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// The cost, and the salt in base64, of a line that says how a key is derived.
    fn parse(line: &str) -> Option<(Self, &str)> {
        let words: Vec<&str> = line.split(' ').collect();
        let ["argon2id", memory, passes, lanes, salt] = words[..] else { return None };
        let number = |word: &str, name| word.strip_prefix(name)?.parse().ok();
        let (memory, passes, lanes) = (number(memory, "m=")?, number(passes, "t=")?, number(lanes, "p=")?);
        Some((Self { memory, passes, lanes }, salt))
    }

    fn derive(self, passphrase: &Plaintext, salt: &[u8]) -> Result<SealingKey, WrapError> {
        let params = Params::new(self.memory, self.passes, self.lanes, Some(32)).map_err(|_| WrapError::Form)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let derive = |key: &mut [u8]| argon2.hash_password_into(passphrase.expose().as_bytes(), salt, key);
        let key = KeyBytes::filled(derive).map_err(|why| WrapError::System(why.to_string()))?;
        Ok(SealingKey::new(&key))
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory, passes, lanes } = self;
        write!(f, "m={memory} t={passes} p={lanes}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Plaintext {
        Plaintext::new(text.to_owned())
    }

    #[test]
    fn a_wrapped_key_opens_with_its_passphrase_only() {
        let key = KeyBytes::random().unwrap();
        let text = wrap(&key, &passphrase("correct horse battery")).unwrap();
        assert!(*unwrap(&text, &passphrase("correct horse battery")).unwrap() == *key);
        assert_eq!(unwrap(&text, &passphrase("correct horse batterY")).unwrap_err(), WrapError::NotAuthentic);
        assert_eq!(wrap(&key, &passphrase("elevenchars")).unwrap_err(), WrapError::Short);
        assert!(wrap(&key, &passphrase("zwölf Zeichn")).is_ok(), "characters, not bytes");
    }

    #[test]
    fn a_text_that_was_typed_from_paper_may_end_its_lines_in_any_way() {
        let key = KeyBytes::random().unwrap();
        let text = wrap(&key, &passphrase("correct horse battery")).unwrap().replace('\n', "  \r\n");
        assert!(*unwrap(&text, &passphrase("correct horse battery")).unwrap() == *key);
    }

    #[test]
    fn a_changed_text_does_not_open() {
        let text = wrap(&KeyBytes::random().unwrap(), &passphrase("correct horse battery")).unwrap();
        let open = |text: &str| unwrap(text, &passphrase("correct horse battery")).unwrap_err();
        assert_eq!(open(&text.replace("t=3", "t=2")), WrapError::NotAuthentic);
        assert_eq!(open(&text.replace("p=4", "p=2")), WrapError::NotAuthentic);
        for (from, to) in
            [("version 1", "version 2"), ("argon2id", "argon2i"), ("m=65536", "m="), ("t=3", "t=0"), ("t=3 ", "")]
        {
            assert_eq!(open(&text.replace(from, to)), WrapError::Form, "{to}");
        }
        assert_eq!(open(&text.replace("m=65536", "m=4194305")), WrapError::Cost);
        assert_eq!(open(""), WrapError::Form);
        assert_eq!(open(&format!("{text}more\n")), WrapError::Form);
    }
}
