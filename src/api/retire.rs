//! `/secret/{name}/retire`: the grace of older versions ends at once.

use rouille::Response;
use serde::Deserialize;

use super::call::{Call, MayChange};
use super::problem::{NotApplied, Problem};
use super::query::Query;
use super::received::Received;
use super::{answer, conditions, json};
use crate::answers::{Consumer, Retired};
use crate::consumers::Standing;
use crate::rotation::{Claim, NotRotated};
use crate::vault::{Condition, Operation, Refused, Unavailable};

/// How many clients a message or an audit line names.
const NAMED: usize = 20;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetirementForm {
    #[serde(default)]
    force: bool,
}

/// `POST /secret/{name}/retire`
pub fn post(call: &mut Call, received: Received) -> Result<Response, Problem> {
    let secret = call.require_change(received.name)?;
    Query::of(received.request, &[])?;
    let RetirementForm { force } = match received.body {
        [] => RetirementForm::default(),
        body => json::read(body, r#"{} or {"force":true}"#)?,
    };
    let condition = conditions::condition(received.request)?;
    Ok(Response::json(&retire(call, secret, force, &condition)?))
}

/// Destroys all versions but the current one; none, if a client may still need one, unless that is forced.
pub fn retire(call: &mut Call, secret: MayChange, force: bool, condition: &Condition) -> Result<Retired, Problem> {
    let name = secret.name();
    loop {
        let standing = call.api.consumers.of(name).map_err(Refused::Shared)?;
        let kid = standing.as_ref().map(|standing| standing.current().of(name));
        if !condition.holds(kid.as_deref()) {
            return Err(Refused::PreconditionFailed(vec![name.to_owned()]).into());
        }
        let (Some(standing), Some(kid)) = (standing, kid) else {
            return Err(Refused::NotFound(name.to_owned()).into());
        };
        if force {
            call.remark(forced(&standing));
        } else {
            nobody_needs_an_older_one(name, &kid, &standing)?;
            all_have_told(call, name, &standing)?;
        }
        let _claim = retired_outside(call, name)?;
        // A newer version, which nobody has read, must not come in between, and another client that reads an older one neither.
        let unchanged = Condition { if_match: Some(vec![kid.clone()]), if_none_match: None };
        let seen = standing.seen.filter(|_| !force);
        let done = match call.commit_part(Operation::Retire { name: name.to_owned(), seen }, unchanged) {
            Err(Refused::PreconditionFailed(_) | Refused::Shared(Unavailable::Overtaken(_))) => continue,
            done => done?,
        };
        if done.is_empty() {
            call.remark("there was no older version");
        }
        let retired = done.iter().filter_map(|done| Some(done.kid?.of(name))).collect();
        return Ok(Retired { name: name.to_owned(), kid, retired });
    }
}

/// Makes external systems refuse the older versions, if there is a program for that. Nobody else rotates the secret as long as
/// the returned claim lives.
fn retired_outside<'a>(call: &mut Call<'a>, name: &str) -> Result<Option<Claim<'a>>, Problem> {
    let rotator = &call.api.rotator;
    rotator.retire_old(name, call.entry()).map_err(|why| match why {
        NotRotated::Vault(refused) => refused.into(),
        NotRotated::ExternalSystem(message) => {
            call.lines_were_written();
            let failed = vec![NotApplied { name: name.to_owned(), message }];
            Problem::apply_failed("not retired, the older versions stay", Vec::new(), failed)
        }
    })
}

/// Refuses if a client is known, or could be, that has read a version which is to be destroyed, and not the current one.
fn nobody_needs_an_older_one(name: &str, kid: &str, standing: &Standing) -> Result<(), Problem> {
    if standing.readable.len() == 1 {
        return Ok(());
    }
    let since = standing.complete_since.ok_or_else(Problem::still_reading)?;
    let behind: Vec<Consumer> = standing.behind().map(|consumer| answer::consumer(name, consumer)).collect();
    if !behind.is_empty() {
        let names = named(standing);
        let message = format!("these clients have read an older version of {name} and not yet {kid}: {names}");
        return Err(Problem::consumers_behind(message, behind));
    }
    if !standing.is_complete() {
        let message = format!(
            "read history is incomplete: the audit log does not show who read an older version of {name} before \
             {since}; clients that did, and have not read {kid} since, would lose access"
        );
        return Err(Problem::consumers_behind(message, behind));
    }
    Ok(())
}

/// Refuses if another daemon that shares the vault may have served an older version, and could not tell.
fn all_have_told(call: &Call, name: &str, standing: &Standing) -> Result<(), Problem> {
    if standing.readable.len() == 1 {
        return Ok(());
    }
    let unheard = call.api.consumers.unheard().map_err(Refused::Shared)?;
    if unheard.is_empty() {
        return Ok(());
    }
    let message = format!(
        "these daemons are away, and may have served an older version of {name} while etcd did not answer \
         (max_staleness_secs): {}; start them, or, if one does not come back, forget it (cluster forget)",
        unheard.join(", ")
    );
    Err(Problem::consumers_behind(message, Vec::new()))
}

/// The audit detail of a retirement that somebody forced.
fn forced(standing: &Standing) -> String {
    let names = named(standing);
    let names = if names.is_empty() { "nobody" } else { &names };
    let known = if standing.is_complete() { "" } else { ", as far as known" };
    format!("forced; behind{known}: {names}")
}

/// The names of the clients that are behind, at most [`NAMED`] of them.
fn named(standing: &Standing) -> String {
    let names: Vec<&str> = standing.behind().map(|(client, _)| client.as_str()).collect();
    match names.len().checked_sub(NAMED) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..NAMED].join(", ")),
    }
}
