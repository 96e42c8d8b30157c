//! What a command is, and how arguments become one.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use lexopt::{Arg, Parser};

use super::client::JSON;
use super::{COMMANDS, Exit};

/// One command: how it is called, and what does it. Each stands in its own file.
pub struct Command {
    /// Its word or words, as `audit verify`.
    pub name: &'static str,
    /// What it is given besides options.
    pub operands: Operands,
    /// Its options.
    pub options: &'static [Opt],
    /// What it does, in one line.
    pub summary: &'static str,
    /// Does it.
    pub run: fn(&Arguments) -> Result<(), Exit>,
}

/// What a command is given besides options, and which of these it cannot do without.
pub struct Operands {
    /// The option that must be given too, if there is one.
    pub option: Option<&'static Opt>,
    /// How the usage line calls them. Where that begins with `--`, so must they, and all behind it is theirs.
    pub usage: &'static str,
    /// The fewest.
    pub least: usize,
    /// The most.
    pub most: usize,
    /// What to do instead, for whoever gives more.
    pub instead: fn(&Arguments) -> Option<String>,
}

impl Operands {
    /// None.
    pub const NONE: Self = Self { option: None, usage: "", least: 0, most: 0, instead: |_| None };

    /// Exactly one.
    pub const fn one(usage: &'static str) -> Self {
        Self { usage, least: 1, most: 1, ..Self::NONE }
    }

    /// Any number, also none.
    pub const fn any(usage: &'static str) -> Self {
        Self { usage, most: usize::MAX, ..Self::NONE }
    }

    /// One or more.
    pub const fn some(usage: &'static str) -> Self {
        Self { usage, least: 1, most: usize::MAX, ..Self::NONE }
    }

    /// The same, and besides them this option.
    pub const fn with(self, option: &'static Opt) -> Self {
        Self { option: Some(option), ..self }
    }

    /// The same, with something to be said to whoever gives more.
    pub const fn instead(self, instead: fn(&Arguments) -> Option<String>) -> Self {
        Self { instead, ..self }
    }
}

/// An option, which is a long one. Commands that have one of the same name share the constant, unless it says something else to
/// them; it takes a value for all of them, or for none.
pub struct Opt {
    /// Its name, without the two hyphens.
    pub name: &'static str,
    /// What the usage line calls its value; none if it takes none. One in brackets may be left out.
    pub value: Option<&'static str>,
    /// What it says, in one line.
    pub summary: &'static str,
}

impl Opt {
    /// Whether it takes a list, of which each time that it is given brings a part.
    pub fn is_list(&self) -> bool {
        self.value.is_some_and(|value| value.ends_with(",..."))
    }

    /// How it is given, as in `--config PATH`.
    pub fn usage(&self) -> String {
        let Self { name, value, .. } = self;
        match value {
            None => format!("--{name}"),
            Some(optional) if optional.starts_with('[') => format!("--{name}{optional}"),
            Some(value) => format!("--{name} {value}"),
        }
    }
}

/// The configuration that a command works by.
pub const CONFIG: Opt = Opt {
    name: "config",
    value: Some("PATH"),
    summary: "the configuration (default: /etc/jarvis-secretsd/config.toml)",
};

/// The master key, where it is not the one that the configuration names.
pub const MASTER_KEY: Opt = Opt {
    name: "master-key",
    value: Some("FILE"),
    summary: "the master key (default: the one that the configuration names)",
};

/// Where a command writes what it makes.
pub const OUTPUT: Opt = Opt {
    name: "output",
    value: Some("FILE"),
    summary: "the file that is made; only render replaces one that is there",
};

/// To go on when it is done, and do it again when that is needed.
pub const WATCH: Opt =
    Opt { name: "watch", value: None, summary: "go on, and do it again when one of the secrets changes" };

/// To do what is asked about, or refused, otherwise.
pub const FORCE: Opt = Opt { name: "force", value: None, summary: "do it without asking, whatever speaks against it" };

/// What a command was given.
#[derive(Default)]
pub struct Arguments {
    options: Vec<(&'static str, OsString)>,
    operands: Vec<OsString>,
    /// How many of the operands stood behind `--`.
    behind: usize,
}

impl Arguments {
    /// Whether this option was given.
    pub fn has(&self, option: &Opt) -> bool {
        self.value(option).is_some()
    }

    /// The value that this option was given.
    pub fn value(&self, option: &Opt) -> Option<&OsStr> {
        self.options.iter().find(|(name, _)| *name == option.name).map(|(_, value)| value.as_os_str())
    }

    /// The same, as text.
    pub fn text(&self, option: &Opt) -> Result<Option<&str>, Exit> {
        Ok(self.texts(option)?.first().copied())
    }

    /// The values of one that [`is_list`](Opt::is_list), as they were given.
    pub fn texts(&self, option: &Opt) -> Result<Vec<&str>, Exit> {
        let values = self.options.iter().filter(|(name, _)| *name == option.name);
        let texts: Option<Vec<_>> = values.map(|(_, value)| value.to_str()).collect();
        texts.ok_or_else(|| Exit::usage(format_args!("--{} takes UTF-8", option.name)))
    }

    /// The same, as a path.
    pub fn path(&self, option: &Opt) -> Option<&Path> {
        self.value(option).map(Path::new)
    }

    /// The configuration's path, given or not.
    pub fn config_path(&self) -> &Path {
        self.path(&CONFIG).unwrap_or(Path::new("/etc/jarvis-secretsd/config.toml"))
    }

    /// What it was given besides options, as many as its [`Operands`] say.
    pub fn operands(&self) -> &[OsString] {
        &self.operands
    }

    /// The same, those before `--` and those behind it.
    pub fn operands_by_hyphens(&self) -> (&[OsString], &[OsString]) {
        self.operands.split_at(self.operands.len() - self.behind)
    }
}

/// What was asked for.
pub enum Asked {
    /// To do this.
    Do(&'static Command, Arguments),
    /// How this command is used; none: all of them.
    Help(Option<&'static Command>),
    /// Which version this is.
    Version,
}

/// Whether the arguments ask for JSON, of a command that has it: then its errors are JSON too.
pub fn wants_json(arguments: &[OsString]) -> bool {
    let ours = || arguments.iter().take_while(|argument| *argument != "--");
    let has_json = |word: &OsString| {
        let called =
            COMMANDS.iter().filter(|command| command.name.split(' ').next().is_some_and(|first| word == first));
        called.flat_map(|command| command.options).any(|option| option.name == JSON.name)
    };
    ours().any(|argument| argument == "--json") && ours().any(has_json)
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
                let known = COMMANDS.iter().flat_map(|command| command.options).find(|option| option.name == name);
                let Some(option) = known else { return Err(argument.unexpected().into()) };
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
                    Some(command) => words = Some(command.name.to_owned()),
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

fn named(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// The word, if a command begins with it.
fn first_word(word: OsString) -> Result<String, Exit> {
    let begins = |command: &Command| command.name.split(' ').next().is_some_and(|first| word == first);
    match word.to_str() {
        Some(known) if COMMANDS.iter().any(begins) => Ok(known.to_owned()),
        _ => Err(Exit::usage(format_args!("there is no command {word:?}"))),
    }
}

/// The command that is called by both words.
fn longer_name(first: &str, second: &OsStr) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name.split_once(' ').is_some_and(|(one, two)| one == first && second == two))
}

impl Command {
    /// Refuses what it would pass over.
    fn refuse_what_does_not_fit(&self, given: &Arguments) -> Result<(), Exit> {
        let mine = |name: &str| self.options.iter().any(|option| option.name == name);
        if let Some((name, _)) = given.options.iter().find(|(name, _)| !mine(name)) {
            return Err(Exit::usage(format_args!("--{name} is not for {}", self.name)));
        }
        let Operands { option, usage, least, most, instead } = self.operands;
        if let Some(needed) = option.filter(|needed| !given.has(needed)) {
            return Err(Exit::usage(format_args!("{} needs {}", self.name, needed.usage())));
        }
        let well_placed = !usage.starts_with("--") || given.operands.len() == given.behind;
        match given.operands.len() {
            count if well_placed && (least..=most).contains(&count) => Ok(()),
            count => {
                let usage = if most == 0 { "options only" } else { usage };
                let instead = if count > most { instead(given).map(|instead| format!("; {instead}")) } else { None };
                Err(Exit::usage(format_args!("{} takes {usage}{}", self.name, instead.unwrap_or_default())))
            }
        }
    }

    /// How it is called, as in `serve [--config PATH]`; what stands in brackets may be left out.
    pub fn usage(&self) -> String {
        let mut usage = self.name.to_owned();
        for option in self.options {
            let is_needed = self.operands.option.is_some_and(|needed| needed.name == option.name);
            let (open, close) = if is_needed { ("", "") } else { ("[", "]") };
            usage.push_str(&format!(" {open}{}{close}", option.usage()));
        }
        if !self.operands.usage.is_empty() {
            usage.extend([" ", self.operands.usage]);
        }
        usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_same_name_are_the_same_but_for_the_owner_who_is_a_user_or_a_text() {
        let options = || COMMANDS.iter().flat_map(|command| command.options);
        for option in options() {
            for other in options().filter(|other| other.name == option.name) {
                assert_eq!(option.value.is_some(), other.value.is_some(), "{}", option.name);
                if option.name != "owner" {
                    assert_eq!((option.value, option.summary), (other.value, other.summary), "{}", option.name);
                }
            }
        }
    }

    #[test]
    fn every_command_is_found_by_its_words() {
        for command in COMMANDS {
            let help = command.name.split(' ').chain(["--help"]).map(OsString::from);
            let Ok(Asked::Help(Some(found))) = parse(help) else { panic!("{}", command.name) };
            assert_eq!(found.name, command.name);
        }
    }
}
