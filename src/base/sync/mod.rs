//! Locks that outlive a panic, the group commit that the vault and the audit log share, a question whose answer all who wait
//! share, and breaks in long work.

mod breaks;
mod confirmations;
mod gathering;
mod group_commit;
mod yield_before_flush;

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

pub use breaks::Breaks;
pub use confirmations::{Confirmations, Unconfirmed};
pub use group_commit::GroupCommit;

/// Locks `mutex` even after a thread panicked while it held it.
///
/// What our locks guard is changed in one step at the end, so a panic leaves the old state, not a half one.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same, if nobody holds it at the moment.
pub fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
