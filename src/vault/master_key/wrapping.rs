//! A master key that lies in its file wrapped: `[master_key]` names the filters that wrap and unwrap it.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::attempts::Attempts;
use super::filter::{self, Filter};
use super::socket;
use crate::base::failure::Failure;
use crate::base::secret::Wiped;
use crate::metrics::Page;
use crate::programs::table::{Program, ProgramTable};
use crate::programs::{Runner, check_words};
use crate::vault::seal::{self, KeyBytes};

/// A wrapped key has more bytes than the key itself, and at most this many.
pub const LONGEST: u64 = 64 * 1024;

/// Bytes of a master key.
pub const KEY: usize = 32;

/// `[master_key]`: how the master key is wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappingConfig {
    /// Makes the key of what is in its file.
    pub unwrap: Filter,
    /// Makes what is in the file of the key; none: no key can be put there.
    pub wrap: Option<Filter>,
    /// How long either may take.
    pub timeout: Duration,
    /// For how long a start tries again.
    pub retry: Duration,
    /// After how many failures in a row it is not tried again, over restarts too.
    pub max_failures: Option<u32>,
}

impl WrappingConfig {
    /// The words of those filters that are programs, each with its key in the configuration.
    fn programs(&self) -> impl Iterator<Item = (&'static str, &Vec<String>)> {
        let filters = [("unwrap", Some(&self.unwrap)), ("wrap", self.wrap.as_ref())];
        filters.into_iter().filter_map(|(key, filter)| match filter {
            Some(Filter::Program(words)) => Some((key, words)),
            Some(Filter::Socket(_)) | None => None,
        })
    }

    /// Checks that the programs may be run by the user `uid`.
    ///
    /// # Errors
    /// Names the first one that may not, why, and the command that helps.
    pub fn check(&self, uid: u32) -> Result<(), Failure> {
        let check = |(key, words): (&str, &Vec<String>)| {
            check_words(words, uid).map_err(|why| Failure::configuration(called(key), why))
        };
        self.programs().try_for_each(check)
    }
}

/// How messages call a filter.
fn called(key: &str) -> String {
    format!("[master_key] {key}")
}

/// What wraps and unwraps the master key, ready for use.
pub struct Wrapping {
    config: WrappingConfig,
    binary: PathBuf,
    /// What runs those filters that are programs, in the order of [`WrappingConfig::programs`], from their first use on; or why that
    /// could not be started.
    runner: OnceLock<Result<Runner, String>>,
    attempts: Attempts,
    unwraps: AtomicU64,
    failures: AtomicU64,
}

impl Wrapping {
    /// `binary` is this program, which is started once more when the first program is to be run: a daemon must have used it before it
    /// gives up the right to start anything. The failures are counted beside the vault at `vault`.
    pub fn new(binary: &Path, config: &WrappingConfig, vault: &Path) -> Self {
        Self {
            config: config.clone(),
            binary: binary.to_owned(),
            runner: OnceLock::new(),
            attempts: Attempts::beside(vault, config.max_failures),
            unwraps: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    fn start_runner(&self) -> Result<Runner, String> {
        let Self { config, binary, .. } = self;
        let program = |(_, words): (_, &Vec<String>)| Program { words: words.clone(), timeout: config.timeout };
        // Where systemd has put what a filter may need, such as a PIN.
        let credentials = env::var("CREDENTIALS_DIRECTORY").ok();
        let table = ProgramTable {
            called: "[master_key]".to_owned(),
            lock: None,
            environment: credentials.map(|path| ("CREDENTIALS_DIRECTORY".to_owned(), path)).into_iter().collect(),
            umask: Some(0o077),
            programs: config.programs().map(program).collect(),
        };
        Runner::start(binary, &table).map_err(|why| why.to_string())
    }

    pub(super) fn config(&self) -> &WrappingConfig {
        &self.config
    }

    /// By what the key is unwrapped.
    pub fn unwrapper(&self) -> &Filter {
        &self.config.unwrap
    }

    /// By what a key is wrapped.
    ///
    /// # Errors
    /// If nothing is configured for it.
    pub fn wrapper(&self) -> Result<&Filter, Failure> {
        let why = "is missing, and a key has to be wrapped; see jarvis-secretsd-config(5)";
        self.config.wrap.as_ref().ok_or_else(|| Failure::configuration(called("wrap"), why))
    }

    /// The key that is wrapped in `wrapped`. One attempt is made.
    ///
    /// # Errors
    /// If the filter fails, what it gives back is no key, or it has failed too often.
    pub fn unwrap(&self, wrapped: &[u8]) -> Result<KeyBytes, Failure> {
        self.attempts.begin()?;
        let began = Instant::now();
        let given = self.run("unwrap", &self.config.unwrap, wrapped, &[]);
        let key = given.and_then(|given| key_of(&given));
        match key {
            Ok(key) => {
                self.unwraps.fetch_add(1, Ordering::Relaxed);
                self.attempts.forget()?;
                log::info!("Unwrapped the master key in {} ms ({})", began.elapsed().as_millis(), self.unwrapper());
                Ok(key)
            }
            Err(why) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                Err(Failure::configuration(called("unwrap"), why))
            }
        }
    }

    /// What is to be in the file for `key`. It has been unwrapped again to see that it can be.
    ///
    /// # Errors
    /// If no filter is there for it or it fails, or what it gives back is no wrapped key.
    pub fn wrap(&self, key: &KeyBytes) -> Result<Wiped, Failure> {
        let fail = |why: &str| Failure::configuration(called("wrap"), why);
        let filter = self.wrapper()?;
        // It, too, might print the key where it is shown.
        let spelled = filter::spelled(&key[..]);
        let wrapped = self.run("wrap", filter, &key[..], &spelled.each_ref().map(|form| form.as_str()));
        let wrapped = wrapped.map_err(|why| fail(&why))?;
        let contains = |form: &[u8]| wrapped.windows(form.len()).any(|window| window == form);
        match wrapped.len() {
            0 => return Err(fail("printed nothing")),
            length if length <= KEY => {
                return Err(fail(&format!("printed {length} bytes; a wrapped key has more than the key itself")));
            }
            length if length as u64 > LONGEST => {
                return Err(fail(&format!("printed {length} bytes; a wrapped key has at most {LONGEST}")));
            }
            _ if contains(&key[..]) || spelled.iter().any(|form| contains(form.trim_end_matches('=').as_bytes())) => {
                return Err(fail("printed the key itself, in the clear"));
            }
            _ => {}
        }
        match self.unwrap(&wrapped)? == *key {
            true => Ok(wrapped),
            false => Err(fail("printed what [master_key] unwrap makes another key of")),
        }
    }

    /// Writes how often the key was unwrapped: never, where it is not wrapped.
    pub fn write_metrics(wrapping: Option<&Self>, page: &mut Page) {
        let count = |of: fn(&Self) -> &AtomicU64| wrapping.map_or(0, |wrapping| of(wrapping).load(Ordering::Relaxed));
        page.counter("master_key_unwraps_total", "Attempts to unwrap the master key, by result.")
            .sample(&[("result", "success")], count(|wrapping| &wrapping.unwraps))
            .sample(&[("result", "failure")], count(|wrapping| &wrapping.failures));
    }

    /// What the filter that is called `key` makes of `input`; `hidden` is masked in what it says of a failure.
    fn run(&self, key: &str, filter: &Filter, input: &[u8], hidden: &[&str]) -> Result<Wiped, String> {
        let timeout = self.config.timeout;
        match filter {
            Filter::Socket(path) => {
                socket::exchange(path, input, Instant::now() + timeout).map_err(|why| format!("{filter}: {why}"))
            }
            Filter::Program(_) => {
                let place = self.config.programs().position(|(other, _)| other == key).unwrap_or_default() as u16;
                let runner = self.runner.get_or_init(|| self.start_runner()).as_ref().map_err(Clone::clone)?;
                filter::printed(runner.run(place, timeout, input), hidden)
            }
        }
    }
}

/// The key that a filter has given back: its bytes, or their base64, as tools print it that know nothing but text.
fn key_of(given: &[u8]) -> Result<KeyBytes, String> {
    let line = given.strip_suffix(b"\n").unwrap_or(given);
    let text = || str::from_utf8(line).ok().filter(|text| text.len() == 44);
    let decoded = || text().and_then(seal::decode).map(Zeroizing::new);
    KeyBytes::of(given).or_else(|| decoded().and_then(|bytes| KeyBytes::of(&bytes))).ok_or_else(|| match given.len() {
        0 => "printed nothing; a master key is exactly 32 bytes, or their base64".to_owned(),
        length => format!("printed {length} bytes; a master key is exactly 32, or their base64"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_given_back_as_32_bytes_or_as_their_base64_and_in_no_other_form() {
        let key = KeyBytes::of(&[7; 32]).unwrap();
        let text = seal::encode(&key[..]);
        assert!(key_of(&key[..]).unwrap() == key);
        assert!(key_of(text.as_bytes()).unwrap() == key);
        assert!(key_of(format!("{text}\n").as_bytes()).unwrap() == key);
        let newline = KeyBytes::of(&[b'\n'; 32]).unwrap();
        assert!(key_of(&newline[..]).unwrap() == newline, "a key may end in a newline");
        for (given, length) in [
            (vec![7; 31], "31 bytes"),
            (vec![7; 33], "33 bytes"),
            (text.as_bytes()[..43].to_vec(), "43 bytes"),
            (format!("{text}\n\n").into_bytes(), "46 bytes"),
            (vec![b'!'; 44], "44 bytes"),
            (Vec::new(), "nothing"),
        ] {
            let why = key_of(&given).unwrap_err();
            assert!(why.contains(length), "{why}");
        }
    }
}
