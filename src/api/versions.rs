//! `/secret/{name}/versions`: which versions of a secret can be read.

use rouille::{Request, Response};
use serde::Serialize;

use super::Query;
use super::call::Call;
use super::problem::Problem;
use crate::clock::Timestamp;
use crate::vault::Rotation;

/// `GET /secret/{name}/versions`: those that can be read, the newest first, without values.
pub fn versions(call: &mut Call, request: &Request, name: &str) -> Result<Response, Problem> {
    call.require_read(name)?;
    Query::of(request, &[])?;
    let readable = call.api.vault.versions(name);
    if readable.is_empty() {
        return Err(Problem::not_found(format!("there is no secret {name}")));
    }
    #[derive(Serialize)]
    struct Item {
        kid: String,
        created_at: Timestamp,
        expires_at: Timestamp,
        is_current: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        readable_until: Option<Timestamp>,
        rotation: Rotation,
    }
    #[derive(Serialize)]
    struct Answer<'a> {
        name: &'a str,
        versions: Vec<Item>,
    }
    let item = |readable: crate::vault::Readable| Item {
        kid: readable.version.kid.of(name),
        created_at: readable.version.created_at,
        expires_at: readable.version.expires_at,
        is_current: readable.until.is_none(),
        readable_until: readable.until,
        rotation: readable.version.rotation,
    };
    call.remark(format!("{} versions", readable.len()));
    Ok(Response::json(&Answer { name, versions: readable.into_iter().map(item).collect() }))
}
