//! The answers of Vault's API, and what is around their data.

use std::io::Cursor;

use rouille::{Response, ResponseBody};
use serde::Serialize;

use super::asked::Asked;
use crate::base::secret::{Wiped, wiped_json};

/// An answer that is this JSON and nothing else.
pub fn text(json: &str) -> Response {
    Response::from_data("application/json", json)
}

/// The answer with these data, in JSON.
pub fn data_text(asked: &Asked, data: &str) -> Response {
    whole(asked, data.as_bytes(), 0, b"null", b"")
}

/// The answer with `data`, which may hold a value: its bytes are wiped when they are sent. For so many seconds a client may do
/// without asking again; 0: as it likes.
pub fn data(asked: &Asked, data: &impl Serialize, lease_duration: u32) -> Response {
    whole(asked, &wiped_json(data), lease_duration, b"null", b"")
}

/// The answer with `data` that hold no value, and are gone through once.
pub fn long_data(asked: &Asked, data: &impl Serialize) -> Response {
    let data = serde_json::to_vec(data).expect("what is sent is plain data");
    whole(asked, &data, 0, b"null", b"")
}

/// The answer that a client is identified, with what it is to send from here on.
pub fn auth(asked: &Asked, auth: &impl Serialize) -> Response {
    whole(asked, b"null", 0, &wiped_json(auth), b"")
}

/// The answer whose data are these fields, in JSON, which stand beside the data once more.
pub fn data_twice(asked: &Asked, fields: &str) -> Response {
    whole(asked, format!("{{{fields}}}").as_bytes(), 0, b"null", format!(",{fields}").as_bytes())
}

/// The answer to what is done, of which there is nothing to tell.
pub fn done() -> Response {
    Response::empty_204()
}

fn whole(asked: &Asked, data: &[u8], lease_duration: u32, auth: &[u8], more: &[u8]) -> Response {
    let begin = format!(
        r#"{{"request_id":"{}","lease_id":"","renewable":false,"lease_duration":{lease_duration},"data":"#,
        asked.id()
    );
    let parts = [begin.as_bytes(), data, br#","wrap_info":null,"warnings":null,"auth":"#, auth, more, b"}"];
    // Sized at first, so that it never moves and leaves a copy behind.
    let mut bytes = Wiped::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    of_bytes(bytes)
}

fn of_bytes(bytes: Wiped) -> Response {
    let length = bytes.len();
    let mut response = Response::from_data("application/json", "");
    response.data = ResponseBody::from_reader_and_size(Cursor::new(bytes), length);
    response
}
