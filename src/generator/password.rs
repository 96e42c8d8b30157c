//! Passwords: characters drawn without bias, of several classes, or such as mean nothing in a URL.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::bytes::{plaintext, random};
use crate::base::failure::Failure;
use crate::base::secret::{Plaintext, Wiped};

/// A class of characters of which a password has at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Class {
    Lower,
    Upper,
    Digits,
    Symbols,
}

pub(super) fn all_classes() -> BTreeSet<Class> {
    [Class::Lower, Class::Upper, Class::Digits, Class::Symbols].into()
}

impl Class {
    /// Symbols are the printable ones but quotes, backquote and backslash, which end or escape a quoted text.
    fn characters(self, look_alikes: bool) -> impl Iterator<Item = u8> {
        let all: &[u8] = match self {
            Self::Lower => b"abcdefghijklmnopqrstuvwxyz",
            Self::Upper => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            Self::Digits => b"0123456789",
            Self::Symbols => b"!#$%&()*+,-./:;<=>?@[]^_{|}~",
        };
        all.iter().copied().filter(move |c| look_alikes || !b"0Oo1lI|".contains(c))
    }
}

/// All passwords of this length in which every class occurs are equally likely: each character is drawn from all
/// classes, and the whole password again until it fits.
pub(super) fn password(length: usize, classes: &BTreeSet<Class>, look_alikes: bool) -> Result<Plaintext, Failure> {
    let alphabet: Vec<u8> = classes.iter().flat_map(|class| class.characters(look_alikes)).collect();
    let mut text = Wiped::new(Vec::with_capacity(length));
    loop {
        text.clear();
        while text.len() < length {
            let missing = length - text.len();
            text.extend(random(missing)?.iter().filter_map(|byte| pick(*byte, &alphabet)));
        }
        let occurs = |class: &Class| class.characters(look_alikes).any(|c| text.contains(&c));
        if classes.iter().all(occurs) {
            return Ok(plaintext(text));
        }
    }
}

/// Characters that mean nothing wherever in a URL they stand (RFC 3986, section 2.3): 64, of 6 bits each. No password begins
/// with one of the last two, for a command would take `-` for an option.
const URLSAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// All passwords of this length are equally likely that begin with a letter or a digit.
pub(super) fn urlsafe(length: usize) -> Result<Plaintext, Failure> {
    let mut text = Wiped::new(Vec::with_capacity(length));
    while text.len() < length {
        let begun = text.len();
        let usable = if begun == 0 { &URLSAFE[..62] } else { URLSAFE };
        let wanted = if begun == 0 { 1 } else { length - begun };
        text.extend(random(wanted)?.iter().filter_map(|byte| pick(*byte, usable)));
    }
    Ok(plaintext(text))
}

/// The character of `alphabet` that a random byte stands for. The bytes beyond the last multiple of its length stand for
/// none, for they would make its first characters likelier.
fn pick(byte: u8, alphabet: &[u8]) -> Option<u8> {
    let usable = 256 - 256 % alphabet.len();
    (usize::from(byte) < usable).then(|| alphabet[usize::from(byte) % alphabet.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_every_class_asked_for_and_no_other_character() {
        for classes in 1..16u8 {
            let classes: BTreeSet<Class> = all_classes().into_iter().filter(|c| classes >> *c as u8 & 1 == 1).collect();
            for look_alikes in [false, true] {
                for _ in 0..100 {
                    let value = password(12, &classes, look_alikes).unwrap();
                    let text = value.expose().as_bytes();
                    assert_eq!(text.len(), 12);
                    let of = |class: &Class, c: &u8| class.characters(look_alikes).any(|other| other == *c);
                    assert!(classes.iter().all(|class| text.iter().any(|c| of(class, c))), "{classes:?}");
                    assert!(text.iter().all(|c| classes.iter().any(|class| of(class, c))), "{classes:?}");
                }
            }
        }
    }

    #[test]
    fn a_url_safe_one_has_letters_digits_hyphens_and_underscores_and_begins_with_a_letter_or_a_digit() {
        let (mut firsts, mut others) = (BTreeSet::new(), BTreeSet::new());
        for length in (12..200).chain(12..200) {
            let value = urlsafe(length).unwrap();
            let text = value.expose();
            assert_eq!(text.len(), length);
            firsts.extend(text.bytes().take(1));
            others.extend(text.bytes().skip(1));
        }
        assert!(firsts.iter().all(u8::is_ascii_alphanumeric), "{firsts:?}");
        // Among 39,000 characters each one of 64 comes up.
        assert_eq!(others, URLSAFE.iter().copied().collect::<BTreeSet<_>>());
    }

    #[test]
    fn look_alikes_are_left_out_unless_asked_for() {
        let characters = |look_alikes| -> BTreeSet<u8> {
            all_classes().into_iter().flat_map(|class| class.characters(look_alikes)).collect()
        };
        let left_out: Vec<u8> = characters(true).difference(&characters(false)).copied().collect();
        assert_eq!(left_out, b"01IOlo|");
        assert_eq!(characters(true).len(), 26 + 26 + 10 + 28);
    }

    #[test]
    fn over_all_bytes_every_character_is_picked_equally_often() {
        for length in 1..=90 {
            let alphabet: Vec<u8> = (0..length).collect();
            let mut times = vec![0; alphabet.len()];
            for byte in 0..=255 {
                if let Some(character) = pick(byte, &alphabet) {
                    times[usize::from(character)] += 1;
                }
            }
            assert!(times.iter().all(|n| *n == 256 / alphabet.len()), "{length}: {times:?}");
        }
    }
}
