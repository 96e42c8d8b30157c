//! What only a log in a file has.

pub mod lines;
pub mod store;
