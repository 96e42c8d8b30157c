//! JSON in and out.

use std::fmt;
use std::io::Cursor;
use std::marker::PhantomData;

use rouille::{Response, ResponseBody};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::problem::Problem;
use crate::secret::wiped_json;

/// Reads a request's body. `form` shows what is expected.
///
/// The parser's own words are not passed on: they quote what they found, and that may be a value in the wrong place.
pub fn read<T: DeserializeOwned>(body: &[u8], form: &str) -> Result<T, Problem> {
    // A list of the values alone, in the order of the fields, would pass for an object.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::bad_request(format!("the body is a list and not of the form {form}")));
    }
    serde_json::from_slice(body).map_err(|why| {
        let what = if why.is_data() { "the body's JSON has not the form" } else { "the body is not JSON of the form" };
        Problem::bad_request(format!("{what} {form}: see line {}, column {}", why.line(), why.column()))
    })
}

/// A JSON object, read as a `T`, which must not be a list of the values alone in the order of the fields.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields))
            }
        }
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

/// An answer that holds a value: its bytes are wiped when they are sent.
pub fn answer_wiped(content: &impl Serialize) -> Response {
    let bytes = wiped_json(content);
    let length = bytes.len();
    let mut response = Response::json(&());
    response.data = ResponseBody::from_reader_and_size(Cursor::new(bytes), length);
    response
}
