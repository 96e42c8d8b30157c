//! `/rotate`: new values at once.

use std::collections::BTreeSet;

use rouille::{Request, Response};
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::problem::Problem;
use super::{Metadata, Query, json};
use crate::clock::Timestamp;
use crate::generator::Generator;
use crate::rotation;
use crate::vault::{Condition, Version, Wish};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    names: BTreeSet<String>,
}

/// `POST /rotate`: a new value for each of the names, or for none if one is unknown; for all that are due if there are no
/// names. What a person supplied is rotated only by name. With `dry_run=true` it is only told what would be done.
pub fn rotate(call: &mut Call, request: &Request, body: &[u8]) -> Result<Response, Problem> {
    let query = Query::of(request, &["dry_run"])?;
    let dry_run = match query.get("dry_run") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::bad_request("dry_run is true or false")),
    };
    let Names { names } = json::read(body, r#"{"names":["…"]}"#)?;
    let wish = if names.is_empty() {
        call.require_admin("rotation")?;
        let due = rotation::due(&call.api.vault).auto;
        Wish::Rotate { names: due.into_iter().filter(|name| call.may_change(name)).collect(), only_due: true }
    } else {
        for name in &names {
            call.require_change(name)?;
        }
        if names.len() > 1 {
            call.about_several();
        }
        Wish::Rotate { names: names.into_iter().collect(), only_due: false }
    };
    if dry_run {
        return foresee(call, wish);
    }
    let done = call.commit(wish, Condition::default())?;
    if done.is_empty() {
        call.remark("nothing was due");
    }
    #[derive(Serialize)]
    struct Answer {
        rotated_count: usize,
        rotated: Vec<String>,
    }
    let rotated: Vec<String> = done.into_iter().map(|done| done.name).collect();
    Ok(Response::json(&Answer { rotated_count: rotated.len(), rotated }))
}

/// What would be done, and nothing is.
fn foresee(call: &mut Call, wish: Wish) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Item {
        #[serde(flatten)]
        metadata: Metadata,
        previous_readable_until: Timestamp,
        generator: Generator,
    }
    #[derive(Serialize)]
    struct Answer {
        dry_run: bool,
        rotated_count: usize,
        rotated: [(); 0],
        would_rotate: Vec<Item>,
    }
    let foreseen = call.api.vault.foresee(wish)?;
    let item = |(name, version, until): (String, Version, Timestamp)| Item {
        metadata: Metadata::of(&name, &version),
        previous_readable_until: until,
        generator: version.generator.as_deref().cloned().unwrap_or_default(),
    };
    call.remark(format!("dry run: {} would be rotated", foreseen.len()));
    let would_rotate = foreseen.into_iter().map(item).collect();
    Ok(Response::json(&Answer { dry_run: true, rotated_count: 0, rotated: [], would_rotate }))
}
