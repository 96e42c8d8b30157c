//! The thread that keeps to the schedule: a round a day, and between two of them what is planned for then.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Agenda, Rotator, Schedule, agenda, rotate, round};
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;

/// How long from one round to the next.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long until what failed is tried again, and the longest time without a look at what is planned: settings are changed,
/// and clocks are set.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// What is planned for one moment and the next is done in one go.
const MINUTE: Duration = Duration::from_secs(60);

/// How often whoever leads several daemons looks whether another one has left a rotation unfinished.
const LOOK: Duration = Duration::from_secs(10);

/// The thread that rotates what is due by the schedule.
pub struct Scheduler {
    rotator: Arc<Rotator>,
    thread: JoinHandle<()>,
}

impl Scheduler {
    /// Starts the thread. It first continues what was not finished; then its first round begins at once.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(rotator: Arc<Rotator>, schedule: Schedule) -> std::io::Result<Self> {
        let stopping = rotator.clone();
        let thread = std::thread::Builder::new().name("rotation".to_owned()).spawn(move || {
            log::info!("Rotation scheduler started (checking daily)");
            let mut next_round = Instant::now();
            let mut next_compaction = next_round + DAY;
            while !rotator.is_stopping() {
                let now = Instant::now();
                if !rotator.vault.leads() {
                    // All is looked through as soon as it leads.
                    next_round = now;
                    follow(&rotator, &mut next_compaction);
                    continue;
                }
                rotator.tend(&schedule);
                let done = if now >= next_round {
                    let done = round(&rotator, &schedule);
                    next_round = now + if done.is_ok() { DAY } else { HOUR };
                    done
                } else {
                    planned(&rotator, &schedule)
                };
                let next = done.unwrap_or_else(|why| {
                    if rotator.vault.leads() {
                        log::error!("Rotation not finished, trying again in an hour: {why}");
                    }
                    None
                });
                let pause = pause(next, rotator.vault.now());
                let pause = if rotator.vault.is_shared() { pause.min(LOOK) } else { pause };
                rotator.sleep(pause.min(next_round.saturating_duration_since(Instant::now())));
            }
        })?;
        Ok(Self { rotator: stopping, thread })
    }

    /// Ends it, and all rotations: at once if it sleeps, else after the step that it is at, and a program of a secret after
    /// `grace` at the latest.
    pub fn stop(self, grace: Duration) {
        self.rotator.stop(grace);
        if self.thread.join().is_err() {
            log::error!("The rotation thread had panicked");
        }
    }
}

/// Waits until this daemon leads. Its copy is its own, and once a day what is dead is taken out of it.
fn follow(rotator: &Rotator, next_compaction: &mut Instant) {
    rotator.leave_to_the_leader();
    let now = Instant::now();
    if now >= *next_compaction {
        *next_compaction = now + DAY;
        if let Err(why) = rotator.vault.compact_dead() {
            log::error!("Compaction failed, the vault file stays as it is: {why}");
        }
    }
    rotator.sleep(*next_compaction - now);
}

/// Does what is planned for now, and returns when there is something to do next.
fn planned(rotator: &Rotator, schedule: &Schedule) -> Result<Option<Timestamp>, Failure> {
    let Agenda { now, next } = agenda(&rotator.vault, schedule);
    rotate(rotator, now)?;
    Ok(next)
}

/// How long to sleep until `next`.
fn pause(next: Option<Timestamp>, now: Timestamp) -> Duration {
    let left = next.map_or(HOUR, |next| Duration::from_nanos(next.nanos().saturating_sub(now.nanos())));
    left.clamp(MINUTE, HOUR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_sleeps_until_something_is_planned_but_neither_a_moment_nor_for_more_than_an_hour() {
        let now = Timestamp::from_nanos(1_761_565_004_549_067_206);
        assert_eq!(pause(None, now), HOUR);
        assert_eq!(pause(Some(now), now), MINUTE);
        assert_eq!(pause(Some(now.plus(MINUTE * 7)), now), MINUTE * 7);
        assert_eq!(pause(Some(now.plus(DAY)), now), HOUR);
    }
}
