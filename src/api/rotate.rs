//! `/rotate`: new values at once.

use std::collections::BTreeSet;

use rouille::{Request, Response};
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::made::{self, Made};
use super::problem::{NotApplied, Problem};
use super::{Metadata, Query, json};
use crate::clock::Timestamp;
use crate::generator::Generator;
use crate::rotation::{self, NotRotated};
use crate::vault::{Condition, Previous, Refused, Version, Wish};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    names: BTreeSet<String>,
    #[serde(default)]
    revoke_previous: bool,
}

const FORM: &str = r#"{"names":["…"]}, optionally with "revoke_previous":true"#;

/// `POST /rotate`: a new value for each of the names, or for none if one is unknown; for all that are due if there are no
/// names. What a person supplied is rotated only by name. With `dry_run=true` it is only told what would be done, or refused as
/// that would be.
///
/// With `revoke_previous` all older versions are destroyed with the same change.
///
/// Secrets without appliers come first, all in one change, and then the others one by one. What fails of these is told.
pub fn rotate(call: &mut Call, request: &Request, body: &[u8]) -> Result<Response, Problem> {
    let query = Query::of(request, &["dry_run"])?;
    let dry_run = match query.get("dry_run") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::bad_request("dry_run is true or false")),
    };
    let Names { names, revoke_previous } = json::read(body, FORM)?;
    let api = call.api;
    let only_due = names.is_empty();
    if only_due && revoke_previous {
        return Err(Problem::bad_request(format!("revoke_previous is for secrets that are named: {FORM}")));
    }
    let names: Vec<String> = if only_due {
        call.require_admin("rotation")?;
        let is_free = |name: &String| call.may_change(name) && api.vault.find_pending(name).is_none();
        rotation::due(&api.vault).auto.into_iter().filter(is_free).collect()
    } else {
        for name in &names {
            call.require_change(name)?;
        }
        if names.len() > 1 {
            call.about_several();
        }
        names.into_iter().collect()
    };
    if revoke_previous {
        call.remark(made::REVOKED);
    }
    let (outside, names): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| api.rotator.has(name));
    if dry_run {
        // It claims nothing: whoever asks must not keep others from it.
        let mut free = free(call, &outside, only_due, |name| api.rotator.is_free(name).then(|| name.to_owned()))?;
        refuse_pending(call, &names, only_due)?;
        free.extend(names);
        free.sort_unstable();
        let previous = if revoke_previous { Previous::Ended } else { Previous::Kept };
        return foresee(call, Wish::Rotate { names: free, only_due, previous });
    }
    let claims = free(call, &outside, only_due, |name| api.rotator.claim(name))?;
    refuse_pending(call, &names, only_due)?;
    let mut done = Vec::new();
    if outside.is_empty() || !names.is_empty() {
        let previous = if revoke_previous { Previous::Destroyed } else { Previous::Kept };
        done = call.commit(Wish::Rotate { names, only_due, previous }, Condition::default())?;
    }
    let mut failed = Vec::new();
    for claim in &claims {
        match api.rotator.rotate(claim, only_due, revoke_previous, call.entry()) {
            Ok(rotated) if rotated.is_empty() => continue,
            Ok(rotated) => done.extend(rotated),
            Err(NotRotated::Vault(refused)) if outside.len() == 1 && done.is_empty() => {
                call.is_written();
                return Err(refused.into());
            }
            Err(why) => failed.push(NotApplied { name: claim.name().to_owned(), message: why.to_string() }),
        }
        call.is_written();
    }
    let mut versions = Made::of(&done);
    let revoked: &[_] = if revoke_previous { &claims } else { &[] };
    let not_retired = made::revoke(call, revoked, &mut versions);
    versions.sort_unstable_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let rotated: Vec<String> = versions.iter().map(|made| made.metadata.name.clone()).collect();
    let what = match (failed.is_empty(), not_retired.is_empty()) {
        (true, true) => None,
        (false, true) => Some("not rotated, the value before stays"),
        (true, false) => Some(made::NOT_RETIRED),
        (false, false) => Some("some were not rotated, and of others the version before is not yet retired outside"),
    };
    if let Some(what) = what {
        failed.extend(not_retired);
        return Err(Problem::apply_failed(what, rotated, failed));
    }
    if rotated.is_empty() {
        call.remark("nothing was due");
    }
    #[derive(Serialize)]
    struct Answer {
        rotated_count: usize,
        rotated: Vec<String>,
        /// Only of those that were named: what is due may be many times as much as a request names.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        versions: Vec<Made>,
    }
    if only_due {
        versions.clear();
    }
    Ok(Response::json(&Answer { rotated_count: rotated.len(), rotated, versions }))
}

/// What `take` has of each of these secrets, which have appliers: of all of them, or, where it is about what is due, of those
/// that nobody rotates already. `take` has nothing of one that somebody rotates.
fn free<T>(call: &Call, names: &[String], only_due: bool, take: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Problem> {
    let mut all = Vec::new();
    for name in names {
        let taken = take(name);
        match (call.api.vault.describe(name), taken) {
            (Some(described), Some(taken)) if described.pending.is_none() => all.push(taken),
            _ if only_due => {}
            (None, _) => return Err(Refused::NotFound(name.clone()).into()),
            _ => return Err(Refused::Pending(name.clone()).into()),
        }
    }
    Ok(all)
}

/// Refuses what is asked for by name of a secret that had appliers when its rotation began, and has none now.
fn refuse_pending(call: &Call, names: &[String], only_due: bool) -> Result<(), Problem> {
    match names.iter().find(|name| call.api.vault.find_pending(name).is_some()) {
        Some(pending) if !only_due => Err(Refused::Pending(pending.clone()).into()),
        _ => Ok(()),
    }
}

/// What would be done, and nothing is.
fn foresee(call: &mut Call, wish: Wish) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Item {
        #[serde(flatten)]
        metadata: Metadata,
        previous_readable_until: Timestamp,
        generator: Generator,
        has_appliers: bool,
    }
    #[derive(Serialize)]
    struct Answer {
        dry_run: bool,
        rotated_count: usize,
        rotated: [(); 0],
        would_rotate: Vec<Item>,
    }
    let (foreseen, rotator) = (call.api.vault.foresee(wish)?, &call.api.rotator);
    let item = |(name, version, until): (String, Version, Timestamp)| Item {
        metadata: Metadata::of(&name, &version),
        previous_readable_until: until,
        generator: version.next_generator(),
        has_appliers: rotator.has(&name),
    };
    call.remark(format!("dry run: {} would be rotated", foreseen.len()));
    let would_rotate = foreseen.into_iter().map(item).collect();
    Ok(Response::json(&Answer { dry_run: true, rotated_count: 0, rotated: [], would_rotate }))
}
