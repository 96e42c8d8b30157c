//! `/rotation/schedule`: when rotation of which secret is due.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter;
use std::ops::Range;

use rouille::Response;

use super::call::Call;
use super::json::Lazy;
use super::list::limit;
use super::problem::Problem;
use super::query::Query;
use super::received::Received;
use crate::answers::{RotationSchedule, ScheduledRotation};
use crate::base::clock::Timestamp;
use crate::base::sync::Breaks;
use crate::vault::{Kid, Listed, Rotation, Version};

/// `GET /rotation/schedule`
pub fn get(call: &mut Call, received: Received) -> Result<Response, Problem> {
    let query = Query::of(received.request, &["limit"])?;
    let limit = query.get("limit").map_or(Ok(usize::MAX), limit)?;
    Ok(schedule(call, limit, |schedule, window, jitter_hours| {
        Response::json(&RotationSchedule { schedule: Lazy::new(schedule), window, jitter_hours })
    }))
}

/// The secrets that the client may read, but for those that are never due, in the order in which something is to be done about
/// them.
///
/// They are made one by one while `write` goes through them, which is given the maintenance windows and the hours of jitter, too.
fn schedule<T>(
    call: &mut Call,
    limit: usize,
    write: impl FnOnce(&mut dyn Iterator<Item = ScheduledRotation>, Option<String>, u64) -> T,
) -> T {
    let (vault, rotator, schedule) = (&call.api.vault, &call.api.rotator, &call.api.schedule);
    let now = vault.now();
    let mut plan = Plan::of(limit);
    // The moment of the last one of those that are kept, if there are enough.
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
        // What a person has to do, nobody can plan for them.
        let is_planned = version.rotation == Rotation::Auto;
        plan.add(&name, &version, is_planned.then(|| schedule.scheduled_at(&name, &version, now)));
        last.set(plan.last);
    }
    let count = plan.count();
    let mut items = plan.in_order().map(|(name, planned)| ScheduledRotation {
        name: name.to_owned(),
        kid: planned.kid.of(name),
        rotation: planned.rotation.as_str().into(),
        expires_at: planned.expires_at,
        scheduled_at: planned.scheduled_at,
        is_due: planned.expires_at <= now,
        has_appliers: Some(rotator.has(name)),
    });
    let jitter_hours = schedule.jitter.as_secs() / 3600;
    let window = schedule.windows.as_ref().map(ToString::to_string);
    let written = write(&mut items, window, jitter_hours);
    call.remark(format!("{count} names"));
    written
}

/// How many entries are sorted without a break.
const RUN: usize = 256;

/// What is to be done, as much of it as is wanted. It lies in few large pieces of memory: to give back the many small ones of
/// 100,000 secrets, the allocator holds others up for milliseconds.
struct Plan {
    limit: usize,
    names: String,
    all: Vec<Planned>,
    /// The moment of the last one of the first, once there were enough.
    last: Option<Timestamp>,
}

/// Something that is to be done about a secret.
struct Planned {
    at: Timestamp,
    name: Range<usize>,
    kid: Kid,
    rotation: Rotation,
    expires_at: Timestamp,
    scheduled_at: Option<Timestamp>,
}

impl Planned {
    /// What they are sorted by: of two for the same moment, the one whose name comes first is the first.
    fn key<'a>(&self, names: &'a str) -> (Timestamp, &'a str) {
        (self.at, &names[self.name.clone()])
    }
}

fn sort(all: &mut [Planned], names: &str) {
    all.sort_unstable_by(|a, b| a.key(names).cmp(&b.key(names)));
}

impl Plan {
    fn of(limit: usize) -> Self {
        Self { limit, names: String::new(), all: Vec::new(), last: None }
    }

    fn add(&mut self, name: &str, version: &Version, scheduled_at: Option<Timestamp>) {
        let begin = self.names.len();
        self.names.push_str(name);
        let Version { kid, rotation, expires_at, .. } = *version;
        let at = scheduled_at.unwrap_or(expires_at);
        self.all.push(Planned { at, name: begin..self.names.len(), kid, rotation, expires_at, scheduled_at });
        if self.all.len() >= self.limit.saturating_mul(2).max(RUN) && self.limit < usize::MAX {
            sort(&mut self.all, &self.names);
            self.all.truncate(self.limit);
            self.last = self.all.last().map(|planned| planned.at);
        }
    }

    fn count(&self) -> usize {
        self.all.len().min(self.limit)
    }

    /// All of it with the names, the first one first. Others come in between while it is sorted.
    fn in_order(&mut self) -> impl Iterator<Item = (&str, &Planned)> {
        let names = self.names.as_str();
        let mut breaks = Breaks::begin();
        for run in self.all.chunks_mut(RUN) {
            sort(run, names);
            breaks.take_if_due();
        }
        let all = &self.all;
        let head = move |at: usize| Reverse((all[at].key(names), at));
        let mut heads: BinaryHeap<_> = (0..all.len()).step_by(RUN).map(head).collect();
        iter::from_fn(move || {
            let Reverse(((_, name), at)) = heads.pop()?;
            let next = at + 1;
            if next < all.len() && next % RUN != 0 {
                heads.push(head(next));
            }
            Some((name, &all[at]))
        })
        .take(self.limit)
    }
}
