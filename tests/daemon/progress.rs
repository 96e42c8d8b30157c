//! What takes longer than a second says at a terminal how far it has come, on one line that is gone at the end.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use crate::client_program::{ServingDaemon, printed};
use crate::needs;
use crate::running::Daemon;
use crate::site::{BINARY, PUBLIC_KEY, eventually};
use crate::terminal::{self, Terminal};

/// What clears the line on which it stands.
const CLEAR: &str = "\r\u{1b}[2K";

/// A pipe at `path` whose other end somebody has opened. What is written to it in one go fits into it.
fn opened_pipe(path: &Path) -> File {
    let flags = OFlags::NONBLOCK.bits() as i32;
    eventually("the pipe is being read", || OpenOptions::new().write(true).custom_flags(flags).open(path).ok())
}

/// A log in two parts: the first comes out of a pipe as slowly as one likes.
struct SlowLog {
    asked: ServingDaemon,
    first: String,
}

impl SlowLog {
    fn new() -> Self {
        let asked = ServingDaemon::plain();
        asked.store("db_main", "one");
        asked.store("db_main", "two");
        let lines = asked.daemon.site.audit_lines();
        let (first, rest) = lines.split_at(2);
        let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        asked.daemon.site.write("rest.jsonl", &text(rest));
        Self { first: text(first), asked }
    }

    /// The arguments of a check whose first part comes out of the pipe `pipe`, which is made.
    fn verify(&self, pipe: &str) -> Vec<String> {
        let path = |name: &str| self.asked.daemon.site.path(name).to_str().unwrap().to_owned();
        mknodat(CWD, path(pipe), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        ["audit", "verify", "--public-key", &path(PUBLIC_KEY), &path(pipe), &path("rest.jsonl")]
            .map(str::to_owned)
            .into()
    }

    fn pipe(&self, pipe: &str) -> File {
        opened_pipe(&self.asked.daemon.site.path(pipe))
    }
}

#[test]
fn a_check_of_a_log_says_at_a_terminal_how_far_it_is_and_elsewhere_nothing() {
    if !needs::is_installed("script") {
        return;
    }
    let log = SlowLog::new();
    let mut piped = Command::new(BINARY);
    piped.args(log.verify("piped")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let piped = piped.spawn().unwrap();
    let mut to_piped = log.pipe("piped");

    // It begins later, so that the other one takes as long as this one.
    let terminal = Terminal::open(&log.asked.local(&[]), &log.verify("shown").join(" "));
    let mut to_shown = log.pipe("shown");
    let line = format!("{CLEAR}checking the audit log: 0 %");
    eventually("the line is shown", || terminal.shown().contains(&line).then_some(()));
    to_shown.write_all(log.first.as_bytes()).unwrap();
    drop(to_shown);
    let shown = terminal.ended();
    let (before, behind) = shown.rsplit_once(CLEAR).unwrap();
    assert!(
        behind.contains(" lines, 1 to ") && behind.contains("status=0"),
        "the report comes when it is gone: {shown}"
    );
    assert!(!behind.contains('%') && !before.contains('\n'), "nothing is left, and it is one line: {shown}");

    to_piped.write_all(log.first.as_bytes()).unwrap();
    drop(to_piped);
    let output = piped.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(printed(output).contains(" lines, 1 to "));
}

#[test]
fn a_failure_is_printed_on_a_line_of_its_own() {
    if !needs::is_installed("script") {
        return;
    }
    let log = SlowLog::new();
    let terminal = Terminal::open(&log.asked.local(&[]), &log.verify("shown").join(" "));
    let mut pipe = log.pipe("shown");
    eventually("the line is shown", || terminal.shown().contains("checking the audit log: ").then_some(()));
    pipe.write_all(b"forged\n").unwrap();
    drop(pipe);
    let shown = terminal.ended();
    let (_, behind) = shown.rsplit_once(CLEAR).unwrap();
    assert!(behind.starts_with("jarvis-secretsd: ") && behind.contains("status=1"), "{shown}");
}

/// A server that answers its first request when the test wants it.
fn slow_server(answer: &'static str) -> (SocketAddr, Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (go, told) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let _ = told.recv();
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
    });
    (addr, go)
}

#[test]
fn an_import_says_at_a_terminal_how_long_it_takes() {
    if !needs::is_installed("script") {
        return;
    }
    let asked = ServingDaemon::plain();
    let file = asked.daemon.site.write("values.env", "A=1\nB=2\n");
    let (addr, go) = slow_server(r#"{"secrets":[],"unchanged":[]}"#);
    let terminal = Terminal::open(&asked.local(&[]), &format!("import {} --addr http://{addr}", file.display()));
    eventually("the line is shown", || terminal.shown().contains("importing 2 values: 1 s").then_some(()));
    go.send(()).unwrap();
    let shown = terminal.ended();
    let (_, behind) = shown.rsplit_once(CLEAR).unwrap();
    assert!(behind.starts_with("imported: a\r\n") && behind.contains("status=0"), "{shown}");
}

#[test]
fn backups_say_at_a_terminal_how_far_they_are() {
    if !needs::is_installed("script") || !needs::is_installed("strace") {
        return;
    }
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "v");
    let site = daemon.stop();
    let backup = site.path("b.tar");
    let (config, backup) = (site.path("config.toml").display().to_string(), backup.display());
    for command in [format!("backup --output {backup}"), format!("backup verify {backup}"), format!("restore {backup}")]
    {
        // They read by this call, several dozen times.
        let slowly = "strace -f -o /dev/null -e trace=pread64 -e inject=pread64:delay_enter=50000";
        let shown = terminal::shown(&site.command(""), &format!("{slowly} {BINARY} {command} --config {config}"));
        let is_progress = |line: &&str| !line.contains('\n') && (line.ends_with(" %") || line.ends_with(" s"));
        let (progress, others): (Vec<_>, Vec<_>) =
            shown.split(CLEAR).filter(|line| !line.is_empty()).partition(is_progress);
        assert!(!progress.is_empty() && shown.contains(" verified"), "{command}: {shown}");
        // Whatever else is printed has whole lines of its own, and is behind the last of these.
        assert!(others.iter().all(|line| line.ends_with("\r\n") && !line.contains(" %")), "{command}: {shown}");
        assert_eq!(shown.split(CLEAR).last(), others.last().copied(), "{command}: {shown}");
    }
}
