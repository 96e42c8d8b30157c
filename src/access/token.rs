//! Tokens: what a client proves itself with, and the hash by which the policy knows it.

use std::fmt;
use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::base::failure::Failure;
use crate::base::hex::{digits, hex};

/// What every token begins with, so that scanners find one that lies where it should not.
const PREFIX: &str = "jst_";
const RANDOM_DIGITS: usize = 64;
const CHECKSUM_DIGITS: usize = 8;

/// A token: `jst_`, 256 random bits in 64 hexadecimal digits, and a checksum of 8.
///
/// The checksum is the beginning of the SHA-256 of all that stands before it. It protects nothing; it tells a token
/// that was mistyped or cut off from a wrong one. The text is wiped on drop.
pub struct Token(Zeroizing<String>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoToken {
    Form,
    /// It looks like one, but its checksum does not fit: it was mistyped, or a part of it is missing.
    Checksum,
}

impl Token {
    /// A fresh one.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn generate() -> Result<Self, Failure> {
        let mut random = Zeroizing::new([0; RANDOM_DIGITS / 2]);
        getrandom::fill(&mut *random).map_err(|why| Failure::new("random bytes", why))?;
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + RANDOM_DIGITS + CHECKSUM_DIGITS));
        text.push_str(PREFIX);
        text.extend(digits(&*random).map(char::from));
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Ok(Self(text))
    }

    /// Reads a token as somebody presents it.
    ///
    /// # Errors
    /// As [`NoToken`] says.
    pub fn parse(text: &str) -> Result<Self, NoToken> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let digits = text.strip_prefix(PREFIX).ok_or(NoToken::Form)?;
        if digits.is_empty() || !digits.bytes().all(is_digit) {
            return Err(NoToken::Form);
        }
        let (body, found) = text.split_at(text.len().saturating_sub(CHECKSUM_DIGITS).max(PREFIX.len()));
        if digits.len() != RANDOM_DIGITS + CHECKSUM_DIGITS || checksum(body) != found {
            return Err(NoToken::Checksum);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Whether `text` could be a token, or a part of one.
    pub fn is_alike(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The token itself. Every call is a place to look at in a review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The line by which the policy knows it.
    pub fn policy_line(&self) -> String {
        format!("token_sha256 = [\"{}\"]", self.hash())
    }

    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The SHA-256 of a token's text. Nobody finds 256 random bits from it, so a slow hash would add nothing.
///
/// Two are compared in a time that does not tell how much of them is the same.
#[derive(Clone, Debug, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Reads 64 hexadecimal digits, in lower case; none if they are not that.
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |digit: &u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let mut hash = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != hash.len() || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Some(Self(hash))
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        #[cfg(test)]
        COMPARISONS.set(COMPARISONS.get() + 1);
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for TokenHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

fn checksum(body: &str) -> String {
    hex(&Sha256::digest(body)[..CHECKSUM_DIGITS / 2])
}

#[cfg(test)]
thread_local! {
    /// How often hashes were compared, which is what an answer's time could tell of the policy.
    pub(super) static COMPARISONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_token_is_like_no_other_and_has_its_form() {
        let (one, other) = (Token::generate().unwrap(), Token::generate().unwrap());
        for token in [&one, &other] {
            assert_eq!(token.expose().len(), 76);
            assert!(token.expose().starts_with("jst_"));
            assert_eq!(Token::parse(token.expose()).unwrap().expose(), token.expose());
        }
        assert_ne!(one.expose(), other.expose());
        assert_ne!(one.hash(), other.hash());
        assert_eq!(format!("{one:?}"), "***");
    }

    #[test]
    fn a_token_and_its_hash_are_what_others_compute() {
        // printf jst_%064d 0 | sha256sum | cut -c 1-8, and sha256sum of the whole.
        let token = Token::parse(&format!("jst_{}59dd7611", "0".repeat(64))).unwrap();
        assert_eq!(token.hash().to_string(), "6e755baeba819e19d66c65fb6f5a6b620dfc9e9574a868f6385c1a18b08fc4a2");
    }

    #[test]
    fn whatever_is_mistyped_or_cut_off_is_told_from_what_is_no_token() {
        let token = Token::generate().unwrap();
        let text = token.expose();
        for at in 4..text.len() {
            let digit = if &text[at..=at] == "0" { "1" } else { "0" };
            let mistyped = format!("{}{digit}{}", &text[..at], &text[at + 1..]);
            assert_eq!(Token::parse(&mistyped).unwrap_err(), NoToken::Checksum, "{at}");
            assert_eq!(Token::parse(&text[..at]).unwrap_err(), if at == 4 { NoToken::Form } else { NoToken::Checksum });
        }
        assert_eq!(Token::parse(&format!("{text}0")).unwrap_err(), NoToken::Checksum);
        for other in ["", "jst", "jst_", "hvs.CAESI", &text.to_uppercase(), &format!(" {text}"), &format!("{text}\n")] {
            assert_eq!(Token::parse(other).unwrap_err(), NoToken::Form, "{other}");
        }
    }

    #[test]
    fn a_hash_is_64_digits_in_lower_case() {
        let text = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";
        let hash = TokenHash::parse(text).unwrap();
        assert_eq!(hash.to_string(), text);
        for wrong in ["", &text[1..], &format!("{text}00"), &text.to_uppercase(), &text.replace('0', "g")] {
            assert!(TokenHash::parse(wrong).is_none(), "{wrong}");
        }
        for at in 0..64 {
            let digit = if &text[at..=at] == "f" { "e" } else { "f" };
            let other = TokenHash::parse(&format!("{}{digit}{}", &text[..at], &text[at + 1..])).unwrap();
            assert_ne!(hash, other, "{at}");
        }
    }
}
