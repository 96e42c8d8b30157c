//! Failed authentication, in the audit log and in the log for people.
//!
//! Each takes only so many lines in a time. What is beyond that is counted, and the count is written down.

use super::Api;
use crate::access::{Access, LINES_PER_MINUTE, LeftOut};
use crate::audit::{AuditFailure, Entry, Event, Outcome};
use crate::base::failure::printable;

/// Audits a failed authentication, for `reason`; or counts it, if there were too many in this minute.
pub fn write(api: &Api, entry: Entry, reason: impl Into<String>) -> Result<(), AuditFailure> {
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
