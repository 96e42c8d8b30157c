//! `secret/metadata/…`: what is known of a secret besides its values, and its end.

use std::collections::BTreeMap;

use rouille::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::asked::Asked;
use super::map::LABEL;
use super::{answer, name, versions};
use crate::api::call::Call;
use crate::api::problem::Problem;
use crate::api::settings::{self, SecretForm};
use crate::api::{secret, versions as all_versions};
use crate::base::clock::Timestamp;
use crate::vault::{Condition, Readable};

/// `GET secret/config`: how versions are kept, which no request changes.
pub fn config(_: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    Ok(answer::data_text(asked, r#"{"cas_required":false,"delete_version_after":"0s","max_versions":0}"#))
}

/// `GET secret/metadata/PATH`
pub fn get(call: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Known {
        created_time: Timestamp,
        deletion_time: &'static str,
        destroyed: bool,
    }
    #[derive(Serialize)]
    struct Metadata {
        cas_required: bool,
        created_time: Timestamp,
        current_version: u64,
        custom_metadata: Option<BTreeMap<String, String>>,
        delete_version_after: &'static str,
        max_versions: u64,
        oldest_version: u64,
        updated_time: Timestamp,
        versions: BTreeMap<u64, Known>,
    }
    let name = name::of_path(asked.path)?;
    let secret = call.require_read(&name)?;
    let described = all_versions::describe(call, secret)?;
    let known = described.versions.iter().map(|readable| {
        let created_time = readable.version.created_at;
        (readable.number, Known { created_time, deletion_time: "", destroyed: false })
    });
    // The newest comes first.
    let (newest, oldest) = (described.versions.first(), described.versions.last());
    let created_at = |readable: &Readable| readable.version.created_at;
    let metadata = Metadata {
        cas_required: false,
        created_time: oldest.map(created_at).unwrap_or_default(),
        current_version: newest.map_or(0, |newest| newest.number),
        delete_version_after: "0s",
        max_versions: 0,
        oldest_version: oldest.map_or(0, |oldest| oldest.number),
        updated_time: newest.map(created_at).unwrap_or_default(),
        versions: known.collect(),
        custom_metadata: versions::custom_metadata(described.settings),
    };
    Ok(answer::data(asked, &metadata, 0))
}

/// `PUT secret/metadata/PATH`: other labels.
pub fn put(call: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    const FORM: &str = r#"{"custom_metadata":{"…":"…"}}"#;
    #[derive(Deserialize)]
    struct Write {
        custom_metadata: Option<BTreeMap<String, String>>,
        cas_required: Option<bool>,
        max_versions: Option<u64>,
        delete_version_after: Option<Value>,
    }
    let Write { custom_metadata, cas_required, max_versions, delete_version_after } = asked.read(FORM)?;
    let name = name::of_path(asked.path)?;
    let secret = call.require_change(&name)?;
    let is_never = |after: Value| matches!(after.as_str(), Some("" | "0" | "0s")) || after.as_u64() == Some(0);
    let is_default =
        !cas_required.unwrap_or(false) && max_versions.unwrap_or(0) == 0 && delete_version_after.is_none_or(is_never);
    if !is_default {
        return Err(Problem::unsupported(
            "jarvis-secretsd keeps the versions of a secret by its grace period and knows no cas_required, max_versions and \
             delete_version_after; PATCH /secret/NAME sets grace_days (jarvis-secretsd configure)",
        ));
    }
    let Some(settings) = call.api.vault.settings(&name) else {
        let why = format!("there is no secret {name}; store its data first: PUT secret/data/{}", asked.path);
        return Err(Problem::no_route(why));
    };
    let Some(wanted) = custom_metadata else { return Ok(answer::done()) };
    if wanted.contains_key(LABEL) {
        return Err(Problem::bad_request(format!("{LABEL} is what marks a map, and is set with the data")));
    }
    let others = settings.labels.into_keys().filter(|label| label != LABEL && !wanted.contains_key(label));
    let mut labels: BTreeMap<_, _> = others.map(|label| (label, None)).collect();
    labels.extend(wanted.into_iter().map(|(label, text)| (label, Some(text))));
    let patch = SecretForm::of_labels(labels).patch()?;
    settings::configure(call, secret, patch, Condition::default())?;
    Ok(answer::done())
}

/// `DELETE secret/metadata/PATH` and `DELETE kv/PATH`: all versions are destroyed. Where there is no secret, that is done already.
pub fn delete(call: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    let name = name::of_path(asked.path)?;
    let secret = call.require_change(&name)?;
    match secret::destroy(call, secret, Condition::default()) {
        Err(missing) if missing.code() == "not_found" => call.remark("no change"),
        destroyed => drop(destroyed?),
    }
    Ok(answer::done())
}
