//! `set` at a terminal: a value that is typed and not seen. `script` of util-linux is the terminal.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::asking::{Asked, failure, printed};
use crate::needs;
use crate::site::{BINARY, eventually};

/// A terminal at which `set db_main` is running, and behind it says how that ended and whether typing is seen again.
struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn open(asked: &Asked) -> Self {
        // The shell outlives Ctrl-C, which goes to all who are at the terminal.
        let line =
            format!("trap : INT; {BINARY} set db_main; echo status=$?; stty -a | tr ' ' '\\n' | grep -x -e '-*echo;*'");
        let set = asked.local(&[]);
        let mut script = Command::new("script");
        script.args(["--quiet", "--echo", "always", "--command", &line, "/dev/null"]);
        script.env("SHELL", "/bin/sh").envs(set.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (keyboard, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shown = screen.clone();
        thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shown.lock().unwrap().extend(&bytes[..count]);
            }
        });
        Self { child, keyboard, screen }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Waits until the screen shows `words`, and then types.
    fn answer(&mut self, words: &str, typed: &str) {
        eventually(&format!("the terminal shows: {words}"), || self.shown().contains(words).then_some(()));
        self.keyboard.write_all(typed.as_bytes()).unwrap();
    }

    /// Waits for the end, and returns all that was shown.
    fn ended(mut self) -> String {
        eventually("typing is seen or not", || self.shown().contains("echo\r\n").then_some(()));
        eventually("the terminal is closed", || self.child.try_wait().unwrap());
        self.shown()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const FIRST: &str = "Value of db_main (not shown): ";
const SECOND: &str = "The same again: ";

#[test]
fn a_value_is_asked_for_twice_and_not_shown() {
    if !needs::is_installed("script") {
        return;
    }
    let asked = Asked::plain();
    let mut terminal = Terminal::open(&asked);
    terminal.answer(FIRST, "correct horse\n");
    terminal.answer(SECOND, "correct horse\n");
    let shown = terminal.ended();
    assert!(!shown.contains("horse"), "{shown}");
    assert!(shown.contains("status=0\r\n") && shown.contains("\r\necho\r\n"), "{shown}");
    assert_eq!(printed(asked.local(&["get", "db_main"]).output().unwrap()), "correct horse");
}

#[test]
fn what_is_not_the_same_or_too_long_for_a_terminal_is_not_stored() {
    if !needs::is_installed("script") {
        return;
    }
    let asked = Asked::plain();
    let mut differing = Terminal::open(&asked);
    differing.answer(FIRST, "one\n");
    differing.answer(SECOND, "two\n");
    let shown = differing.ended();
    assert!(shown.contains("was not the same both times; nothing was stored") && shown.contains("status=1"), "{shown}");
    let mut long = Terminal::open(&asked);
    long.answer(FIRST, &format!("{}\n", "x".repeat(4096)));
    let shown = long.ended();
    assert!(shown.contains("passes on no line as long as that") && shown.contains("\r\necho\r\n"), "{shown}");
    failure(&asked.local(&["get", "db_main"]).output().unwrap(), 3);
}

#[test]
fn ctrl_c_and_the_end_of_input_leave_a_terminal_that_shows_what_is_typed() {
    if !needs::is_installed("script") {
        return;
    }
    let asked = Asked::plain();
    for (typed, status) in [("half\u{3}", "status=130"), ("\u{4}", "status=1")] {
        let mut terminal = Terminal::open(&asked);
        terminal.answer(FIRST, typed);
        let shown = terminal.ended();
        assert!(shown.contains(&format!("{status}\r\n")) && shown.contains("\r\necho\r\n"), "{shown}");
    }
    failure(&asked.local(&["get", "db_main"]).output().unwrap(), 3);
}
