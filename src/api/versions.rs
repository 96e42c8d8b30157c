//! `/secret/{name}/versions`: a secret's settings, and which of its versions can be read.

use rouille::{Request, Response};
use serde::Serialize;

use super::Query;
use super::call::Call;
use super::problem::Problem;
use super::settings::InForce;
use crate::base::clock::Timestamp;
use crate::vault::{Description, Readable, Refused, Rotation};

/// `GET /secret/{name}/versions`: the settings, and the versions that can be read, the newest first, without values.
pub fn versions(call: &mut Call, request: &Request, name: &str) -> Result<Response, Problem> {
    call.require_read(name)?;
    Query::of(request, &[])?;
    let described = call.api.vault.describe(name);
    let described = described.ok_or_else(|| Refused::NotFound(name.to_owned()))?;
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
    /// A version that was made and cannot be read yet.
    #[derive(Serialize)]
    struct Pending {
        kid: String,
        created_at: Timestamp,
    }
    #[derive(Serialize)]
    struct Answer<'a> {
        name: &'a str,
        settings: InForce,
        versions: Vec<Item>,
        pending: Option<Pending>,
    }
    let item = |readable: Readable| Item {
        kid: readable.version.kid.of(name),
        created_at: readable.version.created_at,
        expires_at: readable.version.expires_at,
        is_current: readable.until.is_none(),
        readable_until: readable.until,
        rotation: readable.version.rotation,
    };
    let Description { current, versions, pending, settings } = described;
    call.remark(format!("{} versions", versions.len()));
    Ok(Response::json(&Answer {
        name,
        settings: InForce::of(settings, &current, call.api.vault.lifetimes()),
        versions: versions.into_iter().map(item).collect(),
        pending: pending.map(|version| Pending { kid: version.kid.of(name), created_at: version.created_at }),
    }))
}
