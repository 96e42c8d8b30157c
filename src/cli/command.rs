//! What a command is, and what it is given.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::exit::Exit;

/// One command: how it is called, and what does it. Each stands in its own file.
pub struct Command {
    /// Its word or words, as `audit verify`.
    pub name: &'static str,
    /// The group under which the help lists it.
    pub group: Group,
    pub operands: Operands,
    pub options: &'static [Opt],
    /// Options that many commands have alike, which the help tells apart.
    pub shared: &'static [Opt],
    pub summary: &'static str,
    /// A line for a shell that calls it.
    pub example: &'static str,
    pub run: fn(&Arguments) -> Result<(), Exit>,
}

/// What a command is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Daemon,
    /// Its secrets, for those who ask it.
    Secrets,
    /// What is done now and then to keep it in order.
    Upkeep,
}

impl Group {
    /// All of them, in the order in which the help tells them, with their headings.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Daemon, "The daemon:"), (Self::Secrets, "Client commands, over HTTP:"), (Self::Upkeep, "Upkeep:")];
}

/// What a command is given besides options, and which of these it cannot do without.
pub struct Operands {
    /// The option that must be given too, if there is one.
    pub option: Option<&'static Opt>,
    /// How the usage line calls them. Where that begins with `--`, so must they, and all behind it is theirs.
    pub usage: &'static str,
    pub least: usize,
    pub most: usize,
    /// What to do instead, for whoever gives more.
    pub instead: fn(&Arguments) -> Option<String>,
}

impl Operands {
    pub const NONE: Self = Self { option: None, usage: "", least: 0, most: 0, instead: |_| None };

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

    /// These operands, and this option besides.
    pub const fn with(self, option: &'static Opt) -> Self {
        Self { option: Some(option), ..self }
    }

    /// These operands, with what to say to whoever gives more.
    pub const fn instead(self, instead: fn(&Arguments) -> Option<String>) -> Self {
        Self { instead, ..self }
    }
}

/// A long option. Commands with an option of the same name share the constant, unless it means something else to them; it
/// takes a value in all of them, or in none.
pub struct Opt {
    /// Its name, without the two hyphens.
    pub name: &'static str,
    /// What the usage line calls its value; none if it takes none. One in brackets may be left out.
    pub value: Option<&'static str>,
    pub summary: &'static str,
}

impl Opt {
    /// Whether it may be given more than once, each time with a part of a list.
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

pub const CONFIG: Opt = Opt {
    name: "config",
    value: Some("PATH"),
    summary: "the configuration (default: /etc/jarvis-secretsd/config.toml)",
};

pub const MASTER_KEY: Opt = Opt {
    name: "master-key",
    value: Some("FILE"),
    summary: "the master key (default: the one that the configuration names)",
};

pub const OUTPUT: Opt = Opt { name: "output", value: Some("FILE"), summary: "output file; only render overwrites" };

pub const WATCH: Opt =
    Opt { name: "watch", value: None, summary: "keep running, and repeat it when one of the secrets changes" };

pub const CLUSTER: Opt = Opt { name: "cluster", value: None, summary: "do it for several daemons that share a vault" };
pub const JSON: Opt = Opt { name: "json", value: None, summary: "print JSON instead of text, also of a failure" };

pub const FORCE: Opt = Opt { name: "force", value: None, summary: "do it without confirmation, despite warnings" };

/// What a command was given.
#[derive(Default)]
pub struct Arguments {
    pub(super) options: Vec<(&'static str, OsString)>,
    pub(super) operands: Vec<OsString>,
    /// How many of the operands stood behind `--`.
    pub(super) behind: usize,
}

impl Arguments {
    pub fn has(&self, option: &Opt) -> bool {
        self.value(option).is_some()
    }

    pub fn value(&self, option: &Opt) -> Option<&OsStr> {
        self.options.iter().find(|(name, _)| *name == option.name).map(|(_, value)| value.as_os_str())
    }

    pub fn text(&self, option: &Opt) -> Result<Option<&str>, Exit> {
        Ok(self.texts(option)?.first().copied())
    }

    /// The values of one that [`is_list`](Opt::is_list), as they were given.
    pub fn texts(&self, option: &Opt) -> Result<Vec<&str>, Exit> {
        let values = self.options.iter().filter(|(name, _)| *name == option.name);
        let texts: Option<Vec<_>> = values.map(|(_, value)| value.to_str()).collect();
        texts.ok_or_else(|| Exit::usage(format_args!("--{} takes UTF-8", option.name)))
    }

    pub fn path(&self, option: &Opt) -> Option<&Path> {
        self.value(option).map(Path::new)
    }

    /// The configuration's path, by the option, else by the environment, else the usual one.
    pub fn config_path(&self) -> PathBuf {
        let by_environment = || env::var_os("JARVIS_SECRETSD_CONFIG").filter(|path| !path.is_empty());
        let path = self.value(&CONFIG).map(OsStr::to_owned).or_else(by_environment);
        path.map_or_else(|| PathBuf::from("/etc/jarvis-secretsd/config.toml"), PathBuf::from)
    }

    /// What it was given besides options, as many as its [`Operands`] say.
    pub fn operands(&self) -> &[OsString] {
        &self.operands
    }

    /// The operands before `--` and those behind it.
    pub fn operands_by_hyphens(&self) -> (&[OsString], &[OsString]) {
        self.operands.split_at(self.operands.len() - self.behind)
    }
}

impl Command {
    /// The first word of its name.
    pub fn first_word(&self) -> &'static str {
        self.name.split(' ').next().unwrap_or(self.name)
    }

    pub fn all_options(&self) -> impl Iterator<Item = &'static Opt> + use<> {
        self.options.iter().chain(self.shared)
    }

    /// Refuses what it would ignore.
    pub(super) fn refuse_what_does_not_fit(&self, given: &Arguments) -> Result<(), Exit> {
        let mine = |name: &str| self.all_options().any(|option| option.name == name);
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
        if !self.shared.is_empty() {
            usage.push_str(" [CLIENT OPTION...]");
        }
        if !self.operands.usage.is_empty() {
            usage.extend([" ", self.operands.usage]);
        }
        usage
    }
}
