//! `/secret/{name}/consumers`: which clients have read a secret, and who of them still has an older version.

use rouille::{Request, Response};

use super::answer;
use super::call::Call;
use super::problem::Problem;
use super::query::Query;
use crate::answers::ConsumerList;
use crate::vault::Refused;

/// `GET /secret/{name}/consumers`: those that have read one of the versions that can be read.
pub fn consumers(call: &mut Call, request: &Request, name: &str) -> Result<Response, Problem> {
    call.require_change(name)?;
    Query::of(request, &[])?;
    let standing = call.api.consumers.of(name);
    let standing = standing.ok_or_else(|| Refused::NotFound(name.to_owned()))?;
    let complete_since = standing.complete_since.ok_or_else(Problem::still_reading)?;
    call.remark(format!("{} consumers, {} behind", standing.consumers.len(), standing.behind().count()));
    Ok(Response::json(&ConsumerList {
        name: name.to_owned(),
        kid: standing.current().of(name),
        consumers: standing.consumers.iter().map(|consumer| answer::consumer(name, consumer)).collect(),
        complete_since,
        is_complete: standing.is_complete(),
    }))
}
