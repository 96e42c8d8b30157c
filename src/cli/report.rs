//! What a command finds out step by step: told to a person as it comes, or to a program at the end, as one JSON object.

use std::fmt::Display;

use serde_json::Value;

use super::command::{Arguments, JSON};
use super::exit::Exit;
use super::output;
use crate::base::object::{Object, object};

/// The field that all warnings are in; it is there without any, too.
pub const WARNINGS: &str = "warnings";

pub struct Report {
    /// What a program is told at the end; none: a person is told.
    told: Option<Object>,
}

impl Report {
    /// One for whoever the command was called by: with `--json`, a program.
    pub fn begin(arguments: &Arguments) -> Self {
        let told = || object([(WARNINGS, Vec::<Value>::new().into())]);
        Self { told: arguments.has(&JSON).then(told) }
    }

    /// Tells a person this line, or a program these fields.
    ///
    /// # Errors
    /// If the line cannot be written.
    pub fn tell(&mut self, line: impl Display, fields: Object) -> Result<(), Exit> {
        match &mut self.told {
            Some(told) => told.extend(fields),
            None => output::tell(line)?,
        }
        Ok(())
    }

    /// The same of one of several things, which stand together in the field `name`.
    ///
    /// # Errors
    /// As [`tell`](Self::tell).
    pub fn tell_one(&mut self, line: impl Display, name: &str, item: Value) -> Result<(), Exit> {
        match &mut self.told {
            Some(told) => match told.entry(name).or_insert_with(|| Vec::<Value>::new().into()) {
                Value::Array(items) => items.push(item),
                _ => unreachable!("{name} is a list"),
            },
            None => output::tell(line)?,
        }
        Ok(())
    }

    /// Tells of something that is dangerous, and keeps nobody from going on.
    ///
    /// # Errors
    /// As [`tell`](Self::tell).
    pub fn warn(&mut self, why: impl Display) -> Result<(), Exit> {
        let why = why.to_string();
        self.tell_one(format_args!("warning: {why}"), WARNINGS, why.as_str().into())
    }

    /// Tells a program all of it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn end(self) -> Result<(), Exit> {
        self.told.map_or(Ok(()), output::print_object)
    }
}
