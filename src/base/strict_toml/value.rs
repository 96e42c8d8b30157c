//! A value, and what can be made of it.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use toml::de::DeValue;

use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::base::source::Source;

/// A value of a document, with its place for the messages.
pub struct Value<'d> {
    pub(super) source: &'d Source,
    /// How messages call it: `` `bind_addr` in [server] ``.
    pub(super) name: String,
    pub(super) offset: usize,
    pub(super) value: DeValue<'d>,
}

impl<'d> Value<'d> {
    /// The failure of this value for the reason `why`: `<file>:<line>:<column>: <key> in <table> <why>`.
    pub fn refuse(&self, why: impl fmt::Display) -> Failure {
        self.source.fail(self.offset, format_args!("{} {why}", self.name))
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// If it is of another type, as for all that follow.
    pub fn boolean(&self) -> Result<bool, Failure> {
        self.value.as_bool().ok_or_else(|| self.wrong_type("true or false"))
    }

    pub fn string(&self) -> Result<&str, Failure> {
        self.value.as_str().ok_or_else(|| self.wrong_type("a string"))
    }

    /// A whole number in `range`.
    pub fn integer<T>(&self, range: RangeInclusive<T>) -> Result<T, Failure>
    where
        T: TryFrom<i128> + PartialOrd + fmt::Display,
    {
        let expected = format!("an integer from {} to {}", range.start(), range.end());
        let integer = self.value.as_integer().ok_or_else(|| self.wrong_type(&expected))?;
        i128::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .and_then(|integer| T::try_from(integer).ok())
            .filter(|integer| range.contains(integer))
            .ok_or_else(|| self.refuse(format_args!("must be {expected}")))
    }

    /// One of a few words, each of which stands for a `T`.
    pub fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, Failure> {
        let text = self.string()?;
        words.iter().find(|(word, _)| *word == text).map(|(_, meant)| *meant).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let one_of = if words.len() > 1 { "one of " } else { "" };
            self.refuse(format_args!("must be {one_of}{}", quoted(&words)))
        })
    }

    /// A day, as its first moment in UTC, not before 1970.
    pub fn date(&self) -> Result<Timestamp, Failure> {
        let expected = "a date, such as 2027-01-31";
        let found = self.value.as_datetime().ok_or_else(|| self.wrong_type(expected))?;
        let wrong = || self.refuse(format_args!("must be {expected}"));
        if found.time.is_some() {
            return Err(wrong());
        }
        humantime::parse_rfc3339(&format!("{found}T00:00:00Z")).map(Timestamp::from).map_err(|_| wrong())
    }

    /// A path; whether anything is there is not looked at.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        match self.string()? {
            "" => Err(self.refuse("must not be empty")),
            text if text.contains('\0') => Err(self.refuse("must not hold a NUL character")),
            text => Ok(text.into()),
        }
    }

    /// An IP address and a port.
    pub fn socket_addr(&self) -> Result<SocketAddr, Failure> {
        self.string()?
            .parse()
            .map_err(|_| self.refuse("must be an IP address and a port, such as \"127.0.0.1:8081\" or \"[::1]:8081\""))
    }

    /// An array, each element of which `read` makes a `T` of.
    pub fn list<T>(&self, read: impl Fn(&Value<'d>) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
        let elements = self.value.as_array().ok_or_else(|| self.wrong_type("an array"))?;
        elements
            .iter()
            .map(|element| {
                let name = format!("an element of {}", self.name);
                let (offset, value) = (element.span().start, element.get_ref().clone());
                read(&Value { source: self.source, name, offset, value })
            })
            .collect()
    }

    pub(super) fn wrong_type(&self, expected: &str) -> Failure {
        let found = self.value.type_str();
        let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
        self.refuse(format_args!("must be {expected}, found {article} {found}"))
    }
}

/// `words` as they stand in a message.
pub(super) fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::base::strict_toml::Document;

    fn document(text: &str) -> Document {
        Document::new(Path::new("f.toml"), text)
    }

    /// What is wrong with the value of `key`, according to `read`.
    fn error<T>(text: &str, read: impl FnOnce(&Value<'_>) -> Result<T, Failure>) -> String {
        let document = document(text);
        let value = document.root().unwrap().value("key").unwrap();
        read(&value).err().unwrap().to_string()
    }

    #[test]
    fn a_value_of_another_type_is_refused_at_its_place() {
        assert_eq!(
            error("key = \"no\"", |value| value.boolean()),
            "f.toml:1:7: `key` at the top level must be true or false, found a string"
        );
        assert_eq!(
            error("\nkey   = 1.5", |value| value.string().map(str::to_owned)),
            "f.toml:2:9: `key` at the top level must be a string, found a float"
        );
        assert_eq!(
            error("key = [1]", |value| value.integer(0..=9)),
            "f.toml:1:7: `key` at the top level must be an integer from 0 to 9, found an array"
        );
        assert_eq!(
            error("key = 1979-05-27", |value| value.list(Value::path)),
            "f.toml:1:7: `key` at the top level must be an array, found a datetime"
        );
        let document = document("key = 3");
        let error = document.root().unwrap().table("key").err().unwrap().to_string();
        assert_eq!(error, "f.toml:1:7: `key` at the top level must be a table, found an integer");
    }

    #[test]
    fn integers_are_held_to_their_range_however_they_are_written() {
        let read = |text: &str| {
            let document = document(text);
            let value = document.root().unwrap().value("key").unwrap();
            value.integer(1..=36_500u32)
        };
        for (text, number) in [("1", 1), ("36_500", 36_500), ("0x10", 16), ("0b11", 3), ("0o17", 15), ("+7", 7)] {
            assert_eq!(read(&format!("key = {text}")).unwrap(), number, "{text}");
        }
        for text in ["0", "-1", "36501", "4294967297", "0xffffffffffffffff", &"9".repeat(60)] {
            let error = read(&format!("key = {text}")).unwrap_err().to_string();
            assert_eq!(error, "f.toml:1:7: `key` at the top level must be an integer from 1 to 36500", "{text}");
        }
    }

    #[test]
    fn a_word_that_is_not_offered_is_refused_with_those_that_are() {
        assert_eq!(
            error("key = 'loud'", |value| value.one_of(&[("on", 1), ("off", 0)])),
            "f.toml:1:7: `key` at the top level must be one of `on`, `off`"
        );
        assert_eq!(
            error("key = 'rot13'", |value| value.one_of(&[("aes-gcm-256", ())])),
            "f.toml:1:7: `key` at the top level must be `aes-gcm-256`"
        );
    }

    #[test]
    fn a_path_is_neither_empty_nor_cut_short_by_a_nul() {
        assert_eq!(error("key = ''", |value| value.path()), "f.toml:1:7: `key` at the top level must not be empty");
        let error = error("key = \"a\\u0000b\"", |value| value.path());
        assert_eq!(error, "f.toml:1:7: `key` at the top level must not hold a NUL character");
    }

    #[test]
    fn an_address_is_an_ip_address_and_a_port() {
        for text in ["localhost:8081", "127.0.0.1", ":8081", "127.0.0.1:65536", "::1:80", ""] {
            let error = error(&format!("key = '{text}'"), |value| value.socket_addr());
            assert!(error.contains("must be an IP address and a port, such as \"127.0.0.1:8081\""), "{error}");
        }
        let document = document("key = '[::1]:8081'");
        let value = document.root().unwrap().value("key").unwrap();
        assert_eq!(value.socket_addr().unwrap(), "[::1]:8081".parse().unwrap());
    }

    #[test]
    fn a_wrong_element_of_an_array_is_refused_at_its_own_place() {
        assert_eq!(
            error("key = ['a',\n  7]", |value| value.list(Value::path)),
            "f.toml:2:3: an element of `key` at the top level must be a string, found an integer"
        );
    }
}
