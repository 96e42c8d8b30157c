//! `GET /secret/{name}?wait=30s`: an answer when the value changes.

use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::call::{Call, MayRead};
use super::conditions;
use super::problem::Problem;
use super::received::Received;
use crate::base::span;
use crate::http::Waited;
use crate::vault::{NoPlace, VersionRef};

/// How long a client may ask to wait.
const SPANS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// Waits while the client has the current version of the secret already, for at most the time that `span` says. The client of
/// `call` is then identified and authorized anew, by the policy of that moment.
///
/// Returns what the client may then read, and the version that the client has, if the client has left meanwhile: it gets no other
/// one.
pub fn while_known<'n>(
    call: &mut Call,
    secret: MayRead<'n>,
    received: &mut Received,
    span: &str,
) -> Result<(MayRead<'n>, Option<VersionRef>), Problem> {
    let (name, Received { request, body, exchange, asleep, .. }) = (secret.name(), received);
    let span = span::parse(span).filter(|span| SPANS.contains(span));
    let span = span.ok_or_else(|| Problem::bad_request("wait is a time from 1s to 60s, such as 30s or 1m"))?;
    if request.header("If-None-Match").is_none() {
        let why = "wait needs If-None-Match with the kid that the client has, and ends when that version is no longer \
                 current";
        return Err(Problem::bad_request(why));
    }
    // It would take room that others wait for.
    if !body.is_empty() {
        return Err(Problem::bad_request("a request with wait must not have a body"));
    }
    let vault = call.api.vault.clone();
    let known = || -> Result<Option<VersionRef>, Problem> {
        let Ok(version) = vault.find(name, None) else { return Ok(None) };
        Ok(conditions::known(request, &version.kid)?.map(|_| version))
    };
    if known()?.is_none() {
        return Ok((secret, None));
    }
    let begun = Instant::now();
    let client = call.client().to_owned();
    let most = call.api.max_watchers;
    let watch = vault.watchers().watch(name, &client, most).map_err(|why| busy(&client, most, why))?;
    let mut left = None;
    while watch.rearm()
        && let Some(version) = known()?
    {
        match exchange.wait(watch.as_fd(), begun + span) {
            Waited::Ready => {}
            Waited::TimedOut => break,
            Waited::Left => {
                left = Some(version);
                break;
            }
        }
    }
    drop(watch);
    asleep.set(begun.elapsed());
    call.renew(request, exchange)?;
    call.confirm()?;
    Ok((call.require_read(name)?, left))
}

fn busy(client: &str, most: usize, why: NoPlace) -> Problem {
    let why = match why {
        NoPlace::ForAnybody => "too many requests wait for a change".to_owned(),
        NoPlace::ForClient(has) => format!(
            "client {client} has {has} of the {most} requests that may wait for a change; the others are kept for \
             other clients"
        ),
    };
    Problem::busy(format!("{why}; send it without wait, or try again later"))
}
