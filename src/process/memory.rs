//! Memory that nobody else reads: no core dump, no debugger of the same user, no swap.

use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;

use super::Protection;

/// Lets nobody look into this process, nor into the files that it makes, and never gives it more rights than it has.
///
/// Where that is permitted it also lifts the limit of locked memory, for [`lock_memory`].
pub fn keep_private() -> Protection {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    // While it may: the user that the daemon becomes mostly may not.
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    let done = [
        ("core dumps stay possible", setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })),
        ("debuggers can attach", forbid_attaching()),
        ("programs that it starts could gain rights", set_no_new_privs(true)),
    ];
    let failed = done.into_iter().filter_map(|(what, done)| done.err().map(|why| format!("{what}: {why}")));
    match failed.collect::<Vec<_>>().join("; ") {
        failed if failed.is_empty() => {
            Protection::InForce("Process is private: no core dumps, no debuggers, no new privileges".to_owned())
        }
        failed => Protection::Missing(format!("Process is not private: {failed}")),
    }
}

/// Also core dumps through a program (`core_pattern` with a `|`), for which the limit does not count.
pub(super) fn forbid_attaching() -> Result<(), Errno> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Keeps what is in memory, now and later, from being written to swap.
///
/// It is not done under a limit: what is mapped after the limit is reached, a thread's stack for one, would fail.
pub fn lock_memory() -> Protection {
    let limit = getrlimit(Resource::Memlock);
    let locked = match limit.current {
        None => lock_all(),
        // Under a limit of zero only a capability that frees from limits lets it through, as that of root in a user
        // namespace does not.
        Some(_) => setrlimit(Resource::Memlock, Rlimit { current: Some(0), ..limit })
            .and_then(|()| lock_all())
            .and(setrlimit(Resource::Memlock, limit)),
    };
    let why = match (locked, limit.current) {
        (Ok(()), _) => return Protection::InForce("Memory locked: nothing of it reaches swap".to_owned()),
        (Err(Errno::PERM), Some(limit)) => format!(
            "the limit is {} KiB; lift it (systemd: LimitMEMLOCK=infinity, OpenRC: rc_ulimit=\"-l unlimited\", podman \
             and docker: --ulimit memlock=-1:-1), or use encrypted swap or none",
            limit / 1024
        ),
        (Err(why), _) => format!("{why}; use encrypted swap or none"),
    };
    Protection::Missing(format!("Memory not locked, keys and values may reach swap: {why}"))
}

/// A page is locked when it is first used. Otherwise every thread's whole stack would be made resident.
fn lock_all() -> Result<(), Errno> {
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
}
