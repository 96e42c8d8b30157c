//! How far a long piece of work has come, on a line of standard error that is gone when the work is done.
//!
//! It is for a person: nothing is shown where standard error is no terminal, nor within the first second. As standard error
//! itself, the line is one for the whole program. Whatever else is written to a terminal is written by [`meanwhile`].

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

use crate::base::sync::lock;

/// What is done sooner needs no such line.
const SOON: Duration = Duration::from_secs(1);

/// How often it is written at most.
const TICK: Duration = Duration::from_millis(100);

static LINE: Mutex<Line> = Mutex::new(Line { work: None, shown: String::new() });

/// How much of the present work is done.
static DONE: AtomicU64 = AtomicU64::new(0);

/// Work that is told of until this is dropped. Of several at a time, it is that which was begun last.
pub struct Progress(());

impl Progress {
    /// Begins work that a person calls `what`, of which there is so much to [advance](advance); 0: that is not known, and the
    /// time is told instead.
    pub fn begin(what: impl Into<String>, total: u64) -> Self {
        if can_show() {
            DONE.store(0, Ordering::Relaxed);
            lock(&LINE).work = Some(Work { what: what.into(), total, began: Instant::now() });
            static FIRST: OnceLock<()> = OnceLock::new();
            FIRST.get_or_init(|| {
                // Where it cannot be started, nothing is shown.
                let _ = thread::Builder::new().name("progress".to_owned()).spawn(show);
            });
        }
        Self(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let mut line = lock(&LINE);
        line.work = None;
        line.hide(&mut io::stderr());
    }
}

/// So much more of the work is done.
pub fn advance(done: u64) {
    DONE.fetch_add(done, Ordering::Relaxed);
}

/// Writes to a terminal by `write`, on which the line is not shown until that has ended.
pub fn meanwhile<T>(write: impl FnOnce() -> T) -> T {
    let mut line = lock(&LINE);
    line.hide(&mut io::stderr());
    write()
}

/// A reader whose bytes are the work.
pub struct Counted<R>(pub R);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).inspect(|read| advance(*read as u64))
    }
}

/// Whether there is a terminal that knows how to clear a line.
fn can_show() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// Shows what there is to be shown, for the rest of the program.
fn show() {
    let began = Instant::now();
    loop {
        thread::sleep(TICK);
        if began.elapsed() < SOON {
            continue;
        }
        // One that does not know how wide it is says 0.
        let columns = tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
        let columns = if columns == 0 { 80 } else { columns };
        lock(&LINE).draw(&mut io::stderr(), DONE.load(Ordering::Relaxed), columns.into());
    }
}

struct Line {
    work: Option<Work>,
    /// What stands there now; nothing, if it is empty.
    shown: String,
}

struct Work {
    what: String,
    total: u64,
    began: Instant,
}

impl Work {
    fn told(&self, done: u64) -> String {
        match self.total {
            0 => format!("{}: {} s", self.what, self.began.elapsed().as_secs()),
            total => format!("{}: {} %", self.what, u128::from(done.min(total)) * 100 / u128::from(total)),
        }
    }
}

impl Line {
    /// Writes it anew if there is something else to tell. It stays within so many columns, or it would be several lines.
    fn draw(&mut self, terminal: &mut impl Write, done: u64, columns: usize) {
        let Some(work) = &self.work else { return };
        let told: String = work.told(done).chars().take(columns.saturating_sub(1)).collect();
        if told != self.shown {
            let mut bytes = String::new();
            let _ = write!(bytes, "\r\x1b[2K{told}");
            let _ = terminal.write_all(bytes.as_bytes());
            self.shown = told;
        }
    }

    fn hide(&mut self, terminal: &mut impl Write) {
        if !self.shown.is_empty() {
            let _ = terminal.write_all(b"\r\x1b[2K");
            self.shown.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(what: &str, total: u64) -> Line {
        Line { work: Some(Work { what: what.to_owned(), total, began: Instant::now() }), shown: String::new() }
    }

    /// What a terminal of 80 columns gets when so much is done, one behind the other, and the line is then taken away.
    fn drawn(line: &mut Line, done: &[u64]) -> String {
        let mut terminal = Vec::new();
        done.iter().for_each(|done| line.draw(&mut terminal, *done, 80));
        line.hide(&mut terminal);
        String::from_utf8(terminal).unwrap()
    }

    #[test]
    fn each_line_takes_the_place_of_the_one_before_and_the_last_is_cleared() {
        let mut line = line("reading", 200);
        let expected = "\r\x1b[2Kreading: 0 %\r\x1b[2Kreading: 1 %\r\x1b[2Kreading: 100 %\r\x1b[2K";
        // The same is not written twice, and more than all is all.
        assert_eq!(drawn(&mut line, &[0, 1, 2, 3, 200, 9000, u64::MAX]), expected);
        assert_eq!(drawn(&mut line, &[]), "", "what is not there is not cleared");
        assert_eq!(drawn(&mut line, &[2]), "\r\x1b[2Kreading: 1 %\r\x1b[2K", "and it comes back");
    }

    #[test]
    fn without_work_nothing_is_shown() {
        assert_eq!(drawn(&mut Line { work: None, shown: String::new() }, &[1, 2]), "");
    }

    #[test]
    fn of_work_of_unknown_size_the_time_is_told() {
        let mut line = line("importing", 0);
        line.work.as_mut().unwrap().began -= Duration::from_secs(75);
        assert!(drawn(&mut line, &[5]).starts_with("\r\x1b[2Kimporting: 7"));
    }

    #[test]
    fn a_narrow_terminal_gets_one_line_all_the_same() {
        let mut terminal = Vec::new();
        line("reading", 3).draw(&mut terminal, 1, 5);
        assert_eq!(terminal, b"\r\x1b[2Kread");
    }
}
