//! `/secret/{name}/consumers`: which clients have read a secret, and who of them still has an older version.

use rouille::{Request, Response};
use serde::Serialize;

use super::Query;
use super::call::Call;
use super::problem::Problem;
use crate::base::clock::Timestamp;
use crate::consumers::Last;
use crate::vault::Refused;

/// A client, in an answer.
#[derive(Debug, Serialize)]
pub struct Item {
    client: String,
    kid: String,
    read_at: Timestamp,
    up_to_date: bool,
}

impl Item {
    pub fn of(name: &str, (client, last): &(String, Last)) -> Self {
        let Last { kid, read_at, up_to_date, .. } = *last;
        Self { client: client.clone(), kid: kid.of(name), read_at, up_to_date }
    }
}

/// `GET /secret/{name}/consumers`: those that have read one of the versions that can be read.
pub fn consumers(call: &mut Call, request: &Request, name: &str) -> Result<Response, Problem> {
    call.require_change(name)?;
    Query::of(request, &[])?;
    let standing = call.api.consumers.of(name);
    let standing = standing.ok_or_else(|| Refused::NotFound(name.to_owned()))?;
    let complete_since = standing.complete_since.ok_or_else(Problem::still_reading)?;
    #[derive(Serialize)]
    struct Answer<'a> {
        name: &'a str,
        kid: String,
        consumers: Vec<Item>,
        complete_since: Timestamp,
        is_complete: bool,
    }
    call.remark(format!("{} consumers, {} behind", standing.consumers.len(), standing.behind().count()));
    Ok(Response::json(&Answer {
        name,
        kid: standing.current().of(name),
        consumers: standing.consumers.iter().map(|consumer| Item::of(name, consumer)).collect(),
        complete_since,
        is_complete: standing.is_complete(),
    }))
}
