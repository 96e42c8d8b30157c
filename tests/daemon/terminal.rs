//! A terminal at which a person sits who types. `script` of util-linux is the terminal.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::site::{BINARY, eventually};

/// A terminal at which a command is running, and behind it says how that ended and whether typing is seen again.
pub struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// One at which the program is run with these words, in the environment of `like`.
    pub fn open(like: &Command, words: &str) -> Self {
        // The shell outlives Ctrl-C, which goes to all who are at the terminal.
        let line =
            format!("trap : INT; {BINARY} {words}; echo status=$?; stty -a | tr ' ' '\\n' | grep -x -e '-*echo;*'");
        // Where a shell has started the tests in the background, they ignore Ctrl-C, and what they start would, too.
        let mut script = Command::new("env");
        script.args(["--default-signal=INT", "script", "--quiet", "--echo", "always", "--command", &line, "/dev/null"]);
        script.env("SHELL", "/bin/sh").envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
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

    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Waits until the screen shows `words`, and then types.
    pub fn answer(&mut self, words: &str, typed: &str) {
        eventually(&format!("the terminal shows: {words}"), || self.shown().contains(words).then_some(()));
        self.keyboard.write_all(typed.as_bytes()).unwrap();
    }

    /// Waits for the end, and returns all that was shown.
    pub fn ended(mut self) -> String {
        eventually("typing is seen or not", || self.shown().contains("echo\r\n").then_some(()));
        eventually("the terminal is closed", || self.child.try_wait().unwrap());
        self.shown()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the terminal shows: {:?}", self.shown());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whatever a terminal shows of the shell's `line`, run with the variables that are set for `program`. The terminal writes a
/// carriage return before each newline.
pub fn shown(program: &Command, line: &str) -> String {
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", line, "/dev/null"]).env("SHELL", "/bin/sh");
    script.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = script.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
