//! How a test has a file refuse something.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Fails, and counts down, while there are any left.
pub fn strike(left: &AtomicU64) -> io::Result<()> {
    match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
        Ok(_) => Err(io::Error::from(io::ErrorKind::StorageFull)),
        Err(_) => Ok(()),
    }
}
