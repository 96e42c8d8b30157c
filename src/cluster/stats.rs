//! What is counted of the log that several daemons share, and its metrics.

use std::sync::atomic::AtomicU64;

/// What happened, as this daemon saw it.
#[derive(Default)]
pub struct Stats {
    /// Additions that came second.
    pub conflicts: AtomicU64,
    /// Additions that an earlier attempt had made, the answer to which was lost.
    pub repeats_ours: AtomicU64,
}
