//! The warning about a secret whose value the schedule replaces and that has no applier to make external systems accept it.

use super::Api;
use crate::vault::{Rotation, Version};

/// The warning for whoever stores such a value; none if the schedule leaves it alone or the secret has appliers.
pub fn warning(api: &Api, name: &str, version: &Version) -> Option<String> {
    if version.rotation != Rotation::Auto || api.rotator.has(name) {
        return None;
    }
    let at = api.schedule.scheduled_at(name, version, api.vault.now()).to_the_second();
    Some(format!("will be replaced on {at}; whoever uses it must read it again"))
}
