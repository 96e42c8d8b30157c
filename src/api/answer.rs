//! What the vault and the other parts say, as the API answers it.

use rouille::Response;

use super::{Api, conditions, unapplied};
use crate::answers::{Consumer, NewVersion, SecretSettings, VersionMetadata};
use crate::consumers::Last;
use crate::vault::{Done, Lifetimes, Settings, Version};

pub fn version_metadata(name: &str, version: &Version) -> VersionMetadata {
    VersionMetadata {
        name: name.to_owned(),
        kid: version.kid.of(name),
        created_at: version.created_at,
        expires_at: version.expires_at,
        rotation: version.rotation.as_str().into(),
    }
}

/// The versions that were made, with what was destroyed for each.
pub fn new_versions(api: &Api, done: &[Done]) -> Vec<NewVersion> {
    let mut all: Vec<NewVersion> = Vec::new();
    for done in done {
        match (&done.version, done.kid, all.last_mut()) {
            (Some(version), ..) => all.push(NewVersion {
                version: version_metadata(&done.name, version),
                previous_kid: done.previous.map(|(kid, _)| kid.of(&done.name)),
                previous_readable_until: done.previous.map(|(_, until)| until),
                retired: None,
                warning: unapplied::warning(api, &done.name, version),
            }),
            (None, Some(kid), Some(made)) => made.retired.get_or_insert_default().push(kid.of(&done.name)),
            _ => {}
        }
    }
    all
}

/// The answer that one version was made.
pub fn of_new_version(made: &NewVersion) -> Response {
    Response::json(made).with_unique_header("ETag", conditions::etag(&made.version.kid))
}

/// The settings of a secret as they are in force: its own, those of its current version, and defaults for the others.
pub fn settings_in_force(settings: Settings, current: &Version, defaults: Lifetimes) -> SecretSettings {
    let Lifetimes { rotation_days, grace_days } = settings.lifetimes(defaults);
    let Settings { description, owner, labels, .. } = settings;
    SecretSettings {
        rotation: current.rotation.as_str().into(),
        rotation_days,
        grace_days,
        generator: Some(current.next_generator()),
        description,
        owner,
        labels,
    }
}

/// A client that has read the secret `name`.
pub fn consumer(name: &str, (client, last): &(String, Last)) -> Consumer {
    let Last { kid, read_at, up_to_date, .. } = *last;
    Consumer { client: client.clone(), kid: kid.of(name), read_at, up_to_date }
}
