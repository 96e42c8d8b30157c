//! What `--help` prints.

use super::client::exec;
use super::command::{Command, Group, Opt};
use super::commands::COMMANDS;

const TITLE: &str = "jarvis-secretsd: a secrets daemon for one host or a small fleet";

/// How wide a terminal is at least.
const WIDTH: usize = 80;

/// The help about all commands, on one screen.
pub fn all() -> String {
    let mut text =
        format!("{TITLE}\nusage: jarvis-secretsd [COMMAND] [OPTION...] [OPERAND...]; without one: serve\n\n");
    let column = COMMANDS.iter().map(|command| command.name.len()).max().unwrap_or_default();
    for (group, heading) in Group::ALL {
        text.extend([heading, "\n"]);
        for command in COMMANDS.iter().filter(|command| command.group == group) {
            text.push_str(&entry(command.name, command.summary, column));
        }
    }
    text.push_str("\nCOMMAND --help shows its options, with an example; --version prints the version.\n");
    text
}

/// The help about one command, with its options.
pub fn of(command: &Command) -> String {
    let Command { summary, example, options, shared, .. } = command;
    let usage = wrapped(&format!("usage: jarvis-secretsd {}", command.usage()), WIDTH - 2).join("\n  ");
    let mut text = format!("jarvis-secretsd: {summary}\n\n{usage}\n");
    text.push_str(&section("", options));
    text.push_str(&section("client options, which win over the environment and client.toml:\n", shared));
    let status = wrapped(&format!("exit status: {}", statuses(command)), WIDTH - 2).join("\n  ");
    text.push_str(&format!("\nexample:\n  {example}\n\n{status}\n"));
    text
}

/// What the command's exit statuses mean.
fn statuses(command: &Command) -> String {
    let of_clients = "3 not found, 4 not authenticated or not permitted, 5 not reachable, ";
    let of_exec = ", 126 exec cannot run the program, 127 exec finds no such program";
    format!(
        "0 done, 1 the operation failed, 2 wrong usage, {}78 bad configuration or policy{}",
        if command.shared.is_empty() { "" } else { of_clients },
        if command.name == exec::COMMAND.name { of_exec } else { "" },
    )
}

fn section(heading: &str, options: &[Opt]) -> String {
    let usages: Vec<_> = options.iter().map(Opt::usage).collect();
    let column = usages.iter().map(String::len).filter(|length| *length <= 22).max().unwrap_or(22);
    let entries: String =
        options.iter().zip(&usages).map(|(option, usage)| entry(usage, option.summary, column)).collect();
    if entries.is_empty() { entries } else { format!("\n{heading}{entries}") }
}

/// What `head` is, in a column of its own that begins at the same place in each of several entries.
fn entry(head: &str, summary: &str, column: usize) -> String {
    let indent = format!("\n{:1$}", "", column + 4);
    let body = wrapped(summary, WIDTH - column - 4).join(&indent);
    match head.len() <= column {
        true => format!("  {head:column$}  {body}\n"),
        false => format!("  {head}{indent}{body}\n"),
    }
}

/// The text in lines of at most so many characters, unless a word is longer.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => line.extend([" ", word]),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_commands_are_told_on_one_screen() {
        let text = all();
        assert!(text.lines().count() <= 48, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        for command in COMMANDS {
            assert!(text.contains(&format!("\n  {} ", command.name)), "{}", command.name);
        }
    }

    #[test]
    fn the_help_of_a_command_fits_into_a_terminals_width_and_its_example_calls_it() {
        for command in COMMANDS {
            let text = of(command);
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
            assert!(command.example.contains(&format!("jarvis-secretsd {}", command.name)), "{}", command.example);
        }
    }
}
