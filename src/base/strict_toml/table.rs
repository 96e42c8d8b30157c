//! A table that is emptied key by key.

use std::borrow::Cow;
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::value::{Value, quoted};
use crate::base::failure::{Failure, printable};
use crate::base::nearest::nearest;
use crate::base::source::Source;

/// A table of a document. Keys that were asked for are known; [`finish`](Self::finish) refuses all others.
pub struct Table<'d> {
    source: &'d Source,
    /// How messages call it, `[server]`; empty for the root.
    name: String,
    offset: usize,
    entries: DeTable<'d>,
    known: Vec<&'static str>,
}

impl<'d> Table<'d> {
    /// The table `entries`, which messages call `name` and which stands at byte `offset`.
    pub(super) fn new(source: &'d Source, name: String, offset: usize, entries: DeTable<'d>) -> Self {
        Self { source, name, offset, entries, known: Vec::new() }
    }

    /// Takes out the value of `key`, if it is there.
    pub fn value(&mut self, key: &'static str) -> Option<Value<'d>> {
        self.known.push(key);
        let value = self.entries.remove(key)?;
        let name = self.name_of(key);
        Some(Value { source: self.source, name, offset: value.span().start, value: value.into_inner() })
    }

    /// Takes out the value of `key` and has `read` make a `T` of it; without such a key, `target` stays as it is.
    ///
    /// Returns the value that was there, for checks that need more than one.
    ///
    /// # Errors
    /// That of `read`.
    pub fn set<T>(
        &mut self,
        key: &'static str,
        target: &mut T,
        read: impl FnOnce(&Value<'d>) -> Result<T, Failure>,
    ) -> Result<Option<Value<'d>>, Failure> {
        let value = self.value(key);
        if let Some(value) = &value {
            *target = read(value)?;
        }
        Ok(value)
    }

    /// Takes out the table `key`; an empty one if it is not there.
    ///
    /// # Errors
    /// If something else than a table has that name.
    pub fn table(&mut self, key: &'static str) -> Result<Table<'d>, Failure> {
        let path = self.path_of(key);
        match self.value(key) {
            None => Ok(Self::new(self.source, path, 0, DeTable::new())),
            Some(value) => into_table(value, path),
        }
    }

    /// Takes out the table `key`, if it is there.
    ///
    /// # Errors
    /// If something else than a table has that name.
    pub fn table_if_there(&mut self, key: &'static str) -> Result<Option<Table<'d>>, Failure> {
        let path = self.path_of(key);
        self.value(key).map(|value| into_table(value, path)).transpose()
    }

    /// Takes out the value of `key`, which must be there, and has `read` make a `T` of it.
    ///
    /// # Errors
    /// That of `read`, or that there is no such key.
    pub fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value<'d>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.value(key) {
            Some(value) => read(&value),
            None => Err(self.refuse(format_args!("lacks the key `{key}`"))),
        }
    }

    /// The tables that are left in this one, whatever their names are, in the order of the file.
    ///
    /// # Errors
    /// If something else than a table is among them, which is an unknown key if any was asked for.
    pub fn tables(self) -> Result<Vec<(String, Table<'d>)>, Failure> {
        let source = self.source;
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
            .into_iter()
            .map(|(key, value)| {
                let name = key.get_ref();
                let (offset, value) = (key.span().start, value.get_ref().clone());
                if !self.known.is_empty() && !value.is_table() {
                    return Err(self.unknown(name, offset));
                }
                let value = Value { source, name: self.name_of(name), offset, value };
                Ok((name.to_string(), into_table(value, self.path_of(name))?))
            })
            .collect()
    }

    /// The values that are left in this table, whatever their names are, in the order of the file.
    pub fn values(self) -> Vec<(String, Value<'d>)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let value = |(key, value): (&Spanned<Cow<'d, str>>, &Spanned<DeValue<'d>>)| {
            let (name, offset) = (self.name_of(key.get_ref()), value.span().start);
            let value = Value { source: self.source, name, offset, value: value.get_ref().clone() };
            (key.get_ref().to_string(), value)
        };
        entries.into_iter().map(value).collect()
    }

    /// Refuses what nobody asked for.
    ///
    /// # Errors
    /// Names the first key that is left over, and the known key that was probably meant, or all of them.
    pub fn finish(self) -> Result<(), Failure> {
        let Some(key) = self.entries.keys().min_by_key(|key| key.span().start) else {
            return Ok(());
        };
        Err(self.unknown(key.get_ref(), key.span().start))
    }

    fn unknown(&self, key: &str, offset: usize) -> Failure {
        let hint = match nearest(key, &self.known) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("known here: {}", quoted(&self.known)),
        };
        self.source.fail(offset, format_args!("unknown key {}; {hint}", self.name_of(key)))
    }

    /// The failure of this table for the reason `why`, at the place of its name.
    pub fn refuse(&self, why: impl fmt::Display) -> Failure {
        self.source.fail(self.offset, format_args!("{} {why}", self.name))
    }

    /// How messages call the value of `key`.
    fn name_of(&self, key: &str) -> String {
        match self.name.as_str() {
            "" => format!("`{}` at the top level", printable(key)),
            table => format!("`{}` in {table}", printable(key)),
        }
    }

    /// How messages call the table `key`: as its header would be written.
    fn path_of(&self, key: &str) -> String {
        let key = written(key);
        match self.name.strip_suffix(']') {
            None => format!("[{key}]"),
            Some(parent) => format!("{parent}.{key}]"),
        }
    }
}

impl<'d> Value<'d> {
    /// The table that it is; none if it is something else.
    pub fn table(&self) -> Option<Table<'d>> {
        let entries = self.value.as_table()?.clone();
        Some(Table::new(self.source, self.name.clone(), self.offset, entries))
    }
}

/// The table that `value` is, which messages call `name`.
fn into_table<'d>(value: Value<'d>, name: String) -> Result<Table<'d>, Failure> {
    match value.value {
        DeValue::Table(entries) => Ok(Table::new(value.source, name, value.offset, entries)),
        _ => Err(value.wrong_type("a table")),
    }
}

/// `key` as it is written in a file, for messages: within quotes, unless it can do without.
pub fn written(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if bare { key.to_owned() } else { format!("\"{}\"", printable(key)) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::base::strict_toml::Document;

    fn document(text: &str) -> Document {
        Document::new(Path::new("f.toml"), text)
    }

    #[test]
    fn a_key_that_nobody_knows_is_refused_with_the_nearest_one_that_is_known() {
        let document = document("# a comment\n[server]\n  bind_adr = \"127.0.0.1:1\"\n");
        let mut server = document.root().unwrap().table("server").unwrap();
        assert!(server.value("bind_addr").is_none());
        assert!(server.value("max_connections").is_none());
        assert_eq!(
            server.finish().unwrap_err().to_string(),
            "f.toml:3:3: unknown key `bind_adr` in [server]; did you mean `bind_addr`?"
        );
    }

    #[test]
    fn with_no_key_near_all_known_ones_are_listed() {
        let document = document("colour = 1");
        let mut root = document.root().unwrap();
        assert!(root.value("server").is_none() && root.value("paths").is_none());
        assert_eq!(
            root.finish().unwrap_err().to_string(),
            "f.toml:1:1: unknown key `colour` at the top level; known here: `server`, `paths`"
        );
    }

    #[test]
    fn of_several_unknown_keys_the_first_in_the_file_is_named() {
        let document = document("z = 1\na = 1");
        let error = document.root().unwrap().finish().unwrap_err().to_string();
        assert!(error.starts_with("f.toml:1:1: unknown key `z`"), "{error}");
    }

    #[test]
    fn an_unknown_key_cannot_forge_a_line_or_flood_the_log() {
        let document = document("\"a\\nb\\u001b\\u202e\" = 1");
        let error = document.root().unwrap().finish().unwrap_err().to_string();
        assert!(error.starts_with(r"f.toml:1:1: unknown key `a\nb\u{1b}\u{202e}`"), "{error}");
        let document = self::document(&format!("{} = 1", "k".repeat(1000)));
        let error = document.root().unwrap().finish().unwrap_err().to_string();
        assert!(error.contains(&format!("`{}…`", "k".repeat(200))), "{error}");
    }

    #[test]
    fn a_table_of_which_every_key_was_taken_is_in_order() {
        let document = document("a = 1\n[b]\n");
        let mut root = document.root().unwrap();
        assert!(root.value("a").is_some());
        root.table("b").unwrap().finish().unwrap();
        root.table("missing").unwrap().finish().unwrap();
        root.finish().unwrap();
    }

    #[test]
    fn a_value_that_is_set_replaces_the_default_and_a_missing_one_does_not() {
        let document = document("a = true");
        let mut root = document.root().unwrap();
        let (mut a, mut b) = (false, false);
        assert!(root.set("a", &mut a, Value::boolean).unwrap().is_some());
        assert!(root.set("b", &mut b, Value::boolean).unwrap().is_none());
        assert_eq!((a, b), (true, false));
    }

    #[test]
    fn the_tables_of_a_table_come_in_the_order_of_the_file_with_their_names() {
        let document = document("[clients.web]\nx = 1\n[clients.\"a.b\"]\nx = 1\n");
        let tables = document.root().unwrap().table("clients").unwrap().tables().unwrap();
        let errors: Vec<String> =
            tables.into_iter().map(|(name, table)| format!("{name}: {}", table.finish().unwrap_err())).collect();
        assert_eq!(errors[0], "web: f.toml:2:1: unknown key `x` in [clients.web]; known here: ");
        assert_eq!(errors[1], "a.b: f.toml:4:1: unknown key `x` in [clients.\"a.b\"]; known here: ");
    }

    #[test]
    fn among_tables_nothing_else_may_stand() {
        let document = document("[clients]\nweb = 1\n");
        let error = document.root().unwrap().table("clients").unwrap().tables().err().unwrap().to_string();
        assert_eq!(error, "f.toml:2:1: `web` in [clients] must be a table, found an integer");
    }

    #[test]
    fn a_table_is_refused_at_its_name() {
        let document = document("\n[clients.web]\n");
        let tables = document.root().unwrap().table("clients").unwrap().tables().unwrap();
        let error = tables[0].1.refuse("is not welcome").to_string();
        assert_eq!(error, "f.toml:2:10: [clients.web] is not welcome");
    }
}
