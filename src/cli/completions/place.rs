//! What may be typed next: the one description of which the scripts for all shells are made.

use std::collections::BTreeSet;

use crate::cli::COMMANDS;
use crate::cli::command::{Command, Opt};

/// Options that every command has.
pub const EVERYWHERE: [Opt; 2] = [
    Opt { name: "help", value: None, summary: "show its usage" },
    Opt { name: "version", value: None, summary: "print the version" },
];

/// What stands behind it is no option and no command of ours, most often another program with its arguments.
pub const END_OF_OPTIONS: &str = "--";

/// A word that may follow.
pub struct Word {
    pub word: &'static str,
    /// What it means, where that has to be told.
    pub summary: String,
}

/// A place in a command line, behind the words of a command.
pub struct Place {
    /// These words: none at the beginning, and only the first one of a command that has two.
    pub behind: &'static str,
    pub words: Vec<Word>,
    /// Options that may follow, besides [`EVERYWHERE`].
    pub options: Vec<&'static Opt>,
    /// What else may follow.
    pub names: Names,
}

/// What a value or an operand names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Nothing that is found on the disk.
    Other,
    File,
    Directory,
}

impl Names {
    /// By the words with which the usage line calls it.
    fn of(usage: &str) -> Self {
        let has = |word: &str| usage.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == word);
        match () {
            () if ["FILE", "PATH", "TEMPLATE"].into_iter().any(has) => Self::File,
            () if has("DIR") => Self::Directory,
            () => Self::Other,
        }
    }
}

pub fn all() -> Vec<Place> {
    let beginning =
        Place { behind: "", words: following(""), options: COMMANDS[0].all_options().collect(), names: Names::Other };
    let behind = COMMANDS.iter().flat_map(|command| [command.first_word(), command.name]);
    let mut seen = BTreeSet::new();
    let behind = behind.filter(|words| seen.insert(*words)).map(|words| {
        let command = COMMANDS.iter().find(|command| command.name == words);
        let operands = command.map_or("", |command| command.operands.usage);
        let mut next = following(words);
        next.extend(choices(operands));
        let options = command.into_iter().flat_map(Command::all_options).collect();
        Place { behind: words, words: next, options, names: Names::of(operands) }
    });
    let operands = Place { behind: END_OF_OPTIONS, words: Vec::new(), options: Vec::new(), names: Names::File };
    [beginning].into_iter().chain(behind).chain([operands]).collect()
}

/// What is typed behind an option.
pub struct Value {
    /// The option, without hyphens.
    pub option: &'static str,
    /// Words of which it is one, if they are known.
    pub words: Vec<Word>,
    pub names: Names,
}

impl Value {
    /// The value of this option, if it must have one.
    pub fn of(option: &Opt) -> Option<Self> {
        let needed = option.value.filter(|usage| !usage.starts_with("[="));
        needed.map(|usage| Self { option: option.name, words: choices(usage), names: Names::of(usage) })
    }
}

/// The values of all options that must have one.
pub fn values() -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let options = COMMANDS.iter().flat_map(Command::all_options).filter(|option| seen.insert(option.name));
    options.filter_map(Value::of).collect()
}

/// A pattern of `case` in a shell that matches one of these.
pub fn pattern(words: impl IntoIterator<Item = String>) -> String {
    words.into_iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" | ")
}

/// The words by which a command goes on behind `words`.
fn following(words: &str) -> Vec<Word> {
    let rest = |command: &Command| match words {
        "" => Some(command.name),
        words => command.name.strip_prefix(words)?.strip_prefix(' '),
    };
    let is_command = |word: &str| COMMANDS.iter().any(|command| command.name == word);
    let mut found: Vec<Word> = Vec::new();
    for command in COMMANDS {
        let Some(rest) = rest(command) else { continue };
        let (word, second) = rest.split_once(' ').unwrap_or((rest, ""));
        // Of words with which several commands begin, and none is called, it is told how they go on.
        let summary = if second.is_empty() { command.summary } else { second };
        match found.iter_mut().find(|found| found.word == word) {
            None => found.push(Word { word, summary: summary.to_owned() }),
            Some(found) if second.is_empty() => found.summary = summary.to_owned(),
            Some(found) if !is_command(word) => found.summary.extend([", ", second]),
            Some(_) => {}
        }
    }
    found
}

/// The words of which one is meant, as in `bash|zsh|fish`.
fn choices(usage: &'static str) -> Vec<Word> {
    let is_choice = |word: &&str| usage.contains('|') && word.bytes().all(|byte| byte.is_ascii_lowercase());
    usage.split('|').filter(is_choice).map(|word| Word { word, summary: String::new() }).collect()
}
