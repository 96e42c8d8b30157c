//! The command line: arguments -> one command.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    jarvis_secretsd::cli::run(std::env::args_os().skip(1))
}
