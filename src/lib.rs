//! jarvis-secretsd: a secrets daemon for one host or a small fleet.
//!
//! The modules are a library so that tests and fuzzers reach them; `main.rs` only picks a command.
//! A request's path reads like a sentence: connection -> request -> who is it -> may they -> vault
//! -> audit -> answer, and each of those is a module here.

#![forbid(unsafe_code)]
// They panic where the output is closed or full; `cli::output` and `failure::say` do not.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod access;
pub mod api;
pub mod applier;
pub mod audit;
pub mod backup;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod consumers;
pub mod daemon;
pub mod directory_locks;
pub mod dotenv;
pub mod failure;
pub mod files;
pub mod generator;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod name;
mod nearest;
pub mod process;
pub mod progress;
pub mod rehearsal;
pub mod rotation;
pub mod secret;
pub mod source;
pub mod span;
pub mod strict_toml;
pub mod sync;
pub mod systemd;
pub mod template;
pub mod vault;
