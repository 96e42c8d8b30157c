//! When the daemon goes away, nothing of a program is left, and the next daemon's runner begins only then.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use jarvis_secretsd::programs::outcome::ProgramEnd;

use crate::stage::{BINARY, LONG, Stage};
use crate::trusted::processes_with;

/// A program that is at work in several processes, as `started` says.
const WORKS: &str = "setsid sleep $2 & echo started >$1/started; sleep $2";

#[test]
fn a_program_whose_daemon_goes_away_is_killed_with_all_that_it_has_started() {
    let stage = Stage::new();
    let runner = Arc::new(stage.runner(&stage.shell(WORKS), LONG).unwrap());
    let waiting = {
        let runner = runner.clone();
        thread::spawn(move || runner.run(0, LONG, b"{}").end)
    };
    stage.written("started");
    assert!(!processes_with(&stage.marker).is_empty());
    runner.cut_off();
    assert_eq!(waiting.join().unwrap(), ProgramEnd::Unknown("was cut off".to_owned()));
    let later = runner.run(0, LONG, b"{}").end;
    assert_eq!(
        later,
        ProgramEnd::Unknown("the process that runs appliers has ended; restart the daemon".to_owned()),
        "it runs nothing any more"
    );
    drop(runner);
    stage.assert_nothing_is_left();
}

#[test]
fn the_next_runner_begins_when_nothing_of_the_last_one_is_left() {
    let stage = Stage::new();
    let program = stage.shell(WORKS);
    let first = Arc::new(stage.runner(&program, LONG).unwrap());
    let waiting = {
        let first = first.clone();
        thread::spawn(move || first.run(0, LONG, b"{}").end)
    };
    stage.written("started");
    thread::scope(|scope| {
        let second = scope.spawn(|| {
            let runner = stage.runner(&program, LONG).unwrap();
            stage.assert_nothing_is_left();
            runner
        });
        first.cut_off();
        second.join().unwrap();
    });
    waiting.join().unwrap();
}

#[test]
fn the_runner_is_not_for_people() {
    let mut command = Command::new(BINARY);
    let output = command.arg("run-appliers").stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text, "jarvis-secretsd: run-appliers: is run by the daemon itself, never by hand\n");
}
