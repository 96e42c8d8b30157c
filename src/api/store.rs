//! `POST /secret` and `POST /secrets`: new versions, supplied or generated.

use std::collections::BTreeSet;

use rouille::Response;
use serde::Deserialize;

use super::call::Call;
use super::json::{self, Object};
use super::problem::Problem;
use super::query::Query;
use super::received::Received;
use super::settings::SecretForm;
use super::{Api, answer, conditions, revoke};
use crate::answers::{NewVersion, NewVersions};
use crate::rotation::Claim;
use crate::vault::{Condition, Done, MAX_VALUE, New, Operation, Previous, Rotation};

const FORM: &str =
    r#"{"name":"…","value":"…"} or {"name":"…","generate":true}, optionally with settings such as "rotation":"auto""#;

/// The body of `POST /secrets`.
const FORM_OF_ALL: &str = r#"{"secrets":[{"name":"…","value":"…"},{"name":"…","generate":true},…]}, each as for POST /secret, and perhaps "skip_unchanged":true"#;

/// `POST /secret`: a new version, supplied or generated.
pub fn post(call: &mut Call, received: Received) -> Result<Response, Problem> {
    Query::of(received.request, &[])?;
    let new = json::read(received.body, FORM)?;
    let prepared = prepare(call, vec![new])?;
    let made = store(call, prepared, conditions::condition(received.request)?)?;
    Ok(answer::of_new_version(made.first().expect("a put makes one version")))
}

/// `POST /secrets`: a new version of each, or of none if one of them is not as it should be or not permitted. Those that have
/// their value already may be left out.
pub fn post_several(call: &mut Call, received: Received) -> Result<Response, Problem> {
    Query::of(received.request, &[])?;
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct All {
        secrets: Vec<Object<SecretForm>>,
        #[serde(default)]
        skip_unchanged: bool,
    }
    let All { secrets, skip_unchanged } = json::read(received.body, FORM_OF_ALL)?;
    if secrets.is_empty() {
        return Err(Problem::bad_request(format!("at least one secret is needed: {FORM_OF_ALL}")));
    }
    let wanted: Vec<_> = secrets.into_iter().map(|Object(new)| new).collect();
    refuse_repeated(call, &wanted)?;
    let (wanted, unchanged) = match skip_unchanged {
        true => without_unchanged(call, wanted).map(|(changed, unchanged)| (changed, Some(unchanged)))?,
        false => (wanted, None),
    };
    let secrets = match wanted.is_empty() {
        true => Vec::new(),
        false => {
            let prepared = prepare(call, wanted)?;
            store(call, prepared, conditions::condition(received.request)?)?
        }
    };
    Ok(Response::json(&NewVersions { secrets, unchanged }))
}

/// No secret may get two versions at once.
fn refuse_repeated(call: &mut Call, wanted: &[SecretForm]) -> Result<(), Problem> {
    let mut names = BTreeSet::new();
    for new in wanted {
        let name = named(new)?;
        if !names.insert(name) {
            call.require_change(name)?;
            return Err(Problem::bad_request(format!("{name} is given more than once")));
        }
    }
    Ok(())
}

/// What is wanted without those that have their value already, and the names of these.
fn without_unchanged(call: &mut Call, wanted: Vec<SecretForm>) -> Result<(Vec<SecretForm>, Vec<String>), Problem> {
    let (mut changed, mut unchanged) = (Vec::new(), Vec::new());
    let several = wanted.len() > 1;
    for new in wanted {
        match has_its_value(call, &new)? {
            true => unchanged.extend(new.name),
            false => changed.push(new),
        }
    }
    if changed.is_empty() {
        if several {
            call.about_several();
        }
        call.remark("no change");
    }
    Ok((changed, unchanged))
}

/// Whether the value is the current one already, and nothing else is asked for.
fn has_its_value(call: &mut Call, new: &SecretForm) -> Result<bool, Problem> {
    let name = named(new)?;
    call.require_change(name)?;
    let Some(value) = &new.value else { return Ok(false) };
    // Who may change a secret may read it; were that ever otherwise, this must not tell what it holds.
    if !new.is_value_alone() || !call.may_read(name) {
        return Ok(false);
    }
    match call.api.vault.find(name, None) {
        Ok(version) => Ok(call.api.opened(&version)?.value() == value.expose()),
        Err(_) => Ok(false),
    }
}

/// Versions of different secrets, all of which the client may make. Nobody else rotates the secrets with appliers of which
/// old versions are to be revoked.
pub struct PreparedVersions<'a> {
    versions: Vec<New>,
    claims: Vec<Claim<'a>>,
}

/// Checks what is wanted, and generates the values that are to be generated.
pub fn prepare<'a>(call: &mut Call<'a>, wanted: Vec<SecretForm>) -> Result<PreparedVersions<'a>, Problem> {
    let mut prepared = PreparedVersions { versions: Vec::new(), claims: Vec::new() };
    for new in wanted {
        call.require_change(named(&new)?)?;
        let is_revoking = new.revoke_previous.unwrap_or(false);
        let mut new = checked(call.api, new)?;
        let (previous, claim) = revoke::begin(call, &new.name, is_revoking)?;
        new.previous = previous;
        prepared.claims.extend(claim);
        prepared.versions.push(new);
    }
    if prepared.versions.len() > 1 {
        call.about_several();
    }
    Ok(prepared)
}

/// Makes these versions, or none of them.
pub fn store(call: &mut Call, prepared: PreparedVersions, condition: Condition) -> Result<Vec<NewVersion>, Problem> {
    let PreparedVersions { versions, claims } = prepared;
    let done = make(call, versions, condition)?;
    let mut all = answer::new_versions(call.api, &done);
    let failed = revoke::revoke(call, &claims, &mut all);
    if !failed.is_empty() {
        let replaced = all.into_iter().map(|made| made.version.name).collect();
        return Err(Problem::apply_failed(revoke::NOT_RETIRED, replaced, failed));
    }
    Ok(all)
}

/// Makes the one version that is wanted, with nothing to revoke, and returns what was done.
pub fn store_one(call: &mut Call, wanted: SecretForm, condition: Condition) -> Result<Done, Problem> {
    let PreparedVersions { versions, .. } = prepare(call, vec![wanted])?;
    Ok(make(call, versions, condition)?.into_iter().next().expect("a put makes one version"))
}

fn make(call: &mut Call, versions: Vec<New>, condition: Condition) -> Result<Vec<Done>, Problem> {
    call.commit(Operation::Put { versions }, condition)
}

fn named(new: &SecretForm) -> Result<&str, Problem> {
    new.name
        .as_deref()
        .ok_or_else(|| Problem::bad_request(format!("the name is missing; the body must have the form {FORM}")))
}

/// Generates the value if that is wanted, and checks that it can be stored.
fn checked(api: &Api, mut new: SecretForm) -> Result<New, Problem> {
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
