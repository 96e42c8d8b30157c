//! `kv/…`: values in KV version 1, which knows no versions.

use rouille::Response;
use serde_json::value::RawValue;

use super::asked::Asked;
use super::map::Shown;
use super::{answer, data, name, versions};
use crate::api::call::Call;
use crate::api::problem::Problem;
use crate::vault::{Condition, Wanted};

/// For how many seconds a client takes a value to be good: some look again only then.
const LEASE_SECS: u32 = 300;

/// `GET kv/PATH`: the current value.
pub fn get(call: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    let name = name::of_path(asked.path)?;
    let secret = call.require_read(&name)?;
    let (found, opened) = versions::read(call, secret, asked, Wanted::Current)?;
    Ok(answer::data(asked, &Shown::of(opened.value(), &found.settings), LEASE_SECS))
}

/// `PUT kv/PATH`: a new version.
pub fn put(call: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    let map: &RawValue = asked.read(r#"{"value":"…"}"#)?;
    let name = name::of_path(asked.path)?;
    call.require_change(&name)?;
    data::store(call, &name, map, Condition::default())?;
    Ok(answer::done())
}
