//! `/rotation/schedule`: what is due when.

use std::cell::Cell;
use std::collections::BTreeMap;

use rouille::{Request, Response};
use serde::Serialize;

use super::Query;
use super::call::Call;
use super::json::Lazy;
use super::list::limit;
use super::problem::Problem;
use crate::clock::Timestamp;
use crate::vault::{Listed, Rotation, Version};

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
    struct Answer<L> {
        schedule: L,
        window: Option<String>,
        jitter_hours: u64,
    }
    let (vault, schedule) = (&call.api.vault, &call.api.schedule);
    let now = vault.now();
    // What a person has to do, nobody can plan for them.
    let planned = |name: &str, version: &Version| {
        (version.rotation == Rotation::Auto).then(|| schedule.scheduled_at(name, version, now))
    };
    // The first ones of those that were looked at. Of two for the same moment, the one whose name comes first.
    let mut first = BTreeMap::new();
    // The moment of the last one of them, if there are enough.
    let last = Cell::new(None::<Timestamp>);
    // Nothing is planned for a moment before it is due, or that is over; and those that are still to come have later names.
    let may_come_first = |version: &Version| {
        let earliest = match version.rotation {
            Rotation::Off => return false,
            Rotation::Auto => version.expires_at.max(now),
            Rotation::Manual => version.expires_at,
        };
        last.get().is_none_or(|last| earliest < last)
    };
    let seek = |from: &str| call.seek_readable(from);
    let listing = vault.listing("", None, may_come_first, seek).filter(|listed| call.may_read(&listed.name));
    for Listed { name, version, .. } in listing {
        let scheduled_at = planned(&name, &version);
        first.insert((scheduled_at.unwrap_or(version.expires_at), name), (version, scheduled_at));
        if first.len() > limit {
            first.pop_last();
        }
        if first.len() == limit {
            last.set(first.last_key_value().map(|((at, _), _)| *at));
        }
    }
    let items = first.into_iter().map(|((_, name), (version, scheduled_at))| Item {
        kid: version.kid.of(&name),
        rotation: version.rotation,
        expires_at: version.expires_at,
        scheduled_at,
        is_due: version.is_due(now),
        name,
    });
    let jitter_hours = schedule.jitter.as_secs() / 3600;
    let window = schedule.windows.as_ref().map(ToString::to_string);
    call.remark(format!("{} names", items.len()));
    Ok(Response::json(&Answer { schedule: Lazy::new(items), window, jitter_hours }))
}
