//! `set` at a terminal: a value that is typed and not seen.

use crate::client_program::{ServingDaemon, failure, printed};
use crate::needs;
use crate::terminal::Terminal;

const FIRST: &str = "Value of db_main (not shown): ";
const SECOND: &str = "Repeat it: ";

#[test]
fn a_value_is_prompted_for_twice_and_not_shown() {
    if !needs::is_installed("script") {
        return;
    }
    let asked = ServingDaemon::plain();
    let mut terminal = Terminal::open(&asked.local(&[]), "set db_main");
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
    let asked = ServingDaemon::plain();
    let mut differing = Terminal::open(&asked.local(&[]), "set db_main");
    differing.answer(FIRST, "one\n");
    differing.answer(SECOND, "two\n");
    let shown = differing.ended();
    assert!(shown.contains("was not the same both times; nothing was stored") && shown.contains("status=1"), "{shown}");
    let mut long = Terminal::open(&asked.local(&[]), "set db_main");
    long.answer(FIRST, &format!("{}\n", "x".repeat(4096)));
    let shown = long.ended();
    assert!(shown.contains("does not pass on a line as long as that") && shown.contains("\r\necho\r\n"), "{shown}");
    failure(&asked.local(&["get", "db_main"]).output().unwrap(), 3);
}

#[test]
fn ctrl_c_and_the_end_of_input_leave_a_terminal_that_shows_what_is_typed() {
    if !needs::is_installed("script") {
        return;
    }
    let asked = ServingDaemon::plain();
    for (typed, status) in [("half\u{3}", "status=130"), ("\u{4}", "status=1")] {
        let mut terminal = Terminal::open(&asked.local(&[]), "set db_main");
        terminal.answer(FIRST, typed);
        let shown = terminal.ended();
        assert!(shown.contains(&format!("{status}\r\n")) && shown.contains("\r\necho\r\n"), "{shown}");
    }
    failure(&asked.local(&["get", "db_main"]).output().unwrap(), 3);
}
