//! `/secret/{name}`: a value, and the end of a secret.

use rouille::{Request, Response};

use super::call::{Call, MayChange, MayRead};
use super::conditions::{self, Known};
use super::json;
use super::problem::Problem;
use super::query::Query;
use super::received::Received;
use super::wait;
use crate::answers::{DeletedSecret, SecretValue};
use crate::base::secret::Wiped;
use crate::consumers::Receipt;
use crate::vault::{Condition, Missing, Opened, Operation, Refused, VersionRef};

/// `GET /secret/{name}`: a value, unless the client has it already. It may want to wait for one that it has not.
pub fn get(call: &mut Call, mut received: Received) -> Result<Response, Problem> {
    let request = received.request;
    let secret = call.require_read(received.name)?;
    let query = Query::of(request, &["kid", "wait"])?;
    let kid = query.get("kid");
    let (secret, left) = match query.get("wait") {
        Some(_) if kid.is_some() => {
            return Err(Problem::bad_request("wait is for the current version, and cannot be combined with kid"));
        }
        Some(span) => wait::while_known(call, secret, &mut received, span)?,
        None => (secret, None),
    };
    let may_be_another = kid.is_none() && left.is_none();
    let mut version = match left {
        Some(version) => about(call, version),
        None => find(call, secret, kid)?,
    };
    loop {
        match sent(call, secret, request, received.exchange.is_head, &version) {
            // Another daemon has destroyed it: there is a newer one, or none.
            Err(gone) if may_be_another && gone.code() == "gone" => version = find(call, secret, None)?,
            sent => return sent,
        }
    }
}

/// The answer with a version that was found, or that the client has it.
fn sent(
    call: &mut Call,
    secret: MayRead,
    request: &Request,
    is_head: bool,
    version: &VersionRef,
) -> Result<Response, Problem> {
    let etag = conditions::etag(&version.kid);
    if let Some(known) = conditions::known(request, &version.kid)? {
        let receipt = match known {
            Known::Named => Receipt::NamedVersion,
            Known::Any => Receipt::AnyVersion,
        };
        call.sends(receipt, version)?;
        return Ok(Response::text("").with_status_code(304).with_unique_header("ETag", etag));
    }
    let opened = open(call, version, if is_head { Receipt::Head } else { Receipt::Value })?;
    let (name, kid) = (secret.name().into(), version.kid.as_str().into());
    let told = SecretValue { name, value: opened.value(), kid, expires_at: version.expires_at };
    Ok(json::answer_wiped(&told).with_unique_header("ETag", etag))
}

/// `DELETE /secret/{name}`
pub fn delete(call: &mut Call, received: Received) -> Result<Response, Problem> {
    let secret = call.require_change(received.name)?;
    Query::of(received.request, &[])?;
    let condition = conditions::condition(received.request)?;
    Ok(Response::json(&destroy(call, secret, condition)?))
}

/// The current value as bytes, for a client that does not speak JSON.
pub fn current(call: &mut Call, secret: MayRead) -> Result<Wiped, Problem> {
    loop {
        let version = find(call, secret, None)?;
        match open(call, &version, Receipt::Value) {
            // Another daemon has destroyed it: there is a newer one, or none.
            Err(gone) if gone.code() == "gone" => {}
            opened => return Ok(Wiped::new(opened?.value().as_bytes().to_vec())),
        }
    }
}

/// The version `kid`, or the current one. The audit line is then about it.
pub fn find(call: &mut Call, secret: MayRead, kid: Option<&str>) -> Result<VersionRef, Problem> {
    let name = secret.name();
    let version = call.api.vault.find(name, kid).map_err(|missing| match (missing, kid) {
        (Missing::NotFound, Some(_)) => Refused::NoSuchVersion(name.to_owned()),
        (Missing::NotFound, None) => Refused::NotFound(name.to_owned()),
        (Missing::Gone, _) => Refused::Gone(name.to_owned()),
    })?;
    Ok(about(call, version))
}

/// The version that the audit line is about.
fn about(call: &mut Call, version: VersionRef) -> VersionRef {
    call.about_version(&version.kid);
    version
}

/// The value of a version, which the client is then sent.
pub fn open(call: &mut Call, version: &VersionRef, receipt: Receipt) -> Result<Opened, Problem> {
    let opened = call.api.opened(version)?;
    call.sends(receipt, version)?;
    Ok(opened)
}

/// Destroys all versions.
pub fn destroy(call: &mut Call, secret: MayChange, condition: Condition) -> Result<DeletedSecret, Problem> {
    let name = secret.name().to_owned();
    let done = call.commit(Operation::Delete { name: name.clone() }, condition);
    // Where it was applied and could not be confirmed, too.
    call.api.consumers.forget_deleted(&name);
    let versions_destroyed = done?.iter().map(|done| done.destroyed).sum();
    Ok(DeletedSecret { name, versions_destroyed })
}
