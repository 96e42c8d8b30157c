//! What a test has the file refuse, each so many times.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// Fails, and counts down, while there are any left.
pub fn strike(left: &AtomicU64) -> io::Result<()> {
    match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
        Ok(_) => Err(io::Error::from(io::ErrorKind::StorageFull)),
        Err(_) => Ok(()),
    }
}
