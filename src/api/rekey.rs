//! `/rekey`: another master key, which lies ready where the present one is. No key is ever sent or answered.

use rouille::Response;
use serde::Deserialize;

use super::call::Call;
use super::json;
use super::problem::Problem;
use super::query::Query;
use super::received::Received;
use crate::answers::Rekeyed;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// `POST /rekey`: puts the vault under the next master key. Which file it is in, is the configuration's to say.
pub fn post(call: &mut Call, received: Received) -> Result<Response, Problem> {
    Query::of(received.request, &[])?;
    let Nothing {} = json::read(received.body, "{}")?;
    call.require_admin("the master key")?;
    let source = &call.api.master_key;
    let next = source.next().map_err(|why| Problem::internal(why.to_string()))?;
    let next = next.ok_or_else(|| {
        Problem::not_found("there is no next master key; `jarvis-secretsd rekey` makes one and then makes this call")
    })?;
    let old = source.load().map_err(|why| Problem::internal(why.to_string()))?;
    call.rekey(&old, &next)?;
    Ok(Response::json(&Rekeyed { rekeyed: true }))
}
