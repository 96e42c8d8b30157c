//! What may be typed next: the answer to `__complete`, by which the scripts of `completions` ask.
//!
//! Its first line is `files` or `directories` where a name of these may stand too, and otherwise `words`. Each further line is a
//! word that may stand there, a tab, and what it means.

use std::ffi::OsString;

use super::command::{Command, Opt};
use super::commands::COMMANDS;
use super::exit::Exit;
use super::output;
use super::parse::valued;

/// The word that asks, in the place of a command. Behind it come the words that were typed behind the program's name, the last
/// of which is to be completed. It is for scripts, so that neither help nor manual nor completions name it.
pub const ASK: &str = "__complete";

/// Options that every command has.
const EVERYWHERE: [Opt; 2] = [
    Opt { name: "help", value: None, summary: "show its usage" },
    Opt { name: "version", value: None, summary: "print the version" },
];

/// Prints what may stand in the place of the last of `typed`.
pub fn print(typed: impl Iterator<Item = OsString>) -> Result<(), Exit> {
    let typed: Vec<_> = typed.map(|word| word.to_string_lossy().into_owned()).collect();
    output::print(answer(&typed).as_bytes())
}

fn answer(typed: &[String]) -> String {
    let (current, before) = typed.split_last().map_or(("", typed), |(current, before)| (current.as_str(), before));
    let (mut words, mut option) = ("", None);
    for word in before {
        match word.as_str() {
            // bash takes --config=FILE for three words.
            "=" if option.is_some() => {}
            _ if option.is_some() => option = None,
            // Nothing behind it is ours, most often another program with its arguments.
            "--" => return lines("FILE", []),
            word if word.starts_with('-') => option = valued(word),
            word => words = longer(words, word).unwrap_or(words),
        }
    }
    if let Some(option) = option {
        return lines(option, choices(option).map(|word| (word.to_owned(), String::new())));
    }
    if let Some((name, _)) = current.split_once('=')
        && let Some(option) = valued(name)
    {
        return lines(option, choices(option).map(|word| (format!("{name}={word}"), String::new())));
    }
    // Without a command it is the first one.
    let command =
        if words.is_empty() { COMMANDS.first() } else { COMMANDS.iter().find(|command| command.name == words) };
    if current.starts_with('-') {
        let options = command.into_iter().flat_map(Command::all_options).chain(&EVERYWHERE);
        return lines("", options.map(|option| (format!("--{}", option.name), option.summary.to_owned())));
    }
    let operands = command.map_or("", |command| command.operands.usage);
    let following = following(words).into_iter().map(|(word, summary)| (word.to_owned(), summary));
    lines(operands, following.chain(choices(operands).map(|word| (word.to_owned(), String::new()))))
}

/// The answer in which these words may stand where the usage line says `usage`.
fn lines(usage: &str, words: impl IntoIterator<Item = (String, String)>) -> String {
    let has = |word: &str| usage.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == word);
    let kind = match () {
        () if ["FILE", "PATH", "TEMPLATE"].into_iter().any(has) => "files",
        () if has("DIR") => "directories",
        () => "words",
    };
    words.into_iter().fold(format!("{kind}\n"), |answer, (word, summary)| format!("{answer}{word}\t{summary}\n"))
}

/// The words of a command's name, of which `words` were typed before and then `word`, if a command begins so.
fn longer(words: &str, word: &str) -> Option<&'static str> {
    let longer = if words.is_empty() { word.to_owned() } else { format!("{words} {word}") };
    let mut begun = COMMANDS.iter().flat_map(|command| [command.first_word(), command.name]);
    begun.find(|begun| *begun == longer)
}

/// The words by which a command goes on behind `words`, and what they mean.
fn following(words: &str) -> Vec<(&'static str, String)> {
    let rest = |command: &Command| match words {
        "" => Some(command.name),
        words => command.name.strip_prefix(words)?.strip_prefix(' '),
    };
    let is_command = |word: &str| COMMANDS.iter().any(|command| command.name == word);
    let mut found: Vec<(&str, String)> = Vec::new();
    for command in COMMANDS {
        let Some(rest) = rest(command) else { continue };
        let (word, second) = rest.split_once(' ').unwrap_or((rest, ""));
        // Of words with which several commands begin, and none is called, it is told how they go on.
        let meaning = if second.is_empty() { command.summary } else { second };
        match found.iter_mut().find(|(other, _)| *other == word) {
            None => found.push((word, meaning.to_owned())),
            Some((_, summary)) if second.is_empty() => *summary = meaning.to_owned(),
            Some((_, summary)) if !is_command(word) => summary.extend([", ", second]),
            Some(_) => {}
        }
    }
    found
}

/// The words of which one is meant, as in `bash|zsh|fish`.
fn choices(usage: &'static str) -> impl Iterator<Item = &'static str> {
    let is_choice = move |word: &&str| usage.contains('|') && word.bytes().all(|byte| byte.is_ascii_lowercase());
    usage.split('|').filter(is_choice)
}
