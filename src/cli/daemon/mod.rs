//! The commands that run the daemon and set it up, and what they share.

pub mod check;
pub mod healthcheck;
pub mod init;
pub mod protection;
pub mod serve;
pub mod shared_paths;
pub mod sockets;
pub mod storage;
pub mod token;
pub mod whose;
