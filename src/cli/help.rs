//! What `--help` prints.

use super::COMMANDS;
use super::command::Command;

const TITLE: &str = "jarvis-secretsd: a secrets daemon for one host or a small fleet";

const STATUS: &str = "exit status: 0 done, 1 the operation failed, 2 wrong usage, 3 not found, \
                      4 not authenticated or not permitted, 5 not reachable, 78 bad configuration or policy, 126 exec cannot run the program, 127 exec finds no such program";

/// All commands.
pub fn all() -> String {
    let mut text = format!("{TITLE}\n\nusage: jarvis-secretsd [COMMAND]; without one: serve\n");
    for command in COMMANDS {
        text.push_str(&format!("\n  {}\n      {}\n", command.usage(), command.summary));
    }
    text.push_str(&format!(
        "\n-h, --help behind a command tells its options; -V, --version prints the version.\n{STATUS}\n"
    ));
    text
}

/// One of them, with its options.
pub fn of(command: &Command) -> String {
    let mut text = format!("jarvis-secretsd: {}\n\nusage: jarvis-secretsd {}\n", command.summary, command.usage());
    if !command.options.is_empty() {
        text.push('\n');
    }
    for option in command.options {
        text.push_str(&format!("  {:<24} {}\n", option.usage(), option.summary));
    }
    text.push_str(&format!("\n{STATUS}\n"));
    text
}
