//! `/secret/{name}/consumers`: which clients have read a secret, and who of them still has an older version.

use rouille::Response;

use super::answer;
use super::call::{Call, MayChange};
use super::problem::Problem;
use super::query::Query;
use super::received::Received;
use crate::answers::ConsumerList;
use crate::vault::Refused;

/// `GET /secret/{name}/consumers`
pub fn get(call: &mut Call, received: Received) -> Result<Response, Problem> {
    let secret = call.require_change(received.name)?;
    Query::of(received.request, &[])?;
    Ok(Response::json(&consumers(call, secret)?))
}

/// Those that have read one of the versions that can be read.
pub fn consumers(call: &mut Call, secret: MayChange) -> Result<ConsumerList, Problem> {
    let name = secret.name();
    let standing = call.api.consumers.of(name).map_err(Refused::Shared)?;
    let standing = standing.ok_or_else(|| Refused::NotFound(name.to_owned()))?;
    let complete_since = standing.complete_since.ok_or_else(Problem::still_reading)?;
    call.remark(format!("{} consumers, {} behind", standing.consumers.len(), standing.behind().count()));
    Ok(ConsumerList {
        name: name.to_owned(),
        kid: standing.current().of(name),
        consumers: standing.consumers.iter().map(|consumer| answer::consumer(name, consumer)).collect(),
        complete_since,
        is_complete: standing.is_complete(),
    })
}
