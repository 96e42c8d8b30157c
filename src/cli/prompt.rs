//! What a person at a terminal is asked for: a value, which they do not see, or whether to go on.

use std::io::{self, IsTerminal, Write};
use std::thread;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::exit::Exit;
use super::input;
use crate::base::failure::Failure;
use crate::base::secret::{Plaintext, Wiped};

/// The longest line that a terminal passes on, in bytes, its newline among them; what is longer it cuts without a word.
const LONGEST_LINE: usize = 4096;

/// Asks `question` once. Messages call the answer `what`.
///
/// # Errors
/// If the answer cannot be a value.
pub fn once(question: &str, what: &str) -> Result<Plaintext, Exit> {
    let _quiet = Quiet::begin().map_err(|why| Failure::new("the terminal", why))?;
    Ok(input::plaintext(what, &line(&format!("{question} (not shown): "))?)?)
}

/// Asks `question` twice. Messages call the answer `what`.
///
/// # Errors
/// If the two answers differ, or cannot be a value.
pub fn twice(question: &str, what: &str) -> Result<Plaintext, Exit> {
    let _quiet = Quiet::begin().map_err(|why| Failure::new("the terminal", why))?;
    let first = line(&format!("{question} (not shown): "))?;
    let second = line("Repeat it: ")?;
    if *first != *second {
        return Err(Failure::new(what, "was not the same both times; nothing was stored").into());
    }
    Ok(input::plaintext(what, &first)?)
}

/// Whether there is a person to be asked.
pub fn is_anybody_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks whether to go on, where there is a person to be asked. `told` is what would be done.
///
/// # Errors
/// If the answer is not yes, or there is nobody who could give one: [`FORCE`](super::command::FORCE) would have to be.
pub fn agree(what: &str, told: &str) -> Result<(), Failure> {
    if !is_anybody_there() {
        let why = format!("{told}; nothing was changed: there is no terminal to confirm this at, so it needs --force");
        return Err(Failure::new(what, why));
    }
    let _ = write!(io::stderr(), "{told}. Continue? [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|why| Failure::new("the terminal", why))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new(what, "nothing was changed")),
    }
}

fn line(prompt: &str) -> Result<Wiped, Failure> {
    let _ = write!(io::stderr(), "{prompt}");
    let fail = |why: &dyn std::fmt::Display| Failure::new("the terminal", why);
    let mut line = Wiped::new(vec![0; LONGEST_LINE]);
    let mut length = 0;
    while !line[..length].ends_with(b"\n") {
        match rustix::io::read(io::stdin(), &mut line[length..]) {
            Ok(0) if length == LONGEST_LINE => break,
            Ok(0) => return Err(fail(&"was closed; nothing was stored")),
            Ok(more) => length += more,
            Err(rustix::io::Errno::INTR) => {}
            Err(why) => return Err(fail(&why)),
        }
    }
    if length == LONGEST_LINE {
        return Err(fail(
            &"does not pass on a line as long as that; give the value on standard input, from a file or a pipe",
        ));
    }
    line.truncate(length - 1);
    Ok(line)
}

/// The terminal shows nothing of what is typed, until this is dropped, or a signal ends the program.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
        let restored = before.clone();
        // For the rest of the program's life: a signal that was once handled does not end it by itself any more.
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                restore(&restored);
                let _ = emulate_default_handler(signal);
            }
        })?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        // The newline is shown, so that what is said next has a line of its own.
        quiet.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        restore(&self.0);
    }
}

fn restore(before: &Termios) {
    // There is nobody to be told, and nothing else to be done.
    let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
}
