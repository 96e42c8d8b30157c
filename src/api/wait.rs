//! `GET /secret/{name}?wait=30s`: an answer when the value changes.

use std::cell::Cell;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use rouille::Request;

use super::call::Call;
use super::conditions;
use super::problem::Problem;
use crate::http::Peer;
use crate::span;

/// How long a client may let itself be kept waiting.
const SPANS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// A request whose answer may be put off.
pub struct Wait<'a> {
    pub request: &'a Request,
    pub body: &'a [u8],
    pub peer: &'a Peer,
    /// How long it was.
    pub asleep: &'a Cell<Duration>,
}

impl Wait<'_> {
    /// Sleeps while the client has the current version of `name` already, for at most the time that `span` says. Who then
    /// asks, and whether they may, is found out anew: `call`, of whom it is known before, goes by the policy of that moment.
    pub fn while_known(&self, call: &mut Call, name: &str, span: &str) -> Result<(), Problem> {
        let Self { request, body, peer, asleep } = *self;
        let span = span::parse(span).filter(|span| SPANS.contains(span));
        let span = span.ok_or_else(|| Problem::bad_request("wait is a time from 1s to 60s, such as 30s or 1m"))?;
        if request.header("If-None-Match").is_none() {
            let why =
                "wait needs If-None-Match with the kid that the client has, and is over when it is no longer current";
            return Err(Problem::bad_request(why));
        }
        // It would take room that others wait for.
        if !body.is_empty() {
            return Err(Problem::bad_request("a request with wait has no body"));
        }
        let vault = call.api.vault.clone();
        let is_known = || match vault.find(name, None) {
            Ok(sight) => conditions::is_known(request, &sight.kid),
            Err(_) => Ok(false),
        };
        if !is_known()? {
            return Ok(());
        }
        let begun = Instant::now();
        let Some(mut watch) = vault.watchers().watch(name, call.api.max_watchers) else {
            return Err(Problem::busy("too many requests wait for a change; ask without wait, or again later"));
        };
        while is_known()? && watch.sleep(begun + span) {}
        drop(watch);
        asleep.set(begun.elapsed());
        call.renew(request, peer)?;
        call.require_read(name)
    }
}
