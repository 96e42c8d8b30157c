//! Rotation: what is due, what is done about it, and when.
//!
//! The schedule replaces only what is `auto`; that rotation of something else is due, it reports.

mod left;
mod opened;
mod phases;
mod repair;
mod retirement;
mod retries;
mod rollback;
mod rotator;
mod schedule;
mod scheduler;
pub(crate) mod told;
mod window;

use std::cell::Cell;

pub(crate) use phases::NotRotated;
pub(crate) use rotator::{Claim, Rotator};
pub use schedule::Schedule;
pub(crate) use scheduler::Scheduler;
pub use window::Windows;

use crate::audit::{Entry, Event};
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::vault::{AT_A_TIME, Condition, Duty, Listed, Operation, Order, Previous, Refused, Rotation, Vault};

/// The detail of the audit lines about what a round changes.
const REASON: &str = "scheduled";

/// The secrets that are due now and whose value is to be replaced so, sorted by name.
pub fn due(vault: &Vault, rotation: Rotation) -> impl Iterator<Item = Listed> {
    let now = vault.now();
    vault.all(move |version| version.rotation == rotation && version.is_due(now))
}

/// What the schedule is to replace now, and when it is to look again.
pub struct Agenda {
    /// The secrets whose value is to be replaced now.
    pub now: Vec<String>,
    /// The next moment at which there is something to replace, as far as is known by now.
    pub next: Option<Timestamp>,
}

/// Finds what the schedule is to replace now.
pub fn agenda(vault: &Vault, schedule: &Schedule) -> Agenda {
    let now = vault.now();
    let next = Cell::new(None::<Timestamp>);
    let later = |at: Timestamp| next.set(Some(next.get().map_or(at, |next| next.min(at))));
    let due = vault.all(|version| {
        let is_due = version.rotation == Rotation::Auto && version.is_due(now);
        if version.rotation == Rotation::Auto && !is_due {
            // It is not planned for earlier, and that is all that need be known yet.
            later(version.expires_at);
        }
        is_due
    });
    let mut names = Vec::new();
    for Listed { name, version, .. } in due {
        match schedule.scheduled_at(&name, &version, now) {
            at if at <= now => names.push(name),
            at => later(at),
        }
    }
    Agenda { now: names, next: next.get() }
}

/// One round: rotates what is scheduled, reports what a person has to replace, destroys versions whose grace is over, and
/// takes what is dead out of the file. Returns when there is something to replace next. What fails in external systems is
/// tried again by itself, see [`Rotator::tend`].
///
/// It ends early when the rotator is stopping.
///
/// # Errors
/// If something could not be done; what was done until then stays done.
pub fn round(rotator: &Rotator, schedule: &Schedule) -> Result<Option<Timestamp>, Failure> {
    let vault = &rotator.vault;
    log::info!("Checking for secrets due for rotation...");
    let manual: Vec<_> = due(vault, Rotation::Manual).map(|due| due.name).collect();
    told::due(&manual);
    let agenda = agenda(vault, schedule);
    if agenda.now.is_empty() && manual.is_empty() {
        log::info!("No secrets due for rotation");
    }
    rotate(rotator, agenda.now)?;
    rotator.retire_expired();
    vault.destroy_expired(REASON, || rotator.is_stopping()).map_err(failure)?;
    if !rotator.is_stopping() {
        vault.compact_dead()?;
    }
    Ok(agenda.next)
}

/// Replaces the values of those that are due.
fn rotate(rotator: &Rotator, names: Vec<String>) -> Result<(), Failure> {
    let (outside, names): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| rotator.has(name));
    // One that had appliers when its rotation began is for a person to finish.
    let names: Vec<_> = names.into_iter().filter(|name| rotator.vault.find_pending(name).is_none()).collect();
    let mut done = Vec::new();
    let rotated = names.chunks(AT_A_TIME).take_while(|_| !rotator.is_stopping()).try_for_each(|names| {
        let entry = Entry { detail: Some(REASON.to_owned()), ..Entry::new(Event::Rotate) };
        let operation = Operation::Rotate { names: names.to_vec(), only_due: true, previous: Previous::Kept };
        let answer =
            rotator.vault.commit(Order { operation, condition: Condition::default(), duty: Duty::Leader, entry })?;
        done.extend(answer.into_iter().map(|done| done.name));
        Ok(())
    });
    told::rotated(&done, None);
    rotated.map_err(failure)?;
    rotator.rotate_due(&outside);
    Ok(())
}

fn failure(refused: Refused) -> Failure {
    Failure::new("rotation", refused)
}
