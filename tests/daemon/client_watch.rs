//! `exec --watch` and `render --watch`: what a program does about a secret that changes.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix_libc_wrappers::process::SignalExt;
use serde_json::json;

use crate::client::Client;
use crate::client_program::{ServingDaemon, failure, program};
use crate::needs;
use crate::site::{NOBODY, Site, eventually};
use crate::watching::Watching;

/// Tells what it has and stays.
const TELLS: &str = "echo \"$A $B $C\"; exec sleep 1000";

/// `exec --watch`, with more options, of a script that has these secrets.
fn exec(asked: &ServingDaemon, options: &[&str], secrets: &str, script: &str) -> Watching {
    let command: &[&str] = &["--secrets", secrets, "--", "sh", "-c", script];
    Watching::start(&asked.daemon.site, asked.local(&[&["exec", "--watch"], options, command].concat()))
}

/// Stores values of several secrets in one step.
fn store_all(asked: &ServingDaemon, values: &[(&str, &str)]) {
    let secrets: Vec<_> = values.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let answer = local(asked).post("/secrets", &json!({ "secrets": secrets }).to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Stores a new value of all these secrets in one step, until they are answered in one: on a busy machine, the program may be
/// told of one of them so much later than of another that it does not wait for both. Returns the value, and what is in `file`
/// then, where `shown` says what each answer adds.
fn change_together(asked: &ServingDaemon, names: &[&str], file: &str, shown: impl Fn(u32) -> String) -> (u32, String) {
    let mut value = 1;
    eventually("all are answered once", || {
        let before = shown(value);
        value += 1;
        let (text, now) = (value.to_string(), shown(value));
        store_all(asked, &names.iter().map(|name| (*name, text.as_str())).collect::<Vec<_>>());
        let written = eventually("all new values are there", || {
            Some(asked.daemon.site.read(file)).filter(|written| written.ends_with(&now))
        });
        written.ends_with(&format!("{before}{now}")).then_some((value, written))
    })
}

fn local(asked: &ServingDaemon) -> Client {
    Client::unix(&[], &asked.daemon.site.path("sock"))
}

#[test]
fn a_command_is_started_again_with_the_new_value_and_without_the_token() {
    let asked = ServingDaemon::plain();
    asked.store("a", "first");
    let script = "echo \"$A $JARVIS_SECRETSD_TOKEN $OTHER\"; exec sleep 1000";
    let mut program = asked.admin(&["exec", "--watch", "--secrets", "a", "--", "sh", "-c", script]);
    program.env("OTHER", "kept");
    let mut watching = Watching::start(&asked.daemon.site, program);
    watching.await_written("first  kept\n");
    asked.store("a", "second");
    watching.await_written("first  kept\nsecond  kept\n");
    asked.store("a", "third");
    watching.await_written("first  kept\nsecond  kept\nthird  kept\n");
    watching.signal(Signal::TERM);
    assert_eq!(watching.ended().code(), Some(128 + 15));
    assert_eq!(watching.said(), "");
}

#[test]
fn under_a_prefix_those_secrets_are_watched_that_there_were_at_the_start() {
    let asked = ServingDaemon::plain();
    asked.store("shop_a", "1");
    asked.store("shop_b", "1");
    let command = ["exec", "--watch", "--prefix", "shop_", "--", "sh", "-c", TELLS];
    let watching = Watching::start(&asked.daemon.site, asked.local(&command));
    watching.await_written("1 1 \n");
    asked.store("shop_c", "1");
    asked.store("shop_b", "2");
    watching.await_written("1 1 \n1 2 \n");
}

#[test]
fn secrets_that_change_together_start_it_again_once() {
    let asked = ServingDaemon::plain();
    store_all(&asked, &[("a", "1"), ("b", "1"), ("c", "1")]);
    let watching = exec(&asked, &[], "a,b,c", TELLS);
    watching.await_written("1 1 1\n");
    let (value, written) =
        change_together(&asked, &["a", "b", "c"], "stdout", |value| format!("{value} {value} {value}\n"));
    asked.store("c", "alone");
    watching.await_written(&format!("{written}{value} {value} alone\n"));
}

#[test]
fn a_command_that_does_not_end_in_time_is_killed() {
    let asked = ServingDaemon::plain();
    asked.store("a", "1");
    let watching = exec(&asked, &["--stop-timeout", "100ms"], "a", &format!("trap '' TERM; {TELLS}"));
    watching.await_written("1  \n");
    asked.store("a", "2");
    watching.await_written("1  \n2  \n");
}

#[test]
fn a_command_that_fetches_for_itself_is_sent_a_signal() {
    let asked = ServingDaemon::plain();
    asked.store("a", "1");
    let script = "trap 'echo told' USR1; echo begun; while :; do sleep 1 & wait $!; done";
    let mut watching = exec(&asked, &["--signal", "USR1"], "a", script);
    watching.await_written("begun\n");
    asked.store("a", "2\0");
    watching.await_written("begun\ntold\n");
    asked.store("a", "3");
    watching.await_written("begun\ntold\ntold\n");
    assert!(watching.is_running());
    assert_eq!(watching.said(), "");
}

#[test]
fn signals_are_passed_on_and_the_exit_status_is_the_commands() {
    let asked = ServingDaemon::plain();
    asked.store("a", "1");
    let traps = "for s in HUP INT QUIT USR1 USR2; do trap \"echo $s\" $s; done; trap 'echo TERM; exit 7' TERM";
    let mut watching = exec(&asked, &[], "a", &format!("{traps}; echo begun; while :; do sleep 1 & wait $!; done"));
    let mut expected = "begun\n".to_owned();
    watching.await_written(&expected);
    let signals = [
        ("HUP", Signal::HUP),
        ("INT", Signal::INT),
        ("QUIT", Signal::QUIT),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
        ("TERM", Signal::TERM),
    ];
    for (name, signal) in signals {
        watching.signal(signal);
        expected.extend([name, "\n"]);
        watching.await_written(&expected);
    }
    assert_eq!(watching.ended().code(), Some(7));

    for (script, status) in [("exit 42", 42), ("exit 0", 0), ("kill -9 $$", 137)] {
        assert_eq!(exec(&asked, &[], "a", script).ended().code(), Some(status), "{script}");
    }
    let mut missing = asked.local(&["exec", "--watch", "--secrets", "a", "--", "no-such-program"]);
    assert!(failure(&missing.output().unwrap(), 127).starts_with("no-such-program: "));
}

/// A server that only one can be at a time, and which tells the value that it has.
const SERVER: &str = "flock --nonblock lock sh -c 'echo \"$A\"; exec sleep 1000'";

/// `exec --watch` of a script, in the site's directory.
fn exec_there(asked: &ServingDaemon, options: &[&str], script: &str) -> Watching {
    let command: &[&str] = &["--secrets", "a", "--", "sh", "-c", script];
    let mut program: Command = asked.local(&[&["exec", "--watch"], options, command].concat());
    program.current_dir(asked.daemon.site.path(""));
    Watching::start(&asked.daemon.site, program)
}

#[test]
fn nothing_is_left_of_a_command_that_is_started_again() {
    let stubborn = format!("trap '' TERM; {}", SERVER.replace("exec ", ""));
    for (timeout, script) in [
        // The shell does not pass on what ends it.
        ("1h", format!("{SERVER} & wait")),
        // Nor is it in the same process group, or below it.
        ("1h", format!("setsid {SERVER} & wait")),
        ("1h", format!("(setsid {SERVER} &); exec sleep 1000")),
        ("100ms", format!("{stubborn} & trap - TERM; wait")),
    ] {
        let asked = ServingDaemon::plain();
        asked.store("a", "1");
        let watching = exec_there(&asked, &["--stop-timeout", timeout], &script);
        watching.await_written("1\n");
        asked.store("a", "2");
        watching.await_written("1\n2\n");
        asked.store("a", "3");
        watching.await_written("1\n2\n3\n");
    }
}

#[test]
fn nothing_is_left_of_a_command_that_has_ended() {
    for (options, script) in [
        (&["--signal", "HUP"][..], "sleep 1000 & echo $!; exit 3"),
        (&[], "setsid sleep 1000 & echo $!; exit 3"),
        (
            &["--stop-timeout", "100ms"],
            "sh -c \"trap '' TERM; echo \\$\\$; while :; do sleep 1000; done\" & sleep 0; exit 3",
        ),
    ] {
        let asked = ServingDaemon::plain();
        asked.store("a", "1");
        let mut watching = exec_there(&asked, options, script);
        assert_eq!(watching.ended().code(), Some(3), "{script}");
        let left = asked.daemon.site.read("stdout");
        assert!(left.trim().is_empty() || !Path::new("/proc").join(left.trim()).exists(), "{script}: {left} is there");
    }
}

#[test]
fn every_signal_that_can_be_caught_is_passed_on() {
    let asked = ServingDaemon::plain();
    asked.store("a", "1");
    // Of our own are those of a fault, of a child's end and of a pipe that nobody reads. What is left out of the real-time
    // ones is the C library's.
    let numbers = || (1..=64).filter(|number| ![4, 7, 8, 9, 11, 13, 17, 19, 32, 33, 34].contains(number));
    let list: Vec<_> = numbers().map(|number| number.to_string()).collect();
    let script = format!(
        "for s in {}; do trap \"echo $s\" $s; done; echo begun; while :; do sleep 1 & wait $!; done",
        list.join(" ")
    );
    let mut watching = exec(&asked, &[], "a", &script);
    let mut expected = "begun\n".to_owned();
    watching.await_written(&expected);
    for number in numbers() {
        watching.signal(Signal::from_raw(number).unwrap());
        expected += &format!("{number}\n");
        watching.await_written(&expected);
    }
    assert!(watching.is_running());
}

#[test]
fn a_command_is_stopped_and_continued_together_with_what_watches() {
    let asked = ServingDaemon::plain();
    asked.store("a", "1");
    let mut watching = exec(&asked, &[], "a", "echo $$; exec sleep 1000");
    let command = eventually("it has begun", || asked.daemon.site.read("stdout").trim().parse::<i32>().ok());
    let await_state = |what: &str, is_there: fn(char) -> bool| {
        for pid in [command, watching.pid().as_raw_pid()] {
            eventually(what, || state(pid).filter(|state| is_there(*state)));
        }
    };
    for stop in [Signal::TSTP, Signal::TTIN, Signal::TTOU] {
        watching.signal(stop);
        await_state("both are stopped", |state| state == 'T');
        watching.signal(Signal::CONT);
        await_state("both go on", |state| state != 'T');
    }
    kill_process(Pid::from_raw(command).unwrap(), Signal::STOP).unwrap();
    await_state("what stops the command stops both", |state| state == 'T');
    watching.signal(Signal::CONT);
    watching.signal(Signal::TERM);
    assert_eq!(watching.ended().code(), Some(128 + 15));
}

/// What the kernel says a process does: `T` is stopped.
fn state(pid: i32) -> Option<char> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()?.rsplit(") ").next()?.chars().next()
}

#[test]
fn a_command_that_is_to_end_is_not_started_again() {
    let asked = ServingDaemon::plain();
    asked.store("a", "1");
    let script = "trap 'echo ending' TERM; echo begun; while [ ! -e \"$0\" ]; do sleep 1 & wait $!; done; exit 3";
    let go = asked.daemon.site.path("go");
    let exec = ["exec", "--watch", "--stop-timeout", "1h", "--secrets", "a"];
    let arguments = [&exec[..], &["--", "sh", "-c", script, go.to_str().unwrap()]].concat();
    let mut watching = Watching::start(&asked.daemon.site, asked.local(&arguments));
    watching.await_written("begun\n");
    // It is being ended, to be started again.
    asked.store("a", "2");
    watching.await_written("begun\nending\n");
    watching.signal(Signal::TERM);
    watching.await_written("begun\nending\nending\n");
    fs::write(go, "").unwrap();
    assert_eq!(watching.ended().code(), Some(3));
    assert_eq!(asked.daemon.site.read("stdout"), "begun\nending\nending\n");
}

#[test]
fn if_one_secret_cannot_be_had_at_first_nothing_is_run() {
    let asked = ServingDaemon::plain();
    asked.store("a", "1");
    let ran = asked.daemon.site.path("ran");
    let arguments = ["exec", "--watch", "--secrets", "a,none", "--", "touch", ran.to_str().unwrap()];
    assert_eq!(failure(&asked.local(&arguments).output().unwrap(), 3), "none: there is no secret none");
    assert!(!ran.exists());
}

#[test]
fn a_deleted_secret_is_reported_and_still_watched_and_an_unusable_value_is_left_out() {
    let asked = ServingDaemon::plain();
    asked.store("a", "1");
    let mut watching = exec(&asked, &[], "a", TELLS);
    watching.await_written("1  \n");
    assert_eq!(local(&asked).delete("/secret/a").status, 200);
    watching.await_words("jarvis-secretsd: a: there is no secret a; the old value stays in use");
    asked.store("a", "x\0");
    watching.await_words("jarvis-secretsd: a: has a NUL byte");
    assert!(watching.is_running());
    asked.store("a", "2");
    watching.await_written("1  \n2  \n");
    assert_eq!(watching.said().matches("there is no secret").count(), 1, "{}", watching.said());
    watching.await_words("a: can be read again");
}

#[test]
fn a_daemon_that_is_started_again_is_watched_again() {
    let asked = ServingDaemon::plain();
    store_all(&asked, &[("a", "1"), ("b", "1")]);
    let mut watching = exec(&asked, &[], "a,b", TELLS);
    watching.await_written("1 1 \n");
    let site = asked.daemon.site.clone();
    asked.daemon.stop();
    watching.await_words("the old value stays in use");
    assert!(watching.is_running());
    let daemon = site.start();
    watching.await_words("answers again");
    Client::unix(&[], &site.path("sock")).store("b", "2");
    watching.await_written("1 1 \n1 2 \n");
    let said = watching.said();
    assert_eq!(said.lines().count(), 2, "once for both secrets: {said}");
    drop(daemon);
}

/// A daemon at whose Unix socket only one request may wait.
fn crowded() -> ServingDaemon {
    let mut asked = ServingDaemon::plain();
    let site = asked.daemon.site.clone();
    asked.daemon.stop();
    site.edit("config.toml", "[paths]", "max_connections = 7\n[paths]");
    asked.daemon = site.start();
    asked
}

#[test]
fn where_no_more_requests_may_wait_the_client_polls() {
    let asked = crowded();
    store_all(&asked, &[("a", "1"), ("b", "1")]);
    let watching = exec(&asked, &[], "a,b", TELLS);
    watching.await_written("1 1 \n");
    watching.await_words("too many requests wait for a change");
    store_all(&asked, &[("a", "2"), ("b", "2")]);
    eventually("both new values have come", || asked.daemon.site.read("stdout").ends_with("2 2 \n").then_some(()));
}

/// Stands for a daemon that does not know `wait`: the first value is `1`, and from the second request for it on `2`.
fn old_daemon() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut reads = 0;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut room = [0; 4096];
            let count = stream.read(&mut room).unwrap();
            let request = String::from_utf8_lossy(&room[..count]);
            let (status, body) = if request.starts_with("GET /secret/a HTTP") {
                reads += 1;
                let value = reads.min(2);
                let body = format!(
                    r#"{{"name":"a","value":"{value}","kid":"a-{value}","expires_at":"2027-02-21T11:36:44Z"}}"#
                );
                if request.contains("If-None-Match: \"a-2\"") {
                    ("304 Not Modified", String::new())
                } else {
                    ("200 OK", body)
                }
            } else {
                ("400 Bad Request", r#"{"error":"bad_request","message":"what is wait?"}"#.to_owned())
            };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    addr
}

#[test]
fn a_daemon_without_waiting_requests_is_polled() {
    let site = Site::empty();
    let mut program = program(&site, &["exec", "--watch", "--secrets", "a", "--", "sh", "-c", TELLS]);
    program.env("JARVIS_SECRETSD_ADDR", old_daemon()).env("PATH", "/usr/bin:/bin");
    let watching = Watching::start(&site, program);
    watching.await_written("1  \n2  \n");
    assert_eq!(watching.said(), "");
}

/// `render --watch` of the site's file `t` into `out`, with a command that adds what it finds there to the file `ran`.
fn render(asked: &ServingDaemon, options: &[&str], template: &str, script: &str) -> Watching {
    let site = &asked.daemon.site;
    let (template, out) = (site.write("t", template), site.path("out"));
    let (template, out) = (template.to_str().unwrap(), out.to_str().unwrap());
    let arguments = [template, "--output", out, "--", "sh", "-c", script, out];
    let mut program: Command = asked.local(&[&["render", "--watch"], options, &arguments].concat());
    program.current_dir(site.path(""));
    Watching::start(site, program)
}

const COPIES: &str = "cat \"$0\" >>ran; printf '|' >>ran";

#[test]
fn a_file_is_written_anew_and_the_command_run_once_for_secrets_that_change_together() {
    let asked = ServingDaemon::plain();
    store_all(&asked, &[("a", "1"), ("b", "1")]);
    let watching = render(&asked, &[], "{{ a }} {{ b }} {{ a }}", COPIES);
    watching.await_file("ran", "1 1 1|");
    let (value, ran) = change_together(&asked, &["a", "b"], "ran", |value| format!("{value} {value} {value}|"));
    asked.store("b", "alone");
    watching.await_file("ran", &format!("{ran}{value} alone {value}|"));
    assert_eq!(fs::metadata(asked.daemon.site.path("out")).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(watching.said(), "");
}

#[test]
fn a_file_that_is_as_it_should_be_is_left_alone() {
    let asked = ServingDaemon::plain();
    store_all(&asked, &[("a", "1"), ("b", "1")]);
    let site = &asked.daemon.site;
    let out = site.write("out", "1 1");
    fs::set_permissions(&out, PermissionsExt::from_mode(0o600)).unwrap();
    let before = fs::metadata(&out).unwrap().ino();
    let watching = render(&asked, &[], "{{ a }} {{ b }}", COPIES);
    // It has another version now, but the same value.
    let kid = asked.store("a", "1");
    let seen = |line: &serde_json::Value| line["kid"] == json!(kid) && line["event"] == "get_secret";
    eventually("the new version was read", || site.audit(1).iter().any(seen).then_some(()));
    assert_eq!(fs::metadata(&out).unwrap().ino(), before);
    asked.store("b", "2");
    watching.await_file("ran", "1 2|");
}

#[test]
fn a_file_of_another_owner_is_not_as_it_should_be() {
    if !needs::to_be_root() {
        return;
    }
    let asked = ServingDaemon::plain();
    store_all(&asked, &[("a", "1")]);
    let out = asked.daemon.site.write("out", "1");
    fs::set_permissions(&out, PermissionsExt::from_mode(0o600)).unwrap();
    let watching = render(&asked, &["--owner", &NOBODY.to_string()], "{{ a }}", COPIES);
    watching.await_file("ran", "1|");
    assert_eq!(fs::metadata(&out).unwrap().uid(), NOBODY);
}

#[test]
fn a_command_or_a_write_that_fails_is_reported_and_watching_continues() {
    let asked = ServingDaemon::plain();
    asked.store("a", "1");
    let site = &asked.daemon.site;
    let watching = render(&asked, &[], "{{ a }}", &format!("{COPIES}; exit 9"));
    watching.await_file("ran", "1|");
    watching.await_words("jarvis-secretsd: sh: exit status: 9; the file was written anyway");
    fs::remove_file(site.path("out")).unwrap();
    fs::create_dir(site.path("out")).unwrap();
    asked.store("a", "2");
    watching.await_words("out: is not a regular file");
    fs::remove_dir(site.path("out")).unwrap();
    asked.store("a", "3");
    watching.await_file("ran", "1|3|");
}

#[test]
fn a_command_that_hangs_keeps_no_file_from_being_written_and_is_run_again_after_it() {
    let asked = ServingDaemon::plain();
    asked.store("a", "1");
    let watching = render(&asked, &[], "{{ a }}", "until [ -e go ]; do sleep 0.1; done; cat \"$0\" >>ran");
    watching.await_file("out", "1");
    asked.store("a", "2");
    watching.await_file("out", "2");
    asked.daemon.site.write("go", "");
    watching.await_file("ran", "22");
    assert_eq!(watching.said(), "");
}

#[test]
fn a_command_that_takes_too_long_is_killed_with_all_that_it_waits_for() {
    let asked = ServingDaemon::plain();
    asked.store("a", "1");
    let script =
        format!("[ -e \"hung\" ] && {{ {COPIES}; exit; }}; trap '' TERM; touch hung; (flock lock sleep 1000); true");
    let watching = render(&asked, &["--command-timeout", "100ms"], "{{ a }}", &script);
    watching.await_words("sh: has taken longer than 100ms and was killed; the file was written anyway");
    let lock = Command::new("flock").arg(asked.daemon.site.path("lock")).arg("true").status().unwrap();
    assert!(lock.success());
    asked.store("a", "2");
    watching.await_file("ran", "2|");
}

#[test]
fn what_ends_the_watching_reaches_the_command_which_is_waited_for() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let asked = ServingDaemon::plain();
        asked.store("a", "1");
        let script = "trap 'until [ -e go ]; do sleep 0.1; done; echo ended >>ran; exit' TERM INT HUP; echo begun >>ran
            while :; do sleep 1 & wait $!; done";
        let mut watching = render(&asked, &[], "{{ a }}", script);
        watching.await_file("ran", "begun\n");
        watching.signal(signal);
        assert!(watching.is_running());
        asked.daemon.site.write("go", "");
        assert_eq!(watching.ended().signal(), Some(signal.as_raw()));
        watching.await_file("ran", "begun\nended\n");
    }
}

#[test]
fn what_is_only_for_watching_or_cannot_be_watched_is_wrong_usage() {
    let asked = ServingDaemon::plain();
    asked.store("a", "1");
    let template = asked.daemon.site.write("t", "{{ a }}");
    let template = template.to_str().unwrap();
    let exec = ["exec", "--secrets", "a"];
    for options in [
        &["--signal", "HUP"][..],
        &["--stop-timeout", "1s"],
        &["--watch", "--signal", "NONE"],
        &["--watch", "--signal", "HUP", "--stop-timeout", "1s"],
        &["--watch", "--stop-timeout", "10"],
        &["--watch", "--stop-timeout", "2h"],
    ] {
        let arguments = [&exec[..], options, &["--", "true"]].concat();
        assert!(failure(&asked.local(&arguments).output().unwrap(), 2).starts_with("usage: --"), "{options:?}");
    }
    for (timeout, command) in [("1s", &[][..]), ("10", &["--", "true"]), ("2h", &["--", "true"])] {
        let render = ["render", "--watch", template, "--output", "o", "--command-timeout", timeout];
        let answer = asked.local(&[&render[..], command].concat()).output().unwrap();
        assert!(failure(&answer, 2).starts_with("usage: --command-timeout"), "{timeout}");
    }
    for arguments in [
        &["render", "--watch", template][..],
        &["render", template, "--output", "o", "--", "true"],
        &["render", "--watch", template, "true", "--output", "o"],
        &["render", "--watch", "--output", "o", template, "x", "--", "true"],
        &["render", "--watch", "--output", "o", "--"],
    ] {
        assert!(failure(&asked.local(arguments).output().unwrap(), 2).starts_with("usage: render"), "{arguments:?}");
    }
    assert!(!asked.daemon.site.path("o").exists());
}
