//! What only a log in a file has.

#[cfg(test)]
pub mod faults;
pub mod lines;
pub mod store;
