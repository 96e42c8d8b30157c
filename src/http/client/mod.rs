//! An HTTP client, for what the commands ask a daemon and the daemon asks etcd.
//!
//! A [`Connection`] carries one request at a time, each under a [`TimeLimit`], and may be used again after an answer that
//! leaves it open.

mod answer;
mod connection;
mod endpoint;
mod exchange;
mod socket;

pub(crate) use answer::Answer;
pub(crate) use connection::Connection;
pub use endpoint::Endpoint;
pub(crate) use exchange::Request;
pub(crate) use socket::TimeLimit;
