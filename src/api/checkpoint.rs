//! `/audit/checkpoint`: where the audit log stands, signed.

use rouille::{Request, Response};

use super::Api;
use super::problem::Problem;
use super::query::Query;
use crate::audit::Event;
use crate::http::Peer;

/// `GET /audit/checkpoint`: the newest line, which is at least the one that says that this checkpoint was given out.
pub fn checkpoint(api: &Api, request: &Request, peer: &Peer) -> Response {
    let permitted = api.audited(request, peer, Event::AuditCheckpoint, |call| {
        call.require_admin("the audit log")?;
        Query::of(request, &[])?;
        Ok(Response::text(""))
    });
    if !permitted.is_success() {
        return permitted;
    }
    match api.audit.checkpoint() {
        Ok(checkpoint) => Response::json(&checkpoint),
        Err(failure) => Problem::from(failure).into(),
    }
}
