//! What a daemon has left of itself, as far as it knows.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::anchor::Anchor;

/// What this daemon has left.
#[derive(Default)]
pub struct Anchors {
    /// Held while etcd is asked.
    pub left: Mutex<Left>,
    /// Somebody else has put something else there.
    pub is_others: AtomicBool,
}

#[derive(Default)]
pub struct Left {
    /// Where the file is; none: the start has not come so far.
    pub path: Option<PathBuf>,
    /// What the file had at the start.
    pub kept: Option<Anchor>,
    /// The greatest number that was given.
    pub n: u64,
    /// What etcd has.
    pub there: Option<Vec<u8>>,
    /// What that says, if this run of the daemon has put it, and when it has.
    pub last: Option<(Anchor, Instant)>,
    /// What is on its way: it is sent again byte for byte until it is answered.
    pub pending: Option<(Anchor, Vec<u8>)>,
    /// It was said that it is not up to date.
    pub said: bool,
}

impl Anchors {
    /// Why this daemon can leave nothing of itself; none: it can.
    pub fn trouble(&self) -> Option<String> {
        let why = "etcd has something else under `member/` than this daemon has put there: another daemon has its name and its \
                   files, or etcd was set back";
        self.is_others.load(Ordering::Relaxed).then(|| why.to_owned())
    }
}
