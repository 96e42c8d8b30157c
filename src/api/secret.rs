//! `/secret` and `/secret/{name}`: create, read, delete; `/secrets`: create several.

use std::collections::BTreeSet;

use rouille::{Request, Response};
use serde::Deserialize;

use super::call::Call;
use super::conditions::{self, Known};
use super::json::{self, Object};
use super::made;
use super::problem::Problem;
use super::query::Query;
use super::settings::Form;
use super::wait::Wait;
use super::{Api, answer};
use crate::answers::{DeletedSecret, NewVersion, NewVersions, SecretValue};
use crate::base::secret::Wiped;
use crate::consumers::Receipt;
use crate::vault::{MAX_VALUE, Missing, New, Opened, Operation, Previous, Refused, Rotation, VersionRef};

const FORM: &str =
    r#"{"name":"…","value":"…"} or {"name":"…","generate":true}, optionally with settings such as "rotation":"auto""#;

/// The body of `POST /secrets`.
const FORM_OF_ALL: &str = r#"{"secrets":[{"name":"…","value":"…"},{"name":"…","generate":true},…]}, each as for POST /secret, and perhaps "skip_unchanged":true"#;

/// `POST /secret`: a new version, supplied or generated.
pub fn create(call: &mut Call, request: &Request, body: &[u8]) -> Result<Response, Problem> {
    Query::of(request, &[])?;
    let new = json::read(body, FORM)?;
    let made = make(call, request, [new])?;
    Ok(made::response(made.first().expect("a put makes one version")))
}

/// `POST /secrets`: a new version of each, or of none if one of them is not as it should be or not permitted. Those that have
/// their value already may be left out.
pub fn create_all(call: &mut Call, request: &Request, body: &[u8]) -> Result<Response, Problem> {
    Query::of(request, &[])?;
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct All {
        secrets: Vec<Object<Form>>,
        #[serde(default)]
        skip_unchanged: bool,
    }
    let All { secrets, skip_unchanged } = json::read(body, FORM_OF_ALL)?;
    if secrets.is_empty() {
        return Err(Problem::bad_request(format!("at least one secret is needed: {FORM_OF_ALL}")));
    }
    let mut names = BTreeSet::new();
    for Object(new) in &secrets {
        let name = named(new)?;
        if !names.insert(name) {
            call.require_change(name)?;
            return Err(Problem::bad_request(format!("{name} is given more than once")));
        }
    }
    let several = secrets.len() > 1;
    let (mut wanted, mut unchanged) = (Vec::new(), Vec::new());
    for Object(new) in secrets {
        match skip_unchanged && has_its_value(call, &new)? {
            true => unchanged.extend(new.name),
            false => wanted.push(new),
        }
    }
    let secrets = if wanted.is_empty() { Vec::new() } else { make(call, request, wanted)? };
    if secrets.is_empty() {
        if several {
            call.about_several();
        }
        call.remark("no change");
    }
    Ok(Response::json(&NewVersions { secrets, unchanged: skip_unchanged.then_some(unchanged) }))
}

/// Whether the value is the current one already, and nothing else is asked for.
fn has_its_value(call: &mut Call, new: &Form) -> Result<bool, Problem> {
    let name = named(new)?;
    call.require_change(name)?;
    let Some(value) = &new.value else { return Ok(false) };
    // Who may change a secret may read it; were that ever otherwise, this must not tell what it holds.
    if !new.is_value_alone() || !call.may_read(name) {
        return Ok(false);
    }
    match call.api.vault.find(name, None) {
        Ok(version) => Ok(open(call, &version)?.value() == value.expose()),
        Err(_) => Ok(false),
    }
}

/// Makes these versions, of different secrets, or none of them.
fn make(
    call: &mut Call,
    request: &Request,
    wanted: impl IntoIterator<Item = Form>,
) -> Result<Vec<NewVersion>, Problem> {
    let (mut versions, mut claims) = (Vec::new(), Vec::new());
    for new in wanted {
        let name = named(&new)?;
        call.require_change(name)?;
        let is_revoking = new.revoke_previous.unwrap_or(false);
        let mut new = checked(call.api, new)?;
        let (previous, claim) = made::begin(call, &new.name, is_revoking)?;
        new.previous = previous;
        claims.extend(claim);
        versions.push(new);
    }
    if versions.len() > 1 {
        call.about_several();
    }
    let done = call.commit(Operation::Put { versions }, conditions::condition(request)?)?;
    let mut all = answer::new_versions(call.api, &done);
    let failed = made::revoke(call, &claims, &mut all);
    if !failed.is_empty() {
        let replaced = all.into_iter().map(|made| made.version.name).collect();
        return Err(Problem::apply_failed(made::NOT_RETIRED, replaced, failed));
    }
    Ok(all)
}

fn named(new: &Form) -> Result<&str, Problem> {
    new.name
        .as_deref()
        .ok_or_else(|| Problem::bad_request(format!("the name is missing; the body must have the form {FORM}")))
}

/// Generates the value if that is wanted, and checks that it can be stored.
fn checked(api: &Api, mut new: Form) -> Result<New, Problem> {
    let name = named(&new)?.to_owned();
    let mut patch = new.patch()?;
    // Which of the two a version is made by, it says itself.
    let (rotation, generator) = (patch.rotation.take(), patch.generator.take().flatten());
    let (value, rotation, generator) = match (new.value, new.generate) {
        // What a person supplied is theirs to replace, unless they say otherwise.
        (Some(value), None) => (value, rotation.unwrap_or(Rotation::Manual), generator),
        (None, Some(generate)) if generator.is_none() => {
            let value = generate.generate().map_err(|why| Problem::internal(why.to_string()))?;
            // Without appliers, external systems would go on with the value that the schedule has replaced.
            let default = || if api.rotator.has(&name) { Rotation::Auto } else { api.default_rotation };
            (value, rotation.unwrap_or_else(default), Some(generate))
        }
        (None, Some(_)) => {
            let why = format!("{name}: generate also says how the next value is made; leave out generator");
            return Err(Problem::bad_request(why));
        }
        _ => {
            let why = format!("{name}: exactly one of value and generate is needed: {FORM}");
            return Err(Problem::bad_request(why));
        }
    };
    match value.expose().len() {
        0 => Err(Problem::bad_request(format!("{name}: a value must not be empty"))),
        length if length > MAX_VALUE => {
            let why = format!("{name}: a value has at most {MAX_VALUE} bytes, this one has {length}");
            Err(Problem::too_large(why))
        }
        _ => Ok(New { name, value, rotation, generator, patch, previous: Previous::Kept }),
    }
}

/// `GET /secret/{name}`: a value, unless the client has it already. It may want to wait for one that it has not.
pub fn read(call: &mut Call, mut wait: Wait, name: &str) -> Result<Response, Problem> {
    let request = wait.request;
    call.require_read(name)?;
    let query = Query::of(request, &["kid", "wait"])?;
    let kid = query.get("kid");
    let left = match query.get("wait") {
        Some(_) if kid.is_some() => {
            return Err(Problem::bad_request("wait is for the current version, and cannot be combined with kid"));
        }
        Some(span) => wait.while_known(call, name, span)?,
        None => None,
    };
    let version = match left {
        Some(version) => about(call, version),
        None => find(call, name, kid)?,
    };
    let etag = conditions::etag(&version.kid);
    if let Some(known) = conditions::known(request, &version.kid)? {
        let receipt = match known {
            Known::Named => Receipt::NamedVersion,
            Known::Any => Receipt::AnyVersion,
        };
        call.sends(receipt, version);
        return Ok(Response::text("").with_status_code(304).with_unique_header("ETag", etag));
    }
    let opened = open(call, &version)?;
    let (kid, expires_at) = (version.kid.as_str().into(), version.expires_at);
    let told = SecretValue { name: name.into(), value: opened.value(), kid, expires_at };
    let response = json::answer_wiped(&told).with_unique_header("ETag", etag);
    call.sends(if wait.exchange.is_head { Receipt::Head } else { Receipt::Value }, version);
    Ok(response)
}

/// The current value of `name` as bytes, for a client that does not speak JSON.
pub fn current(call: &mut Call, name: &str) -> Result<Wiped, Problem> {
    call.require_read(name)?;
    let version = find(call, name, None)?;
    let value = Wiped::new(open(call, &version)?.value().as_bytes().to_vec());
    call.sends(Receipt::Value, version);
    Ok(value)
}

fn find(call: &mut Call, name: &str, kid: Option<&str>) -> Result<VersionRef, Problem> {
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

fn open(call: &Call, version: &VersionRef) -> Result<Opened, Problem> {
    call.api.vault.open(version).map_err(|why| Problem::internal(why.to_string()))
}

/// `DELETE /secret/{name}`: all versions are destroyed.
pub fn delete(call: &mut Call, request: &Request, name: &str) -> Result<Response, Problem> {
    call.require_change(name)?;
    Query::of(request, &[])?;
    let condition = conditions::condition(request)?;
    let done = call.commit(Operation::Delete { name: name.to_owned() }, condition);
    // Where it was applied and could not be confirmed, too.
    call.api.consumers.forget_deleted(name);
    let done = done?;
    let versions_destroyed = done.iter().map(|done| done.destroyed).sum();
    Ok(Response::json(&DeletedSecret { name: name.to_owned(), versions_destroyed }))
}
