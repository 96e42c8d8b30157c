//! `render`: a configuration file out of a template, with secrets in it; with `--watch` a new one for new values.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use zeroize::Zeroizing;

use super::hook::Hook;
use super::supervise::SETTLE;
use super::template::Template;
use crate::base::failure::{Failure, say};
use crate::base::files::{self, Fresh};
use crate::base::secret::Plaintext;
use crate::base::source::Source;
use crate::base::span;
use crate::cli::command::{Arguments, Command, Group, OUTPUT, Operands, Opt, WATCH};
use crate::cli::exit::Exit;
use crate::cli::{client, output, signals};
use crate::client::{CHANGED, Client, Secret, watch};
use crate::process::Owner;

pub const COMMAND: Command = Command {
    name: "render",
    group: Group::Secrets,
    operands: Operands::some("TEMPLATE [-- COMMAND [ARGUMENT...]]"),
    options: &[OUTPUT, MODE, OWNER, WATCH, COMMAND_TIMEOUT],
    shared: client::OPTIONS,
    summary: "fill a template with secrets",
    example: "jarvis-secretsd render app.conf.in --output app.conf --mode 0640",
    run,
};

const MODE: Opt =
    Opt { name: "mode", value: Some("MODE"), summary: "mode of the output file, in octal (default: 0600)" };

const OWNER: Opt = Opt {
    name: "owner",
    value: Some("USER[:GROUP]"),
    summary: "owner of the output file, by name or number (default: the user of this process)",
};

const COMMAND_TIMEOUT: Opt = Opt {
    name: "command-timeout",
    value: Some("TIME"),
    summary: "how long the command may run before it is killed (default: 60s)",
};

const MAX_COMMAND_TIMEOUT: Duration = Duration::from_secs(3600);

/// How long after a failure the file is written again.
const PAUSE: Duration = Duration::from_secs(30);

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let output = arguments.path(&OUTPUT);
    let mode = match arguments.text(&MODE)? {
        None => 0o600,
        Some(_) if output.is_none() => return Err(Exit::usage("--mode needs --output")),
        Some(text) => {
            files::parse_mode(text).ok_or_else(|| Exit::usage("--mode takes a mode in octal, such as 0640"))?
        }
    };
    let owner = match arguments.text(&OWNER)? {
        None => None,
        Some(_) if output.is_none() => return Err(Exit::usage("--owner needs --output")),
        Some(text) => Some(Owner::find(text)?),
    };
    let (template, command) = operands(arguments)?;
    let is_watching = arguments.has(&WATCH);
    if !is_watching && !command.is_empty() {
        return Err(Exit::usage("render runs COMMAND each time it rewrites the file, which needs --watch"));
    }
    if is_watching && output.is_none() {
        return Err(Exit::usage("render --watch needs --output FILE, which it rewrites"));
    }
    let timeout = match arguments.text(&COMMAND_TIMEOUT)? {
        Some(_) if command.is_empty() => return Err(Exit::usage("--command-timeout needs a COMMAND")),
        text => span::parse(text.unwrap_or("60s")).filter(|timeout| *timeout <= MAX_COMMAND_TIMEOUT),
    };
    let timeout =
        timeout.ok_or_else(|| Exit::usage("--command-timeout takes a time of at most an hour, such as 60s"))?;
    let source = Source::read(Path::new(template))?;
    let template = Template::parse(&source)?;
    let file = output.map(|path| Rendered { path, mode, owner });
    file.as_ref().map_or(Ok(()), Rendered::refuse_what_is_no_file)?;
    let client = Client::from_arguments(arguments)?;
    let mut held = Vec::new();
    let text = template.render(&mut |name| {
        let secret = client.get(name, None)?;
        let value = copy(&secret);
        held.push((name.to_owned(), secret));
        Ok(value)
    })?;
    match file {
        None => output::print(text.as_bytes()),
        Some(file) if is_watching => follow(client, &template, held, text, &file, Hook::new(command, timeout)),
        Some(file) => Ok(file.write(&text)?),
    }
}

/// The template, and the command behind `--`.
fn operands(arguments: &Arguments) -> Result<(&OsString, &[OsString]), Exit> {
    match arguments.operands_by_hyphens() {
        ([template], command) | ([], [template, command @ ..]) => Ok((template, command)),
        _ => Err(Exit::usage(format_args!("render takes {}", COMMAND.operands.usage))),
    }
}

/// A secret by its name.
type Held = (String, Secret);

/// Writes the file, and again whenever one of its secrets changes, until a signal ends it. Each time that there is something else
/// to write, the command is run then. `text` is the template's with what is `held` at first.
fn follow(
    client: Client,
    template: &Template,
    mut held: Vec<Held>,
    text: Zeroizing<String>,
    file: &Rendered,
    mut hook: Hook,
) -> Result<(), Exit> {
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGCHLD]);
    let (sender, news) = signals::forwarded(signals.map_err(|why| Failure::new("signal handlers", why))?)?;
    if file.update(&text)? {
        hook.run();
    }
    drop(text);
    let changes = watch(client, held.iter().map(|(name, secret)| (name.as_str(), secret.kid.clone())), &sender)?;
    let mut due: Option<Instant> = None;
    let mut ended_by = None;
    loop {
        let until = [due, hook.until()].into_iter().flatten().min();
        match signals::next(&news, until.map(|until| until.saturating_duration_since(Instant::now()))) {
            Some(CHANGED) => {
                while let Some((number, secret)) = changes.take() {
                    held[number].1 = secret;
                }
                let soon = Instant::now() + SETTLE;
                due = Some(due.map_or(soon, |due| due.min(soon)));
            }
            Some(SIGCHLD) | None => {}
            Some(signal) => {
                hook.end(Signal::from_named_raw(signal).expect("it is one of those above"));
                (due, ended_by) = (None, Some(signal));
            }
        }
        hook.look();
        if let Some(signal) = ended_by {
            if hook.is_running() {
                continue;
            }
            // As if it had not been caught. Process 1 of a container is not ended by it.
            if !getpid().is_init() {
                let _ = emulate_default_handler(signal);
            }
            return Err(Exit::silent(128 + signal as u8));
        }
        if due.is_none_or(|due| Instant::now() < due) {
            continue;
        }
        let text = template.render(&mut |name| {
            let (_, secret) = held.iter().find(|(known, _)| known == name).expect("all that it needs were fetched");
            Ok(copy(secret))
        })?;
        due = match file.update(&text) {
            Ok(is_new) => {
                if is_new {
                    hook.run();
                }
                None
            }
            Err(why) => {
                say(format_args!("{why}; trying again in {} seconds", PAUSE.as_secs()));
                Some(Instant::now() + PAUSE)
            }
        };
    }
}

fn copy(secret: &Secret) -> Plaintext {
    Plaintext::new(secret.value.expose().to_owned())
}

/// The file that is written.
struct Rendered<'a> {
    path: &'a Path,
    mode: u32,
    /// The owner that was asked for, if one was.
    owner: Option<Owner>,
}

impl Rendered<'_> {
    /// A rename would put the file in the place of a link, or of a device such as /dev/stdout.
    fn refuse_what_is_no_file(&self) -> Result<(), Failure> {
        match self.path.symlink_metadata() {
            Ok(there) if !there.is_file() => {
                let why = "is not a regular file, and would be replaced; name the file itself";
                Err(Failure::new(self.path.display(), why))
            }
            _ => Ok(()),
        }
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        let write = || {
            let mut fresh = Fresh::begin(self.path, self.mode)?;
            self.give(&fresh.file)?;
            fresh.file.write_all(text.as_bytes())?;
            fresh.replace()
        };
        write().map_err(|why| Failure::new(self.path.display(), why))
    }

    /// Gives what will be the file to its owner.
    fn give(&self, file: &File) -> io::Result<()> {
        let Some(Owner { uid, gid }) = self.owner else { return Ok(()) };
        fchown(file, Some(uid), gid).map_err(|why| match why.kind() {
            io::ErrorKind::PermissionDenied => {
                io::Error::new(why.kind(), format!("only root can give it to another user: {why}"))
            }
            _ => why,
        })
    }

    /// Whether these are the mode and the owner that it is to have.
    fn fits(&self, there: &Metadata) -> bool {
        let is_owner = |Owner { uid, gid }: Owner| there.uid() == uid && gid.is_none_or(|gid| there.gid() == gid);
        there.mode() & 0o7777 == self.mode && self.owner.is_none_or(is_owner)
    }

    /// Writes it, unless it is like that already. Returns whether it was written.
    fn update(&self, text: &str) -> Result<bool, Failure> {
        self.refuse_what_is_no_file()?;
        let fits = || self.path.metadata().is_ok_and(|there| self.fits(&there));
        let is_there = files::read(self.path, text.len() as u64).is_ok_and(|there| *there == text.as_bytes());
        if is_there && fits() {
            return Ok(false);
        }
        self.write(text).map(|()| true)
    }
}
