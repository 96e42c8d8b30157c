//! systemd: what it is told.

mod notify;

pub use notify::ServiceManager;
