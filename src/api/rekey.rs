//! `/rekey`: another master key, which lies ready where the present one is. No key is ever sent or answered.

use rouille::Response;
use serde::Deserialize;

use super::call::Call;
use super::json;
use super::problem::Problem;
use super::query::Query;
use super::received::Received;
use crate::answers::Rekeyed;
use crate::base::failure::Failure;
use crate::vault::DataKey;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    data_key: bool,
}

/// `POST /rekey`: puts the vault under the next master key, and under a new data key if that is wanted. Which file it is in, is the configuration's to say.
pub fn post(call: &mut Call, received: Received) -> Result<Response, Problem> {
    Query::of(received.request, &[])?;
    let Wanted { data_key } = json::read(received.body, r#"{} or {"data_key":true}"#)?;
    call.require_admin("the master key")?;
    let source = &call.api.master_key;
    let unread = |why: Failure| Problem::internal(why.to_string()).audited_as_told();
    let next = source.next().map_err(unread)?;
    let next = next.ok_or_else(|| {
        Problem::not_found("there is no next master key; `jarvis-secretsd rekey` makes one and then makes this call")
    })?;
    let old = source.load().map_err(unread)?;
    call.rekey(&old, &next, if data_key { DataKey::New } else { DataKey::Kept })?;
    Ok(Response::json(&Rekeyed { rekeyed: true }))
}
