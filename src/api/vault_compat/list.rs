//! `LIST secret/metadata/…` and `LIST kv/…`: what is under a path.

use std::borrow::Cow;

use rouille::Response;
use serde::Serialize;

use super::asked::Asked;
use super::{answer, name};
use crate::api::call::Call;
use crate::api::json::Lazy;
use crate::api::list::{self, Selection};
use crate::api::problem::Problem;

/// The names that the client may read, as paths. Under the root these are whole names, and under a path the next part of each;
/// nothing there is as if there was no such path.
pub fn get(call: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Keys<L> {
        keys: L,
    }
    let prefix = match asked.path {
        "" => Cow::Borrowed(""),
        path => format!("{}.", name::of_path(path)?).into(),
    };
    let wanted = Selection::beginning(&prefix)?;
    list::list(call, &wanted, |secrets, _| {
        let mut last = None;
        let keys = secrets.filter_map(|secret| {
            let key = match prefix.len() {
                0 => secret.version.name,
                length => name::entry(&secret.version.name[length..])?.into_owned(),
            };
            // What is in a folder comes in a row.
            (last.as_ref() != Some(&key)).then(|| last.insert(key).clone())
        });
        let mut keys = keys.peekable();
        if keys.peek().is_none() {
            return Err(Problem::not_found("there is nothing under this path"));
        }
        Ok(answer::long_data(asked, &Keys { keys: Lazy::new(keys) }))
    })
}
