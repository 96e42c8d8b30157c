//! jarvis-secretsd: a secrets daemon for one host or a small fleet.
//!
//! The modules are a library so that tests and fuzzers reach them; `main.rs` only picks a command.
//! A request's path reads like a sentence: connection -> request -> who is it -> may they -> vault
//! -> audit -> answer, and each of those is a module here.

#![forbid(unsafe_code)]
// They panic where the output is closed or full; `cli::output` and `failure::say` do not.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

// Public is what `main.rs`, the tests and the fuzzers call; of the rest the compiler says when nothing uses it any more.
pub mod access;
pub mod api;
pub mod applier;
pub mod audit;
pub mod backup;
pub mod base;
pub mod cli;
pub mod client;
mod cluster;
pub mod config;
pub mod consumers;
pub mod daemon;
pub mod etcd;
pub mod http;
pub mod process;
pub mod programs;
pub mod rotation;
pub mod vault;

mod answers;
mod generator;
mod metrics;
mod systemd;
