//! What a start audits first: what a crash left without its line, an accepted rollback, and the start itself.

use std::path::Path;

use crate::audit::{self, AuditFailure, AuditLog, Entry, Event, Outcome};
use crate::base::failure::Failure;
use crate::vault::{self, Unaudited, UsedKids, Vault, Wrapping};

/// Writes what is audited first. Where there is no room for it, it comes before whatever is written as soon as there is: a daemon
/// that does not start can make none, nor tell what it lacks.
pub fn begin(audit: &AuditLog, first_lines: Vec<Entry>) -> Result<(), AuditFailure> {
    match audit.begin(first_lines) {
        Err(why) if audit.is_out_of_room() => {
            log::warn!("Starting anyway: {why}; it recovers by itself as soon as there is room");
            Ok(())
        }
        begun => begun,
    }
}

/// Begins the branch that an accepted rollback is, and says what is then audited of that and of the start.
pub fn accepted(
    what: String,
    vault: &Vault,
    (audit, path): (&AuditLog, &Path),
    start: Entry,
) -> Result<[Entry; 2], Failure> {
    log::warn!("Rollback accepted: {what}");
    let at = vault.begin_branch(UsedKids::until(vault.now().max(audit.tip().timestamp), path))?;
    let entry = Entry { vault: Some(at), ..Entry::new(Event::RollbackAccepted) };
    Ok([entry.ended(Outcome::Success, what), Entry { vault: Some(at), ..start }])
}

/// What is audited of the changes that a crash left without their line.
pub fn recovered(vault: &vault::Found) -> Vec<Entry> {
    let entry = |change: &Unaudited| {
        log::warn!("Recovered change {} of the vault, which was not yet audited", change.at.seq);
        change.clone().entry("found in the vault at the start")
    };
    vault.unaudited().iter().map(entry).collect()
}

/// The audit line of the start.
pub fn start(vault: &vault::Found, audit: &audit::Found, policy_sha256: &str, wrapping: Option<&Wrapping>) -> Entry {
    let mut detail =
        format!("version {}, vault {}, policy sha256 {policy_sha256}", env!("CARGO_PKG_VERSION"), vault.vault_id());
    if let Some(wrapping) = wrapping {
        detail.push_str(&format!(", master key unwrapped by {}", wrapping.unwrapper()));
    }
    for (bytes, file) in [(vault.unfinished_bytes(), "vault"), (audit.unfinished_bytes(), "audit log")] {
        if bytes > 0 {
            log::warn!("Cutting {bytes} bytes of an interrupted write off the {file}");
            detail.push_str(&format!(", {bytes} bytes of an interrupted write cut off the {file}"));
        }
    }
    let entry = Entry { vault: Some(vault.at()), ..Entry::new(Event::ServerStart) };
    entry.ended(Outcome::Success, detail)
}
