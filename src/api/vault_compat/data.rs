//! `secret/data/…`: values in KV version 2.

use std::collections::BTreeMap;

use rouille::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::asked::Asked;
use super::map::{self, Shown};
use super::versions::{self, Metadata};
use super::{answer, name};
use crate::api::call::Call;
use crate::api::problem::Problem;
use crate::api::settings::SecretForm;
use crate::api::store;
use crate::vault::{Condition, Done, Missing, Refused, Wanted};

const FORM: &str = r#"{"data":{"value":"…"},"options":{"cas":1}}, where the options may be left out"#;

/// `GET secret/data/PATH`: a value, of the current version or of the one that `version` says.
pub fn get(call: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Data<'a> {
        data: Shown<'a>,
        metadata: Metadata,
    }
    let name = name::of_path(asked.path)?;
    let secret = call.require_read(&name)?;
    let (found, opened) = versions::read(call, secret, asked, versions::wanted(asked)?)?;
    let data = Shown::of(opened.value(), &found.settings);
    let metadata = Metadata::new(found.number, found.created_at, found.settings);
    Ok(answer::data(asked, &Data { data, metadata }, 0))
}

#[derive(Deserialize)]
struct Write<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    options: Option<Options>,
}

#[derive(Default, Deserialize)]
struct Options {
    /// A number; some clients send it as a text.
    cas: Option<serde_json::Value>,
}

/// `PUT secret/data/PATH`: a new version.
pub fn put(call: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    let Write { data, options } = asked.read(FORM)?;
    let name = name::of_path(asked.path)?;
    call.require_change(&name)?;
    let cas = cas(options)?;
    let condition = condition(call, &name, cas)?;
    let made = store(call, &name, data.ok_or_else(no_data)?, condition)?;
    Ok(told(call, asked, made))
}

/// `PATCH secret/data/PATH`: a new version, which is the current one with the data merged into it.
pub fn patch(call: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    let Write { data, options } = asked.read(FORM)?;
    let name = name::of_path(asked.path)?;
    call.require_change(&name)?;
    let secret = call.require_read(&name)?;
    let found = versions::find(call, secret, Wanted::Current)?;
    let opened = call.api.opened(&found.version)?;
    let merged = Shown::of(opened.value(), &found.settings).merged(data.ok_or_else(no_data)?)?;
    if cas(options)?.is_some_and(|cas| cas != found.number) {
        return Err(Refused::PreconditionFailed(vec![name.into_owned()]).into());
    }
    let condition = Condition { if_match: Some(vec![found.version.kid]), if_none_match: None };
    let made = store(call, &name, merged.map(), condition)?;
    Ok(told(call, asked, made))
}

/// Makes a version of the secret `name` with the value that is this map.
pub fn store(call: &mut Call, name: &str, map: &RawValue, condition: Condition) -> Result<Done, Problem> {
    let (value, is_map) = map::stored(map)?;
    let label = is_map.then(|| "true".to_owned());
    let labels = BTreeMap::from([(map::LABEL.to_owned(), label)]);
    store::store_one(call, SecretForm::labelled(name.to_owned(), value, labels), condition)
}

/// The answer that a version was made.
fn told(call: &Call, asked: &Asked, made: Done) -> Response {
    let created_at = made.version.map(|version| version.created_at).unwrap_or_default();
    let settings = call.api.vault.settings(&made.name).unwrap_or_default();
    answer::data(asked, &Metadata::new(made.number, created_at, settings), 0)
}

fn no_data() -> Problem {
    Problem::bad_request("no data provided")
}

/// The number of the version that must be current, or 0: there must not be any.
fn cas(options: Option<Options>) -> Result<Option<u64>, Problem> {
    let Some(cas) = options.and_then(|options| options.cas) else { return Ok(None) };
    let number = cas.as_u64().or_else(|| cas.as_str().and_then(|text| text.parse().ok()));
    let wrong = || Problem::bad_request("cas is the number of the current version, or 0 where there must not be any");
    number.map(Some).ok_or_else(wrong)
}

fn condition(call: &mut Call, name: &str, cas: Option<u64>) -> Result<Condition, Problem> {
    match cas {
        None => Ok(Condition::default()),
        Some(0) => Ok(Condition { if_match: None, if_none_match: Some(Vec::new()) }),
        Some(number) => {
            // Only the current one is let through; whether it still is, is checked when the change is made.
            let found: Result<_, Missing> = call.api.vault.find_numbered(name, Wanted::Number(number));
            let kid = found.ok().filter(|found| found.is_current).map(|found| found.version.kid);
            let kid = kid.ok_or_else(|| Refused::PreconditionFailed(vec![name.to_owned()]))?;
            Ok(Condition { if_match: Some(vec![kid]), if_none_match: None })
        }
    }
}

/// `DELETE secret/data/PATH`
pub fn delete(call: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    let name = name::of_path(asked.path)?;
    call.require_change(&name)?;
    Err(Problem::unsupported(format!(
        "jarvis-secretsd keeps no deleted versions that could be brought back, so nothing was deleted; DELETE \
         secret/metadata/{} destroys the secret with all its versions (delete_all_versions, kv metadata delete)",
        asked.path
    )))
}

/// `PUT secret/delete/PATH`, `secret/undelete/PATH`, `secret/destroy/PATH`
pub fn delete_versions(call: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    let name = name::of_path(asked.path)?;
    call.require_change(&name)?;
    Err(Problem::unsupported(format!(
        "jarvis-secretsd deletes and brings back no single versions, so nothing was changed; older versions end with their \
         grace period, or at once by POST /secret/{name}/retire (jarvis-secretsd retire), and an older value becomes current by \
         POST /secret/{name}/rollback (jarvis-secretsd rollback)"
    )))
}
