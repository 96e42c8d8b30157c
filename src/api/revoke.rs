//! `revoke_previous`: the versions before a new one are destroyed with the same call.

use super::call::Call;
use super::problem::{NotApplied, Problem};
use crate::answers::NewVersion;
use crate::rotation::Claim;
use crate::vault::Previous;

/// The audit detail of a change that destroys the previous versions.
pub const DETAIL: &str = "revoke_previous";

/// What a failure says, where the new value is in place.
pub const NOT_RETIRED: &str = "the value was replaced, and the old version can no longer be read; but the applier that \
                               revokes it in the external system failed, and will run again";

/// What becomes of the previous versions: `is_wanted` says whether they are revoked. A claim that is returned must be held
/// until [`revoke`] is through.
///
/// # Errors
/// If the secret is just being rotated by its appliers.
pub fn begin<'a>(call: &mut Call<'a>, name: &str, is_wanted: bool) -> Result<(Previous, Option<Claim<'a>>), Problem> {
    if !is_wanted {
        return Ok((Previous::Kept, None));
    }
    call.remark(DETAIL);
    let rotator = &call.api.rotator;
    let claim = match rotator.has(name) {
        true => Some(rotator.claim(name)?),
        false => None,
    };
    Ok((rotator.revoking(name), claim))
}

/// Makes external systems refuse the versions before those of `all`, and destroys these, as far as that is still to be done
/// for the claimed secrets. Returns what failed.
pub fn revoke(call: &mut Call, claims: &[Claim], all: &mut [NewVersion]) -> Vec<NotApplied> {
    let mut failed = Vec::new();
    for claim in claims {
        let name = claim.name();
        let Some(made) = all.iter_mut().find(|made| made.version.name == name) else { continue };
        match call.api.rotator.revoke_old(claim, &made.version.kid, call.entry()) {
            Ok(done) => {
                let kids = done.iter().filter_map(|done| Some(done.kid?.of(name)));
                made.retired.get_or_insert_default().extend(kids);
            }
            Err(why) => failed.push(NotApplied { name: name.to_owned(), message: why.to_string() }),
        }
        call.lines_were_written();
    }
    failed
}
