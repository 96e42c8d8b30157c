//! Failed authentication, in the audit log and in the log for people.
//!
//! Each takes only so many lines in a time. What is beyond that is counted, and the count is written down.

use super::Api;
use super::problem::Problem;
use crate::access::{Access, IdentityErrorKind, LINES_PER_MINUTE, LeftOut, Throttled};
use crate::audit::{AuditFailure, Entry, Event, Outcome};
use crate::base::failure::printable;
use crate::http::Peer;

impl Api {
    /// Refuses a client whose certificate is not accepted, for the reason `why`, as [`refuse`](Self::refuse) does.
    pub fn distrust(&self, peer: &Peer, entry: Entry, why: &str) -> Problem {
        self.refuse(Some(peer), entry, IdentityErrorKind::Unauthenticated, format!("client certificate: {why}"))
    }

    /// Counts and audits a failed authentication, for `reason`; `entry` says which client was claimed. `throttled_peer` is the
    /// peer whose failure counts; none if the failure must keep nobody from trying again.
    pub fn refuse(
        &self,
        throttled_peer: Option<&Peer>,
        entry: Entry,
        kind: IdentityErrorKind,
        reason: impl Into<String>,
    ) -> Problem {
        let failed = throttled_peer.map_or(Ok(()), |peer| self.access.throttle().fail(peer, self.vault.now()));
        if let Err(why) = failed {
            return throttled(self, entry, why);
        }
        if kind == IdentityErrorKind::Unauthenticated {
            self.metrics.auth_failure();
        }
        match write(self, entry, reason) {
            Ok(()) => Problem::unidentified(kind),
            Err(failure) => failure.into(),
        }
    }
}

/// Refuses a source with too many failed authentication attempts. That is audited when it begins, and not with every request:
/// otherwise the log would fill the disk.
pub fn throttled(api: &Api, entry: Entry, throttled: Throttled) -> Problem {
    api.metrics.auth_throttled();
    if throttled.is_news {
        // It is about the address, whatever name is claimed from there.
        let entry = Entry { client: None, ..entry };
        let reason = "too many failed authentication attempts; more from this address are not recorded";
        if let Err(failure) = write(api, entry, reason) {
            return failure.into();
        }
    }
    Problem::too_many_failures(throttled.retry_after)
}

/// Audits a failed authentication, for `reason`; or counts it, if there were too many in this minute.
fn write(api: &Api, entry: Entry, reason: impl Into<String>) -> Result<(), AuditFailure> {
    let reason = reason.into();
    tell(api, &entry, &reason);
    if !api.access.quota().admit(api.vault.now()) {
        api.metrics.auth_failure_left_out();
        return Ok(());
    }
    let entry = Entry { event: Event::AuthFailure, ..entry };
    api.audit.write(entry.ended(Outcome::Denied, reason)).map(drop)
}

/// Writes to the log for people, once a second at most, so that an operator need not look for a failed request in the audit
/// log.
fn tell(api: &Api, entry: &Entry, reason: &str) {
    let quota = api.access.log_quota();
    if !quota.admit(api.vault.now()) {
        return;
    }
    let request = entry.request_id.as_ref().map(|id| format!("request {id} ")).unwrap_or_default();
    let claimed = entry.client.as_ref().map(|client| format!(", claims to be {client}")).unwrap_or_default();
    let more = quota.take().map(|left_out| format!("; {} more before it", left_out.lines)).unwrap_or_default();
    let (remote, reason) = (entry.remote.as_deref().unwrap_or("nobody"), printable(reason));
    log::warn!("Not authenticated: {request}from {remote}{claimed}: {reason}{more}");
}

/// Says in the log for people how many failures it has no line about, if any.
pub fn tell_unlogged(access: &Access) {
    if let Some(left_out) = access.log_quota().take() {
        log::warn!("Not authenticated: {} more", left_out.lines);
    }
}

/// Says in the audit log how many lines of the minute before were left out, if that was not said yet.
pub fn tell_left_out(api: &Api) {
    if let Some(left_out) = api.access.quota().take_if_due(api.vault.now()) {
        // Where nothing can be written, the log says so, and it is tried again.
        if api.audit.write(line(left_out)).is_err() {
            api.access.quota().give_back(left_out);
        }
    }
}

/// The line about those that were left out.
pub fn line(left_out: LeftOut) -> Entry {
    let LeftOut { lines, since } = left_out;
    let told =
        format!("{lines} more failures since {since} were not recorded: at most {LINES_PER_MINUTE} a minute are");
    Entry::new(Event::AuthFailure).ended(Outcome::Denied, told)
}
