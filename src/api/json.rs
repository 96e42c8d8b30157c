//! JSON in and out.

use std::cell::Cell;
use std::fmt;
use std::io::Cursor;
use std::marker::PhantomData;

use rouille::{Response, ResponseBody};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::problem::Problem;
use crate::base::secret::wiped_json;
use crate::base::sync::Breaks;

/// Reads a request's body. `form` shows what is expected.
///
/// The parser's own words are not passed on: they quote what they found, and that may be a value in the wrong place.
pub fn read<'a, T: Deserialize<'a>>(body: &'a [u8], form: &str) -> Result<T, Problem> {
    // A list of the values alone, in the order of the fields, would pass for an object.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::bad_request(format!("the body is a list; it must have the form {form}")));
    }
    serde_json::from_slice(body).map_err(|why| {
        let what =
            if why.is_data() { "the body's JSON does not have the form" } else { "the body is not JSON of the form" };
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

/// A list whose items are made one by one while it is written, once: they are never in memory together. It may be long, and
/// others come in between.
pub struct Lazy<I>(Cell<Option<I>>);

impl<I> Lazy<I> {
    pub fn new(items: I) -> Self {
        Self(Cell::new(Some(items)))
    }
}

impl<I: Iterator<Item: Serialize>> Serialize for Lazy<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut breaks = Breaks::begin();
        serializer.collect_seq(self.0.take().into_iter().flatten().inspect(|_| breaks.take_if_due()))
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

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn of_a_lazy_list_one_item_is_in_memory_at_a_time() {
        #[derive(Clone)]
        struct Item(Rc<()>);
        impl Serialize for Item {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u64(Rc::strong_count(&self.0) as u64)
            }
        }
        let item = Item(Rc::new(()));
        let list = Lazy::new((0..3).map(|_| item.clone()));
        assert_eq!(serde_json::to_string(&list).unwrap(), "[2,2,2]");
    }
}
