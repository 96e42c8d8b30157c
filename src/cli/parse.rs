//! How arguments become a command.

use std::ffi::{OsStr, OsString};

use lexopt::{Arg, Parser};

use super::command::{Arguments, Command, JSON};
use super::commands::COMMANDS;
use super::exit::Exit;
use crate::base::nearest::nearest;

pub enum Asked {
    Do(&'static Command, Arguments),
    /// How this command is used; none: all of them.
    Help(Option<&'static Command>),
    Version,
}

/// Whether the arguments ask for JSON, of a command that has it: then its errors are JSON too.
pub fn wants_json(arguments: &[OsString]) -> bool {
    let mut ours = arguments.iter().take_while(|argument| *argument != "--");
    let (mut word, mut is_asked_for) = (None, false);
    while let Some(argument) = ours.next() {
        match argument.to_str() {
            Some("--json") => is_asked_for = true,
            Some(option) if valued(option).is_some() => _ = ours.next(),
            Some(option) if option.starts_with('-') => {}
            _ => word = word.or(Some(argument)),
        }
    }
    let called = COMMANDS.iter().filter(|command| word.is_some_and(|word| word == command.first_word()));
    is_asked_for && called.flat_map(Command::all_options).any(|option| option.name == JSON.name)
}

/// What the usage line calls the value of this option, such as `--config`, if it must have one.
pub fn valued(typed: &str) -> Option<&'static str> {
    let name = typed.strip_prefix("--")?;
    let option = COMMANDS.iter().flat_map(Command::all_options).find(|option| option.name == name)?;
    option.value.filter(|usage| !usage.starts_with("[="))
}

/// Makes a command of the arguments, without the program's name; of none, the first of all commands.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, Exit> {
    let mut parser = Parser::from_args(arguments);
    let mut words: Option<String> = None;
    let mut given = Arguments::default();
    loop {
        // Nothing behind `--` is ours, whatever it looks like.
        if words.is_some()
            && let Some(mut raw) = parser.try_raw_args()
            && raw.next_if(|next| next == "--").is_some()
        {
            given.behind = raw.as_slice().len();
            given.operands.extend(raw);
            break;
        }
        let Some(argument) = parser.next()? else { break };
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Asked::Help(words.as_deref().and_then(named))),
            Arg::Short('V') | Arg::Long("version") => return Ok(Asked::Version),
            Arg::Long(name) => {
                let mut known = COMMANDS.iter().flat_map(Command::all_options);
                let Some(option) = known.find(|option| option.name == name) else {
                    return Err(no_such_option(name, words.as_deref().and_then(named)));
                };
                if given.has(option) && !option.is_list() {
                    return Err(Exit::usage(format_args!("--{} is given twice", option.name)));
                }
                let value = match option.value {
                    None => OsString::new(),
                    Some(optional) if optional.starts_with('[') => parser.optional_value().unwrap_or_default(),
                    Some(_) => parser.value()?,
                };
                given.options.push((option.name, value));
            }
            Arg::Value(word) => match &words {
                None => words = Some(first_word(word)?),
                Some(first) => match longer_name(first, &word).filter(|_| given.operands.is_empty()) {
                    Some(name) => words = Some(name.to_owned()),
                    None => given.operands.push(word),
                },
            },
            argument => return Err(argument.unexpected().into()),
        }
    }
    let command = match &words {
        None => &COMMANDS[0],
        Some(words) => named(words).ok_or_else(|| {
            let longer = COMMANDS.iter().filter_map(|command| command.name.strip_prefix(words.as_str()));
            Exit::usage(format_args!("{words} has the commands{}", longer.collect::<Vec<_>>().join(",")))
        })?,
    };
    command.refuse_what_does_not_fit(&given)?;
    Ok(Asked::Do(command, given))
}

/// Other names of commands.
const ALIASES: [(&str, &str); 1] = [("backup create", "backup")];

/// What other programs call what some commands do.
const ELSEWHERE: [(&str, &str); 13] = [
    ("add", "set"),
    ("cat", "get"),
    ("help", "--help"),
    ("ls", "list"),
    ("put", "set"),
    ("read", "get"),
    ("remove", "delete"),
    ("rm", "delete"),
    ("run", "exec"),
    ("show", "get"),
    ("start", "serve"),
    ("status", "healthcheck"),
    ("version", "--version"),
];

fn named(name: &str) -> Option<&'static Command> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
    COMMANDS.iter().find(|command| command.name == name)
}

/// The error about an unknown option. It says which one was meant, if an option begins so or nearly so.
fn no_such_option(name: &str, command: Option<&'static Command>) -> Exit {
    let commands = command.map_or(COMMANDS, std::slice::from_ref);
    let known: Vec<_> = commands.iter().flat_map(Command::all_options).map(|option| option.name).collect();
    let longer = known.iter().copied().find(|longer| name.len() > 2 && longer.starts_with(name));
    let hint = longer.or_else(|| nearest(name, &known)).map(|meant| format!("; did you mean --{meant}?"));
    Exit::usage(format_args!("there is no option {:?}{}", format!("--{name}"), hint.unwrap_or_default()))
}

/// The word, if a command begins with it.
fn first_word(word: OsString) -> Result<String, Exit> {
    let known: Vec<_> = COMMANDS.iter().map(Command::first_word).collect();
    let text = word.to_str().unwrap_or_default();
    if known.contains(&text) {
        return Ok(text.to_owned());
    }
    let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == text).map(|(_, ours)| *ours);
    let hint = elsewhere.or_else(|| nearest(text, &known)).map(|meant| format!("; did you mean {meant}?"));
    Err(Exit::usage(format_args!("there is no command {word:?}{}", hint.unwrap_or_default())))
}

/// The name, or alias, that is these two words.
fn longer_name(first: &str, second: &OsStr) -> Option<&'static str> {
    let mut names = COMMANDS.iter().map(|command| command.name).chain(ALIASES.map(|(alias, _)| alias));
    names.find(|name| name.split_once(' ').is_some_and(|(one, two)| one == first && second == two))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_words() {
        for command in COMMANDS {
            let help = command.name.split(' ').chain(["--help"]).map(OsString::from);
            let Ok(Asked::Help(Some(found))) = parse(help) else { panic!("{}", command.name) };
            assert_eq!(found.name, command.name);
        }
    }
}
