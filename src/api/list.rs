//! `/secrets`: what there is, for those who may read it.

use rouille::{Request, Response};
use serde::Serialize;

use super::call::Call;
use super::problem::Problem;
use super::{Metadata, Query};

/// `GET /secrets`: the names that the client may read, sorted, without values.
pub fn list(call: &mut Call, request: &Request) -> Result<Response, Problem> {
    Query::of(request, &[])?;
    let now = call.api.vault.now();
    let listed = call.api.vault.list(|name, _| call.may_read(name));
    #[derive(Serialize)]
    struct Item {
        #[serde(flatten)]
        metadata: Metadata,
        is_expired: bool,
    }
    #[derive(Serialize)]
    struct Answer {
        secrets: Vec<Item>,
    }
    call.remark(format!("{} names", listed.len()));
    let item = |listed: crate::vault::Listed| Item {
        is_expired: listed.version.expires_at <= now,
        metadata: Metadata::of(&listed.name, &listed.version),
    };
    Ok(Response::json(&Answer { secrets: listed.into_iter().map(item).collect() }))
}
