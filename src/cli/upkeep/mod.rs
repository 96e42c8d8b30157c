//! The commands that keep a daemon and its files in order.

pub mod audit;
pub mod backup;
pub mod cluster;
mod escrow;
pub mod key;
pub mod key_check;
pub mod key_wrap;
pub mod policy;
mod rehearsal;
pub mod rekey;
mod shares;
pub mod storage;
