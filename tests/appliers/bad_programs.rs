//! Whatever a program does, it ends in time, nothing of it is left, and the outcome says how it ended.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jarvis_secretsd::programs::outcome::{MOST_OUTPUT, ProgramEnd};

use crate::patience::eventually;
use crate::stage::{LONG, Stage};

/// The time limit of programs that run into it.
const SHORT: Duration = Duration::from_millis(300);

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_program_has_the_input_the_arguments_and_nothing_else() {
    let stage = Stage::new();
    let outcome =
        stage.run("cat; echo; echo \"$1 $2 $#\"; pwd; ls -l /proc/self/fd; echo said >&2", LONG, b"{\"a\":1}");
    assert_eq!(outcome.end, ProgramEnd::Exited(0));
    let stdout = text(&outcome.stdout);
    let expected = format!("{{\"a\":1}}\n{} {} 2\n/\n", stage.directory.path("").display(), stage.marker);
    assert!(stdout.starts_with(&expected), "{stdout}");
    for line in stdout.lines().filter(|line| line.contains(" -> ")) {
        let (before, leads_to) = line.split_once(" -> ").unwrap();
        let number: u32 = before.rsplit(' ').next().unwrap().parse().unwrap();
        // What was open before the tests is not ours to close.
        let is_inherited = fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|own| own == Path::new(leads_to));
        assert!(number <= 2 || leads_to.starts_with("/proc/") || is_inherited, "{line} in {stdout}");
    }
    assert_eq!(text(&outcome.stderr), "said\n");
}

#[test]
fn a_program_has_an_environment_of_two_variables() {
    let expected = ["LC_ALL=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
    // The shell adds some of its own.
    let shown = Stage::new().run("exec /usr/bin/env -u PWD -u OLDPWD -u SHLVL -u _", LONG, b"");
    let mut lines: Vec<_> = text(&shown.stdout).lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, expected);
}

#[test]
fn a_program_that_hangs_is_killed_when_its_time_is_over() {
    for hangs in ["exec sleep $2", "trap '' TERM INT HUP; while :; do sleep $2; done", "kill -STOP $$; sleep $2"] {
        let stage = Stage::new();
        assert_eq!(stage.run(hangs, SHORT, b"{}").end, ProgramEnd::TimedOut, "{hangs}");
        stage.assert_nothing_is_left();
    }
}

#[test]
fn what_a_program_says_before_it_hangs_is_known() {
    let mut limit = SHORT;
    let outcome = eventually("it has said something before its time is over", || {
        limit *= 2;
        let outcome = Stage::new().run("echo 'cannot connect' >&2; exec sleep $2", limit, b"{}");
        assert_eq!(outcome.end, ProgramEnd::TimedOut);
        (!outcome.stderr.is_empty()).then_some(outcome)
    });
    assert_eq!(text(&outcome.stderr), "cannot connect\n");
}

#[test]
fn a_program_that_prints_without_end_is_killed_at_one_mebibyte() {
    for prints in ["yes", "yes >&2", "yes & yes >&2", "cat /dev/zero; sleep $2"] {
        let stage = Stage::new();
        let outcome = stage.run(prints, LONG, b"{}");
        assert_eq!(outcome.end, ProgramEnd::PrintedTooMuch, "{prints}");
        assert!(outcome.stdout.len() + outcome.stderr.len() <= MOST_OUTPUT + 1, "{prints}");
        stage.assert_nothing_is_left();
    }
    let just_fits = Stage::new().run("head -c 1000000 /dev/zero; head -c 48576 /dev/zero >&2", LONG, b"{}");
    assert_eq!(just_fits.end, ProgramEnd::Exited(0));
    assert_eq!((just_fits.stdout.len(), just_fits.stderr.len()), (1_000_000, 48_576));
    let a_byte_more = Stage::new().run("head -c 1000000 /dev/zero; head -c 48577 /dev/zero >&2", LONG, b"{}");
    assert_eq!(a_byte_more.end, ProgramEnd::PrintedTooMuch);
}

#[test]
fn a_program_need_not_read_its_input() {
    let large = vec![b'x'; 900_000];
    for (ignores, end) in [
        ("exec 0<&-; echo fine", ProgramEnd::Exited(0)),
        ("exit 3", ProgramEnd::Exited(3)),
        ("head -c 1 >/dev/null; exit 4", ProgramEnd::Exited(4)),
        ("exec sleep $2", ProgramEnd::TimedOut),
    ] {
        let timeout = if end == ProgramEnd::TimedOut { SHORT } else { LONG };
        assert_eq!(Stage::new().run(ignores, timeout, &large).end, end, "{ignores}");
    }
    let counted = Stage::new().run("wc -c", LONG, &large);
    assert_eq!(text(&counted.stdout).trim(), "900000", "one that reads it has all of it");
}

#[test]
fn what_a_program_leaves_behind_ends_with_it_wherever_it_has_gone() {
    let stage = Stage::new();
    // In its group, in a session of its own, and behind a parent that has ended.
    let outcome = stage.run(
        "sleep $2 &
         setsid sh -c 'echo here >$1/one; exec sleep $2' x $1 $2 &
         setsid sh -c 'setsid sh -c \"echo here >\\$1/two; sleep \\$2; echo survived >\\$1/three\" x $1 $2 & exit' x $1 $2
         while [ ! -s $1/one ] || [ ! -s $1/two ]; do :; done
         echo done",
        LONG,
        b"{}",
    );
    assert_eq!((outcome.end, text(&outcome.stdout)), (ProgramEnd::Exited(0), "done\n"));
    stage.assert_nothing_is_left();
    assert!(!stage.directory.path("three").exists());
}

#[test]
fn what_is_left_behind_does_not_keep_a_program_from_having_ended_though_it_keeps_its_output_open() {
    let stage = Stage::new();
    let outcome = stage.run("(trap '' HUP TERM; sleep $2) & exit 7", LONG, b"{}");
    assert_eq!(outcome.end, ProgramEnd::Exited(7));
    stage.assert_nothing_is_left();
}

#[test]
fn a_program_that_is_ended_by_a_signal_has_no_exit_status() {
    for (signal, number) in [("SEGV", 11), ("KILL", 9), ("TERM", 15)] {
        assert_eq!(
            Stage::new().run(&format!("kill -{signal} $$; sleep $2"), LONG, b"").end,
            ProgramEnd::Signalled(number)
        );
    }
}

#[test]
fn a_program_that_kills_its_group_kills_nobody_else() {
    let stage = Stage::new();
    let program = stage.shell("kill -KILL 0; sleep $2");
    let runner = stage.runner(&program, LONG).unwrap();
    assert_eq!(runner.run(0, LONG, b"{}").end, ProgramEnd::Signalled(9));
    assert_eq!(runner.run(0, LONG, b"{}").end, ProgramEnd::Signalled(9), "the runner is still there");
}

#[test]
fn what_is_no_program_is_not_started() {
    let stage = Stage::new();
    let garbage = stage.directory.program("garbage", "\x7fELF but not really");
    let outcome = stage.runner(&garbage, LONG).unwrap().run(0, LONG, b"{}");
    let ProgramEnd::Unknown(why) = outcome.end else { panic!("{:?}", outcome.end) };
    assert!(why.starts_with("was not started: "), "{why}");
}

#[test]
fn only_programs_that_the_runner_was_started_with_are_run() {
    let stage = Stage::new();
    let runner = stage.runner(&stage.shell("exit 0"), LONG).unwrap();
    assert_eq!(runner.run(1, LONG, b"{}").end, ProgramEnd::Unknown("there is no such program".to_owned()));
    assert_eq!(runner.run(0, LONG, b"{}").end, ProgramEnd::Exited(0));
}

#[test]
fn one_program_runs_at_a_time() {
    let stage = Stage::new();
    let program = stage.shell("mkdir $1/alone || exit 9; sleep 0.01; rmdir $1/alone");
    let runner = stage.runner(&program, LONG).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(runner.run(0, LONG, b"{}").end, ProgramEnd::Exited(0)));
        }
    });
}
