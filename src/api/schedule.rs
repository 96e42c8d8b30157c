//! `/rotation/schedule`: what is due when.

use rouille::{Request, Response};
use serde::Serialize;

use super::Query;
use super::call::Call;
use super::list::limit;
use super::problem::Problem;
use crate::clock::Timestamp;
use crate::vault::{Listed, Rotation};

/// `GET /rotation/schedule`: the secrets that the client may read, but for those that are never due, in the order in which
/// something is to be done about them.
pub fn schedule(call: &mut Call, request: &Request) -> Result<Response, Problem> {
    let query = Query::of(request, &["limit"])?;
    let limit = query.get("limit").map_or(Ok(usize::MAX), limit)?;
    #[derive(Serialize)]
    struct Item {
        name: String,
        kid: String,
        rotation: Rotation,
        expires_at: Timestamp,
        scheduled_at: Option<Timestamp>,
        is_due: bool,
    }
    #[derive(Serialize)]
    struct Answer {
        schedule: Vec<Item>,
        window: Option<String>,
        jitter_hours: u64,
    }
    let (vault, schedule) = (&call.api.vault, &call.api.schedule);
    let now = vault.now();
    let item = |Listed { name, version }| Item {
        kid: version.kid.of(&name),
        rotation: version.rotation,
        expires_at: version.expires_at,
        // What a person has to do, nobody can plan for them.
        scheduled_at: (version.rotation == Rotation::Auto).then(|| schedule.scheduled_at(&name, &version, now)),
        is_due: version.is_due(now),
        name,
    };
    let listed = vault.list(|name, version| version.rotation != Rotation::Off && call.may_read(name));
    let mut items: Vec<_> = listed.into_iter().map(item).collect();
    // It comes sorted by name, and what is planned for the same moment stays so.
    items.sort_by_key(|item| item.scheduled_at.unwrap_or(item.expires_at));
    items.truncate(limit);
    call.remark(format!("{} names", items.len()));
    let window = schedule.windows.as_ref().map(ToString::to_string);
    Ok(Response::json(&Answer { schedule: items, window, jitter_hours: schedule.jitter.as_secs() / 3600 }))
}
