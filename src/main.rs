//! The command line: arguments -> one command.

#![forbid(unsafe_code)]

fn main() {}
