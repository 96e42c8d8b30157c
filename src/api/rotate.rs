//! `/rotate`: new values at once.

use std::collections::BTreeSet;

use rouille::{Request, Response};
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::problem::Problem;
use super::{Query, json};
use crate::rotation;
use crate::vault::{Condition, Wish};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    names: BTreeSet<String>,
}

/// `POST /rotate`: a new value for each of the names, or for none if one is unknown; for all that are due if there are no
/// names. What a person supplied is rotated only by name.
pub fn rotate(call: &mut Call, request: &Request, body: &[u8]) -> Result<Response, Problem> {
    Query::of(request, &[])?;
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
