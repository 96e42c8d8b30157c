//! `/audit/checkpoint`: where the audit log stands, signed.

use rouille::Response;

use super::call::Call;
use super::problem::Problem;
use super::query::Query;
use super::received::Received;

/// `GET /audit/checkpoint`: the newest line, which is at least the one that says that this checkpoint was given out.
pub fn get(call: &mut Call, received: Received) -> Result<Response, Problem> {
    call.require_admin("the audit log")?;
    Query::of(received.request, &[])?;
    call.write_line()?;
    Ok(Response::json(&call.api.audit.checkpoint()?))
}
