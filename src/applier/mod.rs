//! Appliers: the programs of a secret that make external systems accept its new value.
//!
//! Prepare makes of the generated value the one that is stored, apply makes external systems accept it, verify finds out
//! whether they accept a value, and retire makes them refuse an old one. A [runner](crate::programs) runs them.

mod config;
mod input;
mod runs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::base::failure::Failure;
use crate::base::files;
use crate::base::secret::{Plaintext, value_of, wiped_json};
use crate::metrics::Page;
use crate::programs::outcome::{Outcome, ProgramEnd};
use crate::programs::table::{Lock, Program, ProgramTable};
use crate::programs::{Runner, mask};
use crate::vault::MAX_VALUE;
pub use config::{ApplierConfig, check};
use input::ProgramInput;
pub use input::{Action, ToldVersion};
use runs::{RunResult, Runs};

/// What is wrong if a runner of an earlier daemon does not end.
const STILL_LOCKED: &str =
    "an applier that an earlier daemon started still runs and cannot be ended; find it with lsof and stop it";

/// Whether external systems accept a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Works,
    Refused,
    /// It is not known, for this reason.
    Unknown(String),
}

/// All appliers, and the process that runs them.
pub struct Appliers {
    secrets: BTreeMap<String, Applier>,
    runner: Runner,
    /// That the runner has ended, or was to end, has been logged.
    end_is_told: AtomicBool,
    runs: Runs,
}

/// The places of a secret's programs in the runner's table, by action.
struct Applier {
    programs: [Option<u16>; 4],
    timeout: Duration,
}

impl Appliers {
    /// Starts the process that runs them; none if none are configured. `binary` is this program.
    ///
    /// # Errors
    /// If it cannot be started, or one of the programs may not be run.
    pub fn start(
        binary: &Path,
        appliers: &BTreeMap<String, ApplierConfig>,
        vault_path: &Path,
    ) -> Result<Option<Self>, Failure> {
        if appliers.is_empty() {
            return Ok(None);
        }
        let lock = std::path::absolute(files::sibling(vault_path, ".appliers.lock"));
        let lock = lock.map_err(|why| Failure::new(vault_path.display(), why))?;
        let mut table = ProgramTable {
            called: "appliers".to_owned(),
            lock: Some(Lock { path: lock, still_locked: STILL_LOCKED.to_owned() }),
            environment: Vec::new(),
            umask: None,
            programs: Vec::new(),
        };
        let mut secrets = BTreeMap::new();
        for (name, applier) in appliers {
            let mut place = |words: &Vec<String>| {
                table.programs.push(Program { words: words.clone(), timeout: applier.timeout });
                (table.programs.len() - 1) as u16
            };
            let programs = applier.programs().map(|program| program.map(&mut place));
            secrets.insert(name.clone(), Applier { programs, timeout: applier.timeout });
        }
        if table.programs.len() > usize::from(u16::MAX) {
            return Err(Failure::new("[rotation]", "has more appliers than there are numbers for"));
        }
        let runner = Runner::start(binary, &table)?;
        Ok(Some(Self { secrets, runner, end_is_told: AtomicBool::new(false), runs: Runs::default() }))
    }

    /// The secrets that have appliers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.secrets.keys().map(String::as_str)
    }

    /// Whether the secret has appliers.
    pub fn has(&self, name: &str) -> bool {
        self.secrets.contains_key(name)
    }

    /// How long a program of the secret may run.
    pub fn time_limit(&self, name: &str) -> Duration {
        self.secrets.get(name).map_or(Duration::ZERO, |applier| applier.timeout)
    }

    /// Whether the secret has a program for this.
    pub fn can(&self, action: Action, name: &str) -> bool {
        self.secrets.get(name).is_some_and(|applier| applier.programs[action as usize].is_some())
    }

    /// The value that is to be stored, made of the one that was generated; that one itself if there is no program for it.
    ///
    /// # Errors
    /// In a few words, which hold no value: what went wrong.
    pub fn prepare(&self, name: &str, old: ToldVersion, generated: Plaintext) -> Result<Plaintext, String> {
        if !self.can(Action::Prepare, name) {
            return Ok(generated);
        }
        let new = ToldVersion { kid: None, value: generated.expose() };
        let outcome =
            self.run(ProgramInput { old: Some(old), new: Some(new), ..ProgramInput::of(Action::Prepare, name) }, 0)?;
        let text = std::str::from_utf8(value_of(&outcome.stdout));
        match text.map_err(|_| "prepare: printed what is not UTF-8".to_owned())? {
            value if (1..=MAX_VALUE).contains(&value.len()) => Ok(Plaintext::new(value.to_owned())),
            value => Err(format!("prepare: printed a value of {} bytes, it must have 1 to {MAX_VALUE}", value.len())),
        }
    }

    /// Makes external systems accept the new value.
    ///
    /// # Errors
    /// In a few words, which hold no value: what went wrong.
    pub fn apply(&self, name: &str, old: ToldVersion, new: ToldVersion) -> Result<(), String> {
        self.run(ProgramInput { old: Some(old), new: Some(new), ..ProgramInput::of(Action::Apply, name) }, 0).map(drop)
    }

    /// Finds out whether external systems accept this value.
    pub fn verify(&self, name: &str, version: ToldVersion) -> Verdict {
        match self.run(ProgramInput { itself: Some(version), ..ProgramInput::of(Action::Verify, name) }, 1) {
            Ok(Outcome { end: ProgramEnd::Exited(0), .. }) => Verdict::Works,
            Ok(_) => Verdict::Refused,
            Err(why) => Verdict::Unknown(why),
        }
    }

    /// Makes external systems refuse an old value, if there is a program for it.
    ///
    /// # Errors
    /// In a few words, which hold no value: what went wrong.
    pub fn retire(&self, name: &str, old: ToldVersion, current: ToldVersion) -> Result<(), String> {
        if !self.can(Action::Retire, name) {
            return Ok(());
        }
        self.run(ProgramInput { old: Some(old), current: Some(current), ..ProgramInput::of(Action::Retire, name) }, 0)
            .map(drop)
    }

    /// The secrets that have a program to retire an old version.
    pub fn retiring(&self) -> BTreeSet<String> {
        self.secrets.keys().filter(|name| self.can(Action::Retire, name)).cloned().collect()
    }

    /// Kills what runs, and lets nothing run any more.
    pub fn cut_off(&self) {
        self.end_is_told.store(true, Ordering::SeqCst);
        self.runner.cut_off();
    }

    /// Kills what runs, and waits until nothing is left of it.
    pub fn end(&self) {
        self.end_is_told.store(true, Ordering::SeqCst);
        self.runner.end();
    }

    /// Writes how often programs were run. Where no appliers are configured, the metric has no samples.
    pub fn write_metrics(appliers: Option<&Self>, page: &mut Page) {
        Runs::write(appliers.map(|appliers| &appliers.runs), page);
    }

    /// Why no programs can be run; none if they can. It is logged once, unless they were cut off. It does not wait for one
    /// that runs.
    pub fn trouble(&self) -> Option<&str> {
        let why = self.runner.trouble()?;
        if !self.end_is_told.swap(true, Ordering::SeqCst) {
            log::error!("Secrets with appliers cannot be rotated: {why}");
        }
        Some(why)
    }

    /// Runs the program for this. What it has printed goes to the log if its exit status is not 0, without values, and is an
    /// error if that is larger than `most`.
    fn run(&self, input: ProgramInput, most: u8) -> Result<Outcome, String> {
        let (action, name) = (input.action.as_str(), input.name);
        let missing = || format!("{action}: no applier is configured for it");
        let applier = self.secrets.get(name).ok_or_else(missing)?;
        let program = applier.programs[input.action as usize].ok_or_else(missing)?;
        let outcome = self.runner.run(program, applier.timeout, &wiped_json(&input));
        // If the runner has ended, the log says that first.
        self.trouble();
        let result = match outcome.end {
            ProgramEnd::Exited(0) => RunResult::Success,
            ProgramEnd::Exited(status) if status <= most => RunResult::Refused,
            _ => RunResult::Failure,
        };
        self.runs.count(input.action, result);
        if result == RunResult::Success {
            return Ok(outcome);
        }
        let values = [input.old, input.new, input.current, input.itself];
        let mut values: Vec<&str> = values.iter().flatten().map(|told| told.value).collect();
        let texts: Vec<_> = outcome.stdout.utf8_chunks().map(|chunk| chunk.valid()).collect();
        let made = Zeroizing::new(texts.join("\n"));
        let streams = match input.action {
            // What it prints on standard output is the value, or was to be one.
            Action::Prepare if made.len() <= MAX_VALUE + 1 => {
                values.push(made.strip_suffix('\n').unwrap_or(&made));
                vec![(" on standard error", &outcome.stderr)]
            }
            // Where that cannot be, what of it is a value is not known.
            Action::Prepare => Vec::new(),
            _ => vec![(" on standard output", &outcome.stdout), (" on standard error", &outcome.stderr)],
        };
        let printed: String = streams
            .iter()
            .map(|(place, output)| (place, mask::shown(output, &values)))
            .filter(|(_, shown)| !shown.is_empty())
            .map(|(place, shown)| format!("; it last printed{place}: {shown}"))
            .collect();
        let is_answer = result == RunResult::Refused;
        let level = if is_answer { log::Level::Warn } else { log::Level::Error };
        log::log!(level, "Applier of {name}: {action}: {}{printed}", outcome.end);
        if is_answer { Ok(outcome) } else { Err(format!("{action}: {}", outcome.end)) }
    }
}
