//! A JSON object that is put together field by field: what a command tells a program.

use std::path::Path;

use serde_json::{Map, Value};

/// The fields of a JSON object.
pub type Object = Map<String, Value>;

/// The object with these fields.
pub fn object<const N: usize>(fields: [(&str, Value); N]) -> Object {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A path as text; what of it is not UTF-8 is replaced, as in a message.
pub fn path(path: &Path) -> Value {
    path.to_string_lossy().into()
}
