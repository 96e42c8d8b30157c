//! What a test has the file refuse, each so many times.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::files::faults::strike;

/// How many of the next calls fail.
#[derive(Default)]
pub struct Faults {
    /// Appends that write nothing.
    pub writes: AtomicU64,
    /// Appends that write everything, and are not synced.
    pub syncs: AtomicU64,
    /// Cuts, also those by which an append that failed is taken back.
    pub cuts: AtomicU64,
    /// Appends that succeed, and then the thread dies.
    pub panics: AtomicU64,
    pub successors: AtomicU64,
    pub replacements: AtomicU64,
    /// Times that so much is said to be free: `room`.
    pub rooms: AtomicU64,
    pub room: AtomicU64,
}

impl Faults {
    /// How much is said to be free; none: what is.
    pub fn room(&self) -> Option<u64> {
        strike(&self.rooms).is_err().then(|| self.room.load(Ordering::SeqCst))
    }
}
