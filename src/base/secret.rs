//! The type that holds a plaintext: zeroed on drop, prints as `***`, copied only on purpose.

use std::fmt;
use std::io::{self, Write};

use serde::{Deserialize, Deserializer, Serialize, de::Visitor};
use zeroize::{Zeroize, Zeroizing};

/// Bytes that are wiped when they are dropped: a request's body, an answer that holds a value, a key.
pub type Wiped = Zeroizing<Vec<u8>>;

/// A secret's plaintext, which is UTF-8.
///
/// It has neither `Clone` nor `Serialize`, and `Debug` and `Display` print `***`: what leaves it, leaves by [`expose`](Self::expose).
pub struct Plaintext(String);

impl Plaintext {
    /// Takes `text` over; the caller keeps no copy.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The value itself. Every call is a place to look at in a review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Plaintext {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Plaintext {
    /// Reads a string; an error names the type that was found and never shows what stood there.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Plaintext;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Plaintext, E> {
                Ok(Plaintext::new(text.to_owned()))
            }

            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Plaintext, E> {
                Ok(Plaintext::new(text))
            }

            fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Plaintext, E> {
                Err(E::custom("expected a string, found a boolean"))
            }

            fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Plaintext, E> {
                Err(E::custom("expected a string, found a number"))
            }

            fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Plaintext, E> {
                Err(E::custom("expected a string, found a number"))
            }

            fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Plaintext, E> {
                Err(E::custom("expected a string, found a number"))
            }
        }
        // Not `deserialize_str`: serde_json would then quote a number that stands there in its error.
        deserializer.deserialize_any(Text)
    }
}

/// What of a file, or of what a program has printed, is a value.
///
/// Behind a single line there is a newline that is not meant, for `echo` and editors put it there. What has several lines is
/// taken as it is: the last newline is a part of it, and an SSH key cannot be used without.
pub fn value_of(given: &[u8]) -> &[u8] {
    match given.strip_suffix(b"\n") {
        Some(line) if !line.contains(&b'\n') => line,
        _ => given,
    }
}

/// `content`, which may hold a value, as JSON.
pub fn wiped_json(content: &impl Serialize) -> Wiped {
    let mut size = Count(0);
    serde_json::to_writer(&mut size, content).expect("what is sent is plain data");
    // Sized at first, so that it never moves and leaves a copy behind.
    let mut bytes = Wiped::new(Vec::with_capacity(size.0));
    serde_json::to_writer(&mut *bytes, content).expect("what is sent is plain data");
    bytes
}

struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plaintext_never_prints() {
        let value = Plaintext::new("hunter2".to_owned());
        assert_eq!(format!("{value} {value:?}"), "*** ***");
        assert_eq!(value.expose(), "hunter2");
    }

    #[test]
    fn only_a_single_line_loses_the_newline_at_its_end() {
        for (given, value) in [
            ("one\n", "one"),
            ("one", "one"),
            ("\n", ""),
            ("", ""),
            ("one\r\n", "one\r"),
            ("one\ntwo\n", "one\ntwo\n"),
            ("one\ntwo", "one\ntwo"),
            ("\ntwo\n", "\ntwo\n"),
            ("one\n\n", "one\n\n"),
        ] {
            assert_eq!(value_of(given.as_bytes()), value.as_bytes(), "{given:?}");
        }
    }

    #[test]
    fn an_error_in_json_does_not_show_the_value() {
        let error = serde_json::from_str::<Plaintext>("314159").unwrap_err().to_string();
        assert!(!error.contains("314159"), "{error}");
    }
}
