//! How the JSON of etcd's gateway says bytes and 64-bit numbers: in base64, and as strings.

use std::borrow::Cow;
use std::fmt;

use base64::STANDARD;
use base64::display::Base64Display;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes, as they are sent.
pub struct Base64<'a>(pub &'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Encoded piece by piece into the request, and not as a whole before.
        serializer.collect_str(&Base64Display::with_config(self.0, STANDARD))
    }
}

/// Bytes, as they are answered.
#[derive(Default)]
pub struct Bytes(pub Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Bytes, E> {
                base64::decode(text).map(Bytes).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A 64-bit number.
#[derive(Clone, Copy, Default)]
pub struct Number(pub i64);

impl Number {
    /// The number, or none where it is left out.
    pub fn unless_zero(number: u64) -> Option<Self> {
        (number != 0).then(|| Self::of(number))
    }

    pub fn of(number: u64) -> Self {
        Self(i64::try_from(number).unwrap_or(i64::MAX))
    }

    pub fn get(self) -> u64 {
        self.0.try_into().unwrap_or(0)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}
