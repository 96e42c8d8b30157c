//! Programs that the daemon has run for it: what they are given, how long they may run, and how they end.
//!
//! They run one at a time, in a process beside the daemon: the [runner](process).

mod frame;
pub(crate) mod mask;
pub mod outcome;
pub mod process;
mod run;
mod runner;
pub mod table;
mod trust;

pub use runner::Runner;
pub use trust::check_program;
pub(crate) use trust::check_words;
