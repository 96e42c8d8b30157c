//! Whether etcd has room for what is added, as far as this daemon knows.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::base::sync::lock;
use crate::etcd::{Error, Etcd};

/// How often etcd is asked by itself. Each question goes through its log, as a change does.
const ASKED_EVERY: Duration = Duration::from_secs(10);

/// What is known of it.
#[derive(Default)]
pub struct Room {
    is_full: AtomicBool,
    /// 0: it is not known.
    database_bytes: AtomicU64,
    asked: Mutex<Option<Instant>>,
}

impl Room {
    /// Whether etcd refuses all that would be written.
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// The size of the database of the member that was asked, if it may be known.
    pub fn database_bytes(&self) -> Option<u64> {
        Some(self.database_bytes.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }

    /// Notes the outcome of an attempt to write; none: it succeeded.
    pub fn note(&self, error: Option<&Error>) {
        match error {
            None => self.set_full(false),
            Some(Error::NoSpace) => self.set_full(true),
            // It says nothing of that.
            Some(_) => {}
        }
    }

    /// Asks etcd, if that was not done for a while.
    pub fn look(&self, etcd: &Etcd, deadline: Instant) {
        {
            let mut asked = lock(&self.asked);
            if asked.is_some_and(|at| at.elapsed() < ASKED_EVERY) {
                return;
            }
            *asked = Some(Instant::now());
        }
        if let Ok(is_full) = etcd.has_no_space(deadline) {
            self.set_full(is_full);
        }
        // Where only root may know it, nobody does.
        let bytes = etcd.status(deadline).map_or(0, |status| status.db_size_bytes);
        self.database_bytes.store(bytes, Ordering::Relaxed);
    }

    fn set_full(&self, is_full: bool) {
        if self.is_full.swap(is_full, Ordering::Relaxed) != is_full {
            match is_full {
                true => log::error!("etcd has no space left: secrets are still served, changes are refused"),
                false => log::info!("etcd has space again"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outcome_of_what_would_be_written_tells_whether_etcd_is_full() {
        let room = Room::default();
        assert!(!room.is_full());
        for (error, is_full) in [
            (Some(Error::NoSpace), true),
            (Some(Error::Unavailable("cut off".to_owned())), true),
            (None, false),
            (Some(Error::LeaseGone), false),
        ] {
            room.note(error.as_ref());
            assert_eq!(room.is_full(), is_full, "{error:?}");
        }
        assert_eq!(room.database_bytes(), None);
    }
}
