//! What is told of new versions, and `revoke_previous`: those before are destroyed with the same call.

use rouille::Response;
use serde::Serialize;

use super::call::Call;
use super::problem::{NotApplied, Problem};
use super::{Api, Metadata, conditions, unapplied};
use crate::base::clock::Timestamp;
use crate::rotation::Claim;
use crate::vault::{Done, Previous, Refused};

/// The audit detail of a change that destroys the previous versions.
pub const REVOKED: &str = "revoke_previous";

/// What a failure says, where the new value is in place.
pub const NOT_RETIRED: &str = "the value was replaced, and the old version can no longer be read; but the applier that \
                               revokes it in the external system failed, and will run again";

/// A version that was made, in an answer.
#[derive(Serialize)]
pub struct Made {
    #[serde(flatten)]
    pub metadata: Metadata,
    /// None, like what follows: there was no version before.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_readable_until: Option<Timestamp>,
    /// The kids of those that were destroyed; none: that was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    retired: Option<Vec<String>>,
    /// None: nobody need be warned.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

impl Made {
    pub fn response(&self) -> Response {
        Response::json(self).with_unique_header("ETag", conditions::etag(&self.metadata.kid))
    }

    /// The versions that were made, with what was destroyed for each.
    pub fn of(api: &Api, done: &[Done]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for done in done {
            match (&done.version, done.kid, all.last_mut()) {
                (Some(version), ..) => all.push(Self {
                    metadata: Metadata::of(&done.name, version),
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
}

/// What becomes of the previous versions: `is_wanted` says whether they are revoked. A claim that is returned must be held
/// until [`revoke`] is through.
///
/// # Errors
/// If the secret is just being rotated by its appliers.
pub fn begin<'a>(call: &mut Call<'a>, name: &str, is_wanted: bool) -> Result<(Previous, Option<Claim<'a>>), Problem> {
    if !is_wanted {
        return Ok((Previous::Kept, None));
    }
    call.remark(REVOKED);
    let rotator = &call.api.rotator;
    let claim = match rotator.has(name) {
        true => Some(rotator.claim(name).ok_or_else(|| Refused::Pending(name.to_owned()))?),
        false => None,
    };
    Ok((rotator.revoking(name), claim))
}

/// Makes external systems refuse the versions before those of `all`, and destroys these, as far as that is still to be done
/// for the claimed secrets. Returns what failed.
pub fn revoke(call: &mut Call, claims: &[Claim], all: &mut [Made]) -> Vec<NotApplied> {
    let mut failed = Vec::new();
    for claim in claims {
        let name = claim.name();
        let Some(made) = all.iter_mut().find(|made| made.metadata.name == name) else { continue };
        match call.api.rotator.revoke_old(claim, &made.metadata.kid, call.entry()) {
            Ok(done) => {
                let kids = done.iter().filter_map(|done| Some(done.kid?.of(name)));
                made.retired.get_or_insert_default().extend(kids);
            }
            Err(why) => failed.push(NotApplied { name: name.to_owned(), message: why.to_string() }),
        }
        call.is_written();
    }
    failed
}
