//! Makes new values, from the system's random numbers.

mod bytes;
mod password;

use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::base::failure::Failure;
use crate::base::secret::Plaintext;
use bytes::{base64, hex, uuid};
use password::{Class, all_classes, password, urlsafe};

/// What a `generate` in a request may be; an error says this and never what was found instead, for that may be a value
/// in the wrong place.
const FORM: &str = concat!(
    r#"`true` or one of {"type":"base64","bytes":32}, {"type":"hex","bytes":32}, "#,
    r#"{"type":"password","length":24,"classes":["lower","upper","digits","symbols"],"look_alikes":false}, "#,
    r#"{"type":"urlsafe","length":32} and {"type":"uuid"}, with bytes from 16 to 1024, length from 12 to 1024 and at least one class"#,
);

/// The types of generators, each of which has defaults for all else.
pub const TYPES: [&str; 5] = ["base64", "hex", "password", "urlsafe", "uuid"];

/// How the values of a secret are made.
///
/// In JSON, `true` is the default, 32 bytes in base64; every other one, and each one that is written, is an object
/// like `{"type":"hex","bytes":32}`, of which all but the type may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Generator(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Kind {
    Base64 {
        #[serde(default = "default_bytes", deserialize_with = "whole")]
        bytes: usize,
    },
    Hex {
        #[serde(default = "default_bytes", deserialize_with = "whole")]
        bytes: usize,
    },
    Password {
        #[serde(default = "default_length", deserialize_with = "whole")]
        length: usize,
        #[serde(default = "all_classes")]
        classes: BTreeSet<Class>,
        #[serde(default)]
        look_alikes: bool,
    },
    Urlsafe {
        #[serde(default = "default_urlsafe_length", deserialize_with = "whole")]
        length: usize,
    },
    // Not a unit variant, for that would accept unknown fields.
    Uuid {},
}

fn default_bytes() -> usize {
    32
}

fn default_length() -> usize {
    24
}

fn default_urlsafe_length() -> usize {
    32
}

impl Default for Generator {
    fn default() -> Self {
        Self(Kind::Base64 { bytes: default_bytes() })
    }
}

impl Generator {
    /// A new value.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn generate(&self) -> Result<Plaintext, Failure> {
        match &self.0 {
            Kind::Base64 { bytes } => base64(*bytes),
            Kind::Hex { bytes } => hex(*bytes),
            Kind::Password { length, classes, look_alikes } => password(*length, classes, *look_alikes),
            Kind::Urlsafe { length } => urlsafe(*length),
            Kind::Uuid {} => uuid(),
        }
    }
}

impl Kind {
    fn is_in_bounds(&self) -> bool {
        match self {
            Self::Base64 { bytes } | Self::Hex { bytes } => (16..=1024).contains(bytes),
            Self::Password { length, classes, .. } => (12..=1024).contains(length) && !classes.is_empty(),
            Self::Urlsafe { length } => (12..=1024).contains(length),
            Self::Uuid {} => true,
        }
    }
}

impl<'de> Deserialize<'de> for Generator {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Generator;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(FORM)
            }

            fn visit_bool<E: Error>(self, default: bool) -> Result<Generator, E> {
                if default { Ok(Generator::default()) } else { Err(wrong()) }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Generator, A::Error> {
                Kind::deserialize(MapAccessDeserializer::new(map))
                    .ok()
                    .filter(Kind::is_in_bounds)
                    .map(Generator)
                    .ok_or_else(wrong)
            }

            // Left to themselves, these would quote what they found.
            fn visit_str<E: Error>(self, _: &str) -> Result<Generator, E> {
                Err(wrong())
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Generator, E> {
                Err(wrong())
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Generator, E> {
                Err(wrong())
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Generator, E> {
                Err(wrong())
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// Reads a number without a fraction. JSON has one kind of number, and some programs write 32 as `32.0`.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let number = f64::deserialize(deserializer)?;
    let is_whole = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
    if is_whole { Ok(number as usize) } else { Err(wrong()) }
}

fn wrong<E: Error>() -> E {
    E::custom(format_args!("expected {FORM}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Generator {
        serde_json::from_str(json).unwrap()
    }

    fn generate(json: &str) -> String {
        parse(json).generate().unwrap().expose().to_owned()
    }

    fn canonical(json: &str) -> String {
        serde_json::to_string(&parse(json)).unwrap()
    }

    #[test]
    fn true_is_the_default_and_what_is_left_out_is_written_out() {
        assert_eq!(parse("true"), Generator::default());
        assert_eq!(canonical("true"), r#"{"type":"base64","bytes":32}"#);
        assert_eq!(canonical(r#"{"type":"base64"}"#), r#"{"type":"base64","bytes":32}"#);
        assert_eq!(canonical(r#"{"bytes":16,"type":"hex"}"#), r#"{"type":"hex","bytes":16}"#);
        assert_eq!(canonical(r#"{"type":"uuid"}"#), r#"{"type":"uuid"}"#);
        assert_eq!(canonical(r#"{"type":"urlsafe"}"#), r#"{"type":"urlsafe","length":32}"#);
        assert_eq!(
            canonical(r#"{"type":"password"}"#),
            r#"{"type":"password","length":24,"classes":["lower","upper","digits","symbols"],"look_alikes":false}"#
        );
        assert_eq!(
            canonical(r#"{"type":"password","classes":["digits","lower","digits"]}"#),
            r#"{"type":"password","length":24,"classes":["lower","digits"],"look_alikes":false}"#
        );
    }

    #[test]
    fn the_canonical_form_is_read_back_as_the_same_generator() {
        for json in ["true", r#"{"type":"hex"}"#, r#"{"type":"uuid"}"#, r#"{"type":"password","look_alikes":true}"#] {
            assert_eq!(parse(&canonical(json)), parse(json), "{json}");
        }
    }

    #[test]
    fn whatever_is_wrong_the_error_says_what_is_allowed_and_repeats_nothing() {
        for json in [
            "false",
            "null",
            "7777",
            "-7777",
            "77.77",
            r#""canary""#,
            r#"["canary"]"#,
            "{}",
            r#"{"bytes":32}"#,
            r#"{"type":"canary"}"#,
            r#"{"type":7777}"#,
            r#"{"type":"base64","canary":1}"#,
            r#"{"type":"base64","bytes":"canary"}"#,
            r#"{"type":"base64","bytes":32,"bytes":7777}"#,
            r#"{"type":"hex","length":7777}"#,
            r#"{"type":"uuid","bytes":7777}"#,
            r#"{"type":"urlsafe","classes":["lower"]}"#,
            r#"{"type":"urlsafe","length":7777}"#,
            r#"{"type":"password","classes":["canary"]}"#,
            r#"{"type":"password","classes":[]}"#,
            r#"{"type":"password","look_alikes":"canary"}"#,
        ] {
            let error = serde_json::from_str::<Generator>(json).unwrap_err().to_string();
            assert!(error.contains(FORM), "{json}: {error}");
            assert!(!error.contains("canary") && !error.contains("77"), "{json}: {error}");
        }
    }

    #[test]
    fn each_type_that_is_told_is_enough_by_itself_and_stands_in_the_form() {
        for kind in TYPES {
            let json = format!("{{\"type\":\"{kind}\"}}");
            assert!(
                serde_json::from_str::<Generator>(&json).is_ok() && FORM.contains(&json[..json.len() - 1]),
                "{kind}"
            );
        }
        assert_eq!(FORM.matches("{\"type\":").count(), TYPES.len());
    }

    #[test]
    fn the_example_of_every_type_in_the_error_is_what_it_says() {
        let examples: Vec<&str> =
            FORM.split(' ').filter(|word| word.starts_with('{')).map(|json| json.trim_end_matches(',')).collect();
        assert_eq!(examples.len(), 5);
        for json in examples {
            assert_eq!(canonical(json), json, "all defaults are shown");
        }
    }

    #[test]
    fn sizes_at_the_bounds_are_taken_and_those_beyond_are_not() {
        for (name, key, least, most) in [
            ("base64", "bytes", 16, 1024),
            ("hex", "bytes", 16, 1024),
            ("password", "length", 12, 1024),
            ("urlsafe", "length", 12, 1024),
        ] {
            let json = |size: i32| format!(r#"{{"type":"{name}","{key}":{size}}}"#);
            for inside in [least, most] {
                assert!(!generate(&json(inside)).is_empty());
            }
            for outside in [-1, 0, least - 1, most + 1] {
                assert!(serde_json::from_str::<Generator>(&json(outside)).is_err(), "{}", json(outside));
            }
        }
    }

    #[test]
    fn a_size_is_a_whole_number_however_it_is_written() {
        for size in ["32", "32.0", "3.2e1", "320e-1"] {
            assert_eq!(parse(&format!(r#"{{"type":"hex","bytes":{size}}}"#)), parse(r#"{"type":"hex"}"#), "{size}");
        }
        for size in ["32.5", "1e300", "-32.0", r#""32""#, "null", "true"] {
            let json = format!(r#"{{"type":"password","length":{size}}}"#);
            assert!(serde_json::from_str::<Generator>(&json).is_err(), "{size}");
        }
    }

    #[test]
    fn base64_and_hex_hold_the_bytes_asked_for() {
        for bytes in 16..64 {
            let text = generate(&format!(r#"{{"type":"base64","bytes":{bytes}}}"#));
            assert_eq!(base64::decode_config(&text, base64::STANDARD).unwrap().len(), bytes);
            let text = generate(&format!(r#"{{"type":"hex","bytes":{bytes}}}"#));
            assert_eq!(text.len(), 2 * bytes);
            assert!(text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')), "{text}");
        }
        assert_eq!(generate("true").len(), 44);
    }

    #[test]
    fn a_uuid_is_of_version_4_and_in_lower_case() {
        for _ in 0..256 {
            let text = generate(r#"{"type":"uuid"}"#);
            let shape: String = text
                .char_indices()
                .map(|(i, c)| match (i, c) {
                    (14, '4') => '4',
                    (19, '8' | '9' | 'a' | 'b') => 'v',
                    (_, '0'..='9' | 'a'..='f') => 'x',
                    (_, c) => c,
                })
                .collect();
            assert_eq!(shape, "xxxxxxxx-xxxx-4xxx-vxxx-xxxxxxxxxxxx");
        }
    }

    #[test]
    fn no_value_is_made_twice() {
        for json in
            ["true", r#"{"type":"hex"}"#, r#"{"type":"password"}"#, r#"{"type":"urlsafe"}"#, r#"{"type":"uuid"}"#]
        {
            let values: BTreeSet<String> = (0..100).map(|_| generate(json)).collect();
            assert_eq!(values.len(), 100, "{json}");
        }
    }
}
