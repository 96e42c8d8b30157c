//! Finding versions by their numbers, and what Vault tells of one.

use std::collections::BTreeMap;

use serde::Serialize;

use super::asked::Asked;
use super::map::LABEL;
use crate::api::call::{Call, MayRead};
use crate::api::problem::Problem;
use crate::api::secret;
use crate::base::clock::Timestamp;
use crate::consumers::Receipt;
use crate::vault::{Numbered, Opened, Refused, Settings, Wanted};

/// What is told of a version.
#[derive(Serialize)]
pub struct Metadata {
    created_time: Timestamp,
    custom_metadata: Option<BTreeMap<String, String>>,
    deletion_time: &'static str,
    destroyed: bool,
    version: u64,
}

impl Metadata {
    pub fn new(number: u64, created_time: Timestamp, settings: Settings) -> Self {
        let custom_metadata = custom_metadata(settings);
        Self { created_time, custom_metadata, deletion_time: "", destroyed: false, version: number }
    }
}

/// The labels of a secret, but for the one that is ours; none if it has no others.
pub fn custom_metadata(settings: Settings) -> Option<BTreeMap<String, String>> {
    let mut labels = settings.labels;
    labels.remove(LABEL);
    Some(labels).filter(|labels| !labels.is_empty())
}

/// The version that a request asks for.
pub fn wanted(asked: &Asked) -> Result<Wanted, Problem> {
    match asked.request.get_param("version").as_deref() {
        None | Some("" | "0") => Ok(Wanted::Current),
        Some(number) => match number.parse() {
            Ok(number) => Ok(Wanted::Number(number)),
            Err(_) => Err(Problem::bad_request("version is a version's number, or 0 for the current one")),
        },
    }
}

/// Finds a version, which the audit line is then about.
pub fn find(call: &mut Call, secret: MayRead, wanted: Wanted) -> Result<Numbered, Problem> {
    let name = secret.name();
    let found = call.api.vault.find_numbered(name, wanted).map_err(|_| Refused::NotFound(name.to_owned()))?;
    call.about_version(&found.version.kid);
    Ok(found)
}

/// A version and its value, which the client is then sent.
pub fn read(call: &mut Call, secret: MayRead, asked: &Asked, wanted: Wanted) -> Result<(Numbered, Opened), Problem> {
    let receipt = if asked.is_head { Receipt::Head } else { Receipt::Value };
    loop {
        let found = find(call, secret, wanted)?;
        match secret::open(call, &found.version, receipt) {
            // Another daemon has destroyed it: there is a newer one, or none.
            Err(gone) if wanted == Wanted::Current && gone.code() == "gone" => {}
            opened => return Ok((found, opened?)),
        }
    }
}
