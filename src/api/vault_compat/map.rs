//! Maps of Vault as values: `{"value":"text"}` is the text, and any other map is its JSON, marked by a label.
//!
//! What is a map is never guessed by its form: a JSON document that was stored as a text stays one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::api::problem::Problem;
use crate::base::secret::{Plaintext, wiped_json};
use crate::vault::Settings;

/// The label of a secret whose value is a map.
pub const LABEL: &str = "vault-map";

/// What a secret without that label has as its one field.
const VALUE: &str = "value";

/// How deep maps may lie in one another where one is merged into another.
const MAX_DEPTH: usize = 64;

/// A value as Vault shows it.
pub enum Shown<'a> {
    Text(&'a str),
    Map(&'a RawValue),
}

impl<'a> Shown<'a> {
    /// Where the value was replaced by what is no map, and the label was left, it is a text.
    pub fn of(value: &'a str, settings: &Settings) -> Self {
        let map = settings.labels.contains_key(LABEL).then(|| serde_json::from_str::<&RawValue>(value).ok()).flatten();
        match map.filter(|map| is_object(map)) {
            Some(map) => Self::Map(map),
            None => Self::Text(value),
        }
    }

    /// The map that it is after `patch` is merged into it (RFC 7396).
    pub fn merged(&self, patch: &RawValue) -> Result<Merged, Problem> {
        let whole = wiped_json(self);
        let target: &RawValue = serde_json::from_slice(&whole).expect("it was written as JSON");
        let mut merged = String::with_capacity(target.get().len() + patch.get().len());
        merge(&mut merged, Some(target), patch, MAX_DEPTH)?;
        Ok(Merged(Plaintext::new(merged)))
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.collect_map([(VALUE, text)]),
            Self::Map(map) => map.serialize(serializer),
        }
    }
}

/// A map that was put together.
pub struct Merged(Plaintext);

impl Merged {
    pub fn map(&self) -> &RawValue {
        serde_json::from_str(self.0.expose()).expect("it was put together of JSON")
    }
}

/// A map as it is stored: the value, and whether it needs the label.
pub fn stored(map: &RawValue) -> Result<(Plaintext, bool), Problem> {
    let no_map = || Problem::bad_request("the data must be a JSON object, such as {\"value\":\"…\"}");
    let fields = if is_object(map) { Fields::of(map) } else { None }.ok_or_else(no_map)?.0;
    let keys = fields.iter().map(|(key, _)| key).collect::<BTreeSet<_>>();
    if keys.len() < fields.len() {
        return Err(Problem::bad_request("a key of the data is given more than once"));
    }
    match &fields[..] {
        [] => Err(Problem::bad_request("no data provided")),
        [(key, text)] if key == VALUE && text.get().starts_with('"') => {
            Ok((serde_json::from_str(text.get()).map_err(|_| no_map())?, false))
        }
        _ => Ok((compact(map.get()), true)),
    }
}

fn is_object(json: &RawValue) -> bool {
    json.get().starts_with('{')
}

/// The fields of a JSON object in their order, the values as they stand there.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    fn of(object: &'a RawValue) -> Option<Self> {
        serde_json::from_str(object.get()).ok()
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(All)
    }
}

/// JSON without the white space between its words.
fn compact(json: &str) -> Plaintext {
    let mut compact = String::with_capacity(json.len());
    let (mut in_string, mut is_escaped) = (false, false);
    for c in json.chars() {
        if in_string || !c.is_ascii_whitespace() {
            compact.push(c);
        }
        match c {
            '"' if !is_escaped => in_string = !in_string,
            _ => {}
        }
        is_escaped = in_string && c == '\\' && !is_escaped;
    }
    Plaintext::new(compact)
}

/// Writes `target` with `patch` merged into it, which is an object.
fn merge(out: &mut String, target: Option<&RawValue>, patch: &RawValue, depth: usize) -> Result<(), Problem> {
    let no_map = || Problem::bad_request("the data must be a JSON object, and maps in it not too deep in one another");
    let Fields(patch) = Fields::of(patch).filter(|_| depth > 0).ok_or_else(no_map)?;
    let Fields(before) = match target.filter(|target| is_object(target)) {
        Some(target) => Fields::of(target).ok_or_else(no_map)?,
        None => Fields(Vec::new()),
    };
    let changes: BTreeMap<_, _> = patch.iter().map(|(key, change)| (key.as_str(), *change)).collect();
    let known: BTreeSet<_> = before.iter().map(|(key, _)| key.as_str()).collect();
    let changed = before.iter().map(|(key, value)| (key.as_str(), Some(*value), changes.get(key.as_str()).copied()));
    let added = patch.iter().map(|(key, change)| (key.as_str(), None, Some(*change)));
    let added = added.filter(|(key, ..)| !known.contains(key));
    let mut separator = '{';
    for (key, value, change) in changed.chain(added) {
        if change.is_some_and(|change| change.get() == "null") {
            continue;
        }
        out.push(separator);
        separator = ',';
        out.push_str(&serde_json::to_string(key).expect("a text is plain data"));
        out.push(':');
        match change {
            Some(change) if is_object(change) => merge(out, value, change, depth - 1)?,
            change => out.push_str(change.or(value).map_or("null", RawValue::get)),
        }
    }
    out.push_str(if separator == '{' { "{}" } else { "}" });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    fn labelled() -> Settings {
        Settings { labels: BTreeMap::from([(LABEL.to_owned(), "true".to_owned())]), ..Settings::default() }
    }

    #[test]
    fn a_text_is_stored_as_it_is_and_any_other_map_as_its_json_with_a_label() {
        let stored = |json: &str| stored(raw(json)).map(|(value, is_map)| (value.expose().to_owned(), is_map)).ok();
        assert_eq!(stored(r#"{"value":"te\"xt\n"}"#), Some(("te\"xt\n".to_owned(), false)));
        for (json, compact) in [
            (r#"{"value":1}"#, r#"{"value":1}"#),
            (r#"{"value":null}"#, r#"{"value":null}"#),
            (r#"{ "value" : "a" , "b" : [ 1, { } ] }"#, r#"{"value":"a","b":[1,{}]}"#),
            (r#"{"a b":" c \" d \\","e": "\\" }"#, r#"{"a b":" c \" d \\","e":"\\"}"#),
            ("{\t\"k\" :\n\"\u{1f511} \u{a0}\"}", "{\"k\":\"\u{1f511} \u{a0}\"}"),
        ] {
            assert_eq!(stored(json), Some((compact.to_owned(), true)), "{json}");
        }
        for json in ["{}", "[]", "1", "\"value\"", r#"{"a":1,"a":2}"#] {
            assert_eq!(stored(json), None, "{json}");
        }
    }

    #[test]
    fn a_value_is_a_map_where_the_label_says_so_and_it_is_one() {
        let shown = |value, settings: &Settings| serde_json::to_string(&Shown::of(value, settings)).unwrap();
        let json = r#"{"a":{"b":1}}"#;
        assert_eq!(shown(json, &labelled()), json);
        assert_eq!(shown(json, &Settings::default()), r#"{"value":"{\"a\":{\"b\":1}}"}"#);
        for text in ["no map", "[1]", "1", "{", "{}}"] {
            assert_eq!(shown(text, &labelled()), serde_json::json!({ "value": text }).to_string());
        }
    }

    #[test]
    fn a_patch_is_merged_as_rfc_7396_says() {
        let merged = |target: &str, patch| Shown::of(target, &labelled()).merged(raw(patch)).unwrap();
        let is = |target, patch, expected| assert_eq!(merged(target, patch).map().get(), expected);
        is(r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#);
        is(r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#);
        is(r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#);
        is(r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#);
        is(r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#);
        is(r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#);
        is(r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#);
        is(r#"{"a":"foo"}"#, r#"{"a":{"b":{"c":null}}}"#, r#"{"a":{"b":{}}}"#);
        is(r#"{"a":1}"#, r#"{"a":null}"#, "{}");
        is("a text", r#"{"user":"u"}"#, r#"{"value":"a text","user":"u"}"#);
        is("a text", r#"{"value":"another"}"#, r#"{"value":"another"}"#);
    }

    #[test]
    fn a_patch_of_a_map_that_cannot_be_taken_apart_loses_nothing_of_it() {
        let before = r#"{"a":{"\ud800":1}}"#;
        let merged = |patch| Shown::of(before, &labelled()).merged(raw(patch)).map(|merged| merged.map().to_string());
        assert_eq!(merged(r#"{"b":2}"#).unwrap(), r#"{"a":{"\ud800":1},"b":2}"#);
        assert_eq!(merged(r#"{"a":{"b":2}}"#).unwrap_err().status(), 400);
    }

    #[test]
    fn a_patch_that_lies_too_deep_is_refused() {
        let deep = |depth| (0..depth).fold("1".to_owned(), |json, _| format!(r#"{{"a":{json}}}"#));
        let merged = |depth| Shown::Text("a").merged(raw(&deep(depth))).map(drop);
        assert!(merged(MAX_DEPTH).is_ok());
        assert_eq!(merged(MAX_DEPTH + 1).unwrap_err().status(), 400);
        assert_eq!(merged(20_000).unwrap_err().status(), 400);
    }
}
