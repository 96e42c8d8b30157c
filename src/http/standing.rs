//! What a connection has shown of its client: by that it is decided who makes room for whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// The less a connection has shown, the sooner it makes room for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It was answered, and its client has not said who it is; or it is about to end.
    Passing,
    /// Nothing was answered yet.
    New,
    /// A request of it was attributed to a client.
    Identified,
}

/// The standing of one connection, for the thread that serves it and for those that look for room.
#[derive(Clone, Debug)]
pub struct StandingCell(Arc<AtomicU8>);

impl StandingCell {
    pub fn get(&self) -> Standing {
        match self.0.load(Ordering::Relaxed) {
            0 => Standing::Passing,
            1 => Standing::New,
            _ => Standing::Identified,
        }
    }

    pub fn set(&self, standing: Standing) {
        // Mostly it is that already, and is then not taken from the caches of others.
        if self.get() != standing {
            self.0.store(standing as u8, Ordering::Relaxed);
        }
    }
}

impl Default for StandingCell {
    fn default() -> Self {
        Self(Arc::new(AtomicU8::new(Standing::New as u8)))
    }
}

impl PartialEq for StandingCell {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for StandingCell {}
