//! The daemon's own process: what others may do to it, and what it may do itself once it serves.
//!
//! The measures stand alone. One that this system does not offer is reported, with what to do about it, and the daemon
//! runs all the same. They concern the calling thread and those that it starts later, so they come before any of those.

mod descendants;
mod landlock;
mod memory;
mod owner;
mod usable;
mod user;

pub(crate) use descendants::{Seen, Tree, adopt_orphans, collect_ended, end_all_children};
pub use landlock::{Reach, confine};
pub use memory::keep_private;
pub(crate) use memory::lock_memory;
pub(crate) use owner::Owner;
pub(crate) use usable::{Use, check_usable};
pub(crate) use user::User;

/// What became of a measure, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    InForce(String),
    /// It is not: why, and what to do about it.
    Missing(String),
}

impl Protection {
    pub fn log(&self) {
        match self {
            Self::InForce(what) => log::info!("{what}"),
            Self::Missing(what) => log::warn!("{what}"),
        }
    }
}
