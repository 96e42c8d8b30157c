//! `/secret` and `/secret/{name}`: create, read, delete.

use rouille::{Request, Response};
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::problem::Problem;
use super::{Metadata, Query, conditions, json};
use crate::clock::Timestamp;
use crate::generator::Generator;
use crate::secret::{Plaintext, Wiped};
use crate::vault::{MAX_VALUE, Missing, Opened, Rotation, Sight, Wish};

const FORM: &str =
    r#"{"name":"…","value":"…"} or {"name":"…","generate":true}, optionally with "rotation":"auto" or "manual""#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewVersion {
    name: String,
    value: Option<Plaintext>,
    generate: Option<Generator>,
    rotation: Option<Rotation>,
}

/// `POST /secret`: a new version, supplied or generated.
pub fn create(call: &mut Call, request: &Request, body: &[u8]) -> Result<Response, Problem> {
    Query::of(request, &[])?;
    let NewVersion { name, value, generate, rotation } = json::read(body, FORM)?;
    call.require_change(&name)?;
    let (value, rotation) = match (value, &generate) {
        // What a person supplied is theirs to replace, unless they say otherwise.
        (Some(value), None) => (value, rotation.unwrap_or(Rotation::Manual)),
        (None, Some(generator)) => {
            let value = generator.generate().map_err(|why| Problem::internal(why.to_string()))?;
            (value, rotation.unwrap_or(Rotation::Auto))
        }
        _ => return Err(Problem::bad_request(format!("exactly one of value and generate is needed: {FORM}"))),
    };
    match value.expose().len() {
        0 => return Err(Problem::bad_request("a value must not be empty")),
        length if length > MAX_VALUE => {
            return Err(Problem::too_large(format!("a value has at most {MAX_VALUE} bytes, this one has {length}")));
        }
        _ => {}
    }
    let condition = conditions::condition(request)?;
    let done = call.commit(Wish::Put { name, value, rotation, generator: generate }, condition)?;
    let version = done.first().and_then(|done| done.version.as_ref().map(|version| (&done.name, version)));
    let (name, version) = version.expect("a put makes one version");
    let metadata = Metadata::of(name, version);
    let etag = conditions::etag(&metadata.kid);
    Ok(Response::json(&metadata).with_unique_header("ETag", etag))
}

/// `GET /secret/{name}`: a value, unless the client has it already.
pub fn read(call: &mut Call, request: &Request, name: &str) -> Result<Response, Problem> {
    call.require_read(name)?;
    let query = Query::of(request, &["kid"])?;
    let kid = query.get("kid");
    let sight = find(call, name, kid)?;
    let etag = conditions::etag(&sight.kid);
    if conditions::is_known(request, &sight.kid)? {
        call.remark("not modified");
        return Ok(Response::text("").with_status_code(304).with_unique_header("ETag", etag));
    }
    let opened = open(call, &sight)?;
    #[derive(Serialize)]
    struct Answer<'a> {
        name: &'a str,
        value: &'a str,
        kid: &'a str,
        expires_at: Timestamp,
    }
    let answer = Answer { name, value: opened.value(), kid: &sight.kid, expires_at: sight.expires_at };
    Ok(json::answer_wiped(&answer).with_unique_header("ETag", etag))
}

/// The bytes of the current value of `name`, for who does not speak JSON.
pub fn current(call: &mut Call, name: &str) -> Result<Wiped, Problem> {
    call.require_read(name)?;
    let sight = find(call, name, None)?;
    Ok(Wiped::new(open(call, &sight)?.value().as_bytes().to_vec()))
}

fn find(call: &mut Call, name: &str, kid: Option<&str>) -> Result<Sight, Problem> {
    let sight = call.api.vault.find(name, kid).map_err(|missing| match missing {
        Missing::NotFound => Problem::not_found(match kid {
            Some(_) => format!("there is no such version of {name}"),
            None => format!("there is no secret {name}"),
        }),
        Missing::Gone => Problem::gone(format!("the grace period of this version of {name} is over")),
    })?;
    call.about_version(&sight.kid);
    Ok(sight)
}

fn open(call: &Call, sight: &Sight) -> Result<Opened, Problem> {
    call.api.vault.open(sight).map_err(|why| Problem::internal(why.to_string()))
}

/// `DELETE /secret/{name}`: all versions are destroyed.
pub fn delete(call: &mut Call, request: &Request, name: &str) -> Result<Response, Problem> {
    call.require_change(name)?;
    Query::of(request, &[])?;
    let condition = conditions::condition(request)?;
    let done = call.commit(Wish::Delete { name: name.to_owned() }, condition)?;
    #[derive(Serialize)]
    struct Answer<'a> {
        name: &'a str,
        versions_destroyed: usize,
    }
    Ok(Response::json(&Answer { name, versions_destroyed: done.iter().map(|done| done.destroyed).sum() }))
}
