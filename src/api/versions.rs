//! `/secret/{name}/versions`: a secret's settings, and which of its versions can be read.

use rouille::Response;

use super::answer;
use super::call::{Call, MayRead};
use super::problem::Problem;
use super::query::Query;
use super::received::Received;
use crate::answers::{ListedVersion, PendingVersion, VersionList};
use crate::vault::{Description, Readable, Refused};

/// `GET /secret/{name}/versions`
pub fn get(call: &mut Call, received: Received) -> Result<Response, Problem> {
    let secret = call.require_read(received.name)?;
    Query::of(received.request, &[])?;
    Ok(Response::json(&versions(call, secret)?))
}

/// The settings, and the versions that can be read, the newest first, without values.
pub fn versions(call: &mut Call, secret: MayRead) -> Result<VersionList, Problem> {
    let name = secret.name();
    let Description { current, versions, pending, settings } = describe(call, secret)?;
    let item = |readable: Readable| ListedVersion {
        kid: readable.version.kid.of(name),
        created_at: readable.version.created_at,
        expires_at: readable.version.expires_at,
        is_current: readable.until.is_none(),
        readable_until: readable.until,
        rotation: readable.version.rotation.as_str().into(),
    };
    Ok(VersionList {
        name: name.to_owned(),
        settings: answer::settings_in_force(settings, &current, call.api.vault.lifetimes()),
        versions: versions.into_iter().map(item).collect(),
        pending: pending.map(|version| PendingVersion { kid: version.kid.of(name), created_at: version.created_at }),
    })
}

/// What is known of a secret, apart from its values.
pub fn describe(call: &mut Call, secret: MayRead) -> Result<Description, Problem> {
    let name = secret.name();
    let described = call.api.vault.describe(name).ok_or_else(|| Refused::NotFound(name.to_owned()))?;
    call.remark(format!("{} versions", described.versions.len()));
    Ok(described)
}
