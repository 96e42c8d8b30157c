//! What is written down of those who are not identified: as much as they may fill of the audit log, and how many lines more it
//! would have been.

use super::Api;
use crate::access::{LINES_PER_MINUTE, LeftOut};
use crate::audit::{AuditFailure, Entry, Event, Outcome};

/// Writes down that somebody was not identified, for `reason`; or counts it, if too many were in this minute.
pub fn write(api: &Api, entry: Entry, reason: impl Into<String>) -> Result<(), AuditFailure> {
    if !api.access.quota().admit(api.vault.now()) {
        api.metrics.auth_failure_left_out();
        return Ok(());
    }
    let entry = Entry { event: Event::AuthFailure, ..entry };
    api.audit.write(entry.ended(Outcome::Denied, reason)).map(drop)
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
        format!("{lines} more failures since {since} were not written down: at most {LINES_PER_MINUTE} a minute are");
    Entry::new(Event::AuthFailure).ended(Outcome::Denied, told)
}
