//! `/secrets`: what there is, for those who may read it.

use rouille::{Request, Response};
use serde::Serialize;

use super::call::Call;
use super::problem::Problem;
use super::{Metadata, Query};
use crate::name::is_name_byte;
use crate::vault::{Listed, Place};

/// How many items one answer may be limited to.
const MAX_LIMIT: usize = 1000;

/// `GET /secrets`: the names that the client may read, sorted, without values; all of them, or a page.
pub fn list(call: &mut Call, request: &Request) -> Result<Response, Problem> {
    let query = Query::of(request, &["prefix", "after", "limit"])?;
    let place = Place {
        prefix: beginning(&query, "prefix")?.unwrap_or_default(),
        after: beginning(&query, "after")?,
        limit: query.get("limit").map_or(Ok(usize::MAX), limit)?,
    };
    let now = call.api.vault.now();
    let (listed, are_more) =
        call.api.vault.list_from(&place, |name| call.may_read(name), |from| call.seek_readable(from));
    #[derive(Serialize)]
    struct Item {
        #[serde(flatten)]
        metadata: Metadata,
        is_expired: bool,
    }
    #[derive(Serialize)]
    struct Answer {
        secrets: Vec<Item>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    }
    call.remark(format!("{} names", listed.len()));
    let next = listed.last().filter(|_| are_more).map(|last| last.name.clone());
    let item = |listed: Listed| Item {
        is_expired: listed.version.is_due(now),
        metadata: Metadata::of(&listed.name, &listed.version),
    };
    Ok(Response::json(&Answer { secrets: listed.into_iter().map(item).collect(), next }))
}

/// A parameter that is a name or the beginning of one, which may be empty.
fn beginning<'a>(query: &'a Query, parameter: &str) -> Result<Option<&'a str>, Problem> {
    let text = query.get(parameter);
    match text.is_none_or(|text| text.len() <= 128 && text.bytes().all(is_name_byte)) {
        true => Ok(text),
        false => Err(Problem::bad_request(format!("{parameter} is at most 128 of A-Z a-z 0-9 _ . -"))),
    }
}

/// A parameter that says how many items are wanted.
pub fn limit(text: &str) -> Result<usize, Problem> {
    let number = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let limit = number.and_then(|number| number.parse().ok()).filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| Problem::bad_request(format!("limit is a number from 1 to {MAX_LIMIT}")))
}
